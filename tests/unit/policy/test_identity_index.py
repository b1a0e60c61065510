"""Tests of the identities of a peer: each kind of criterion, granted and claimed."""

from __future__ import annotations

import pytest
from support.policies import (
    FINGERPRINT,
    PUBLIC_KEY,
    anonymous,
    claimed,
    compiled,
    digest,
    identity,
    verified,
)

from grpcsecure.model.authorization import MatcherKind

#: The attribute of `Certificate` for each kind of name.
ATTRIBUTES = {
    "spiffe": "uris",
    "uri": "uris",
    "dns": "dns",
    "email": "emails",
    "ip": "ips",
    "organizational_unit": "organizational_units",
}

BILLING = "spiffe://corp.example/ns/prod/sa/billing"

#: Criterion, its value, the name in the certificate (or a tuple of them), granted
#: to a verified peer, claimed.
NAMES = [
    ("spiffe", BILLING, BILLING, True, True),
    ("spiffe", BILLING, "SPIFFE://Corp.Example/ns/prod/sa/billing", True, True),
    ("spiffe", "SPIFFE://CORP.example/ns/prod/sa/billing", BILLING, True, True),
    ("spiffe", BILLING, "spiffe://corp.example/ns/prod/sa/Billing", False, False),
    ("spiffe", BILLING, f"{BILLING}s", False, False),
    ("spiffe", BILLING, BILLING[:-1], False, False),
    ("spiffe", BILLING, "https://corp.example/ns/prod/sa/billing", False, False),
    ("spiffe", BILLING, (BILLING, "https://x"), False, True),
    ("spiffe", BILLING, ("https://x", BILLING), False, True),
    ("spiffe", BILLING, (BILLING, BILLING), False, True),
    ("spiffe", "spiffe://td", "spiffe://td", True, True),
    ("spiffe", "spiffe://td", "spiffe://td/", False, False),
    ("spiffe", "spiffe://td/*", "spiffe://td/ns", True, True),
    ("spiffe", "spiffe://td/*", "spiffe://TD/ns/sa", True, True),
    ("spiffe", "spiffe://td/*", "spiffe://td", False, False),
    ("spiffe", "spiffe://td/*", "spiffe://td/", False, True),
    ("spiffe", "spiffe://td/*", "spiffe://td2/ns", False, False),
    ("spiffe", "spiffe://td/*", "spiffe://td.evil/ns", False, False),
    ("spiffe", "spiffe://td/*", "spiffe://td/ns?x", False, True),
    ("spiffe", "spiffe://td/*", "spiffe://td/ns#x", False, True),
    ("spiffe", "spiffe://td/*", "spiffe://td/n%73", False, True),
    ("spiffe", "spiffe://td/*", "spiffe://td/a/../b", False, True),
    ("spiffe", "spiffe://td/*", "spiffe://td/a//b", False, True),
    ("spiffe", "spiffe://td/*", "spiffe://td/a/", False, True),
    ("spiffe", "spiffe://td/*", "spiffe://td/a\0", False, True),
    ("spiffe", "spiffe://td/*", "spiffe://td/" + "a" * 2036, True, True),
    ("spiffe", "spiffe://td/*", "spiffe://td/" + "a" * 2037, False, True),
    ("spiffe", "spiffe://td/*", "spiffe://td:1/ns", False, False),
    ("spiffe", "spiffe://td/*", "spiffe://me@td/ns", False, False),
    ("spiffe", "spiffe://td/ns/prod/*", "spiffe://td/ns/prod/sa", True, True),
    ("spiffe", "spiffe://td/ns/prod/*", "spiffe://td/ns/prod", False, False),
    ("spiffe", "spiffe://td/ns/prod/*", "spiffe://td/ns/production", False, False),
    ("spiffe", "spiffe://td/ns/prod-*", "spiffe://td/ns/prod-eu/sa", True, True),
    ("spiffe", "spiffe://td/ns/prod-*", "spiffe://td/ns/prod", False, False),
    ("uri", "https://ci.example/x", "https://ci.example/x", True, True),
    ("uri", "https://ci.example/x", "HTTPS://CI.Example/x", True, True),
    ("uri", "https://ci.example/x", "https://ci.example/X", False, False),
    ("uri", "https://ci.example/x", "https://ci.example/%78", False, False),
    ("uri", "https://ci.example/x", "https://ci.example:443/x", False, False),
    ("uri", "https://ci.example/x", "https://me@ci.example/x", False, False),
    ("uri", "https://ci.example/x", ("urn:a", "https://ci.example/x"), True, True),
    ("uri", "https://ci.example/*", "https://ci.example/", True, True),
    ("uri", "https://ci.example/*", "https://CI.example/a/b?c", True, True),
    ("uri", "https://ci.example/*", "https://ci.example", False, False),
    ("uri", "https://ci.example/*", "https://ci.example.evil/x", False, False),
    ("uri", "https://ci.example/*", "https://ci.example@evil/x", False, False),
    ("uri", "https://ci.example/*", "https://evil\\@ci.example/x", False, False),
    ("uri", "https://ci.example/a/*", "https://ci.example/a/../b", False, True),
    ("uri", "https://ci.example/a/*", "https://ci.example/a/./b", False, True),
    ("uri", "https://ci.example/a/*", "https://ci.example/a/..", False, True),
    ("uri", "https://ci.example/a/*", "https://ci.example/a/%2e%2E/b", False, True),
    ("uri", "https://ci.example/a/*", "https://ci.example/a/.%2e/b", False, True),
    ("uri", "https://ci.example/a/*", "https://ci.example/a/b%2f..%2Fc", False, True),
    ("uri", "https://ci.example/a/*", "https://ci.example/a/b\\..\\c", False, True),
    ("uri", "https://ci.example/a/*", "https://ci.example/a/b%5c..%5Cc", False, True),
    ("uri", "https://ci.example/a/*", "https://ci.example/a/..?b", False, True),
    ("uri", "https://ci.example/a/*", "https://ci.example/a/..b/c..d", True, True),
    ("uri", "https://ci.example/a/*", "https://ci.example/a/\0", False, True),
    ("uri", "https://ci.example/a/../b", "https://ci.example/a/../b", True, True),
    ("uri", "urn:uuid:*", "URN:uuid:4f", True, True),
    ("uri", "urn:uuid:*", "urn:UUID:4f", False, False),
    ("dns", "ci.example", "ci.example", True, True),
    ("dns", "ci.example", "CI.Example.", True, True),
    ("dns", "CI.example.", "ci.example", True, True),
    ("dns", "ci.example", "ci.example..", False, False),
    ("dns", "ci.example", "x.ci.example", False, False),
    ("dns", "ci.example", ("x.example", "ci.example"), True, True),
    ("dns", "*.ci.example", "a.ci.example", True, True),
    ("dns", "*.ci.example", "A.CI.EXAMPLE.", True, True),
    ("dns", "*.ci.example", "ci.example", False, False),
    ("dns", "*.ci.example", ".ci.example", False, True),
    ("dns", "*.ci.example", "b.a.ci.example", False, False),
    ("dns", "*.ci.example", "aci.example", False, False),
    ("dns", "*.ci.example", "*.ci.example", False, True),
    ("dns", "*.ci.example", "a*.ci.example", False, True),
    ("dns", "a.ci.example", "*.ci.example", False, False),
    ("dns", "*.a.ci.example", "*.ci.example", False, False),
    ("dns", "*.ci.example", "a b.ci.example", False, True),
    ("email", "Ops@corp.example", "Ops@CORP.example", True, True),
    ("email", "Ops@CORP.example", "Ops@corp.example", True, True),
    ("email", "Ops@corp.example", "ops@corp.example", False, False),
    ("email", "Ops@corp.example", "Ops@corp.example.", False, False),
    ("email", "Ops@corp.example", "x@Ops@corp.example", False, False),
    ("email", "Ops@corp.example", "corp.example", False, False),
    ("ip", "10.0.0.7", "10.0.0.7", True, True),
    ("ip", "10.0.0.7", "10.0.0.70", False, False),
    ("ip", "10.0.0.7", "::ffff:10.0.0.7", False, False),
    ("ip", "2001:DB8::0:7", "2001:db8:0:0:0:0:0:7", True, True),
    ("ip", "2001:db8::7", "2001:db8::7%1", False, False),
    ("ip", "10.0.0.7", "10.0.0.7/32", False, False),
    ("organizational_unit", "Ops", "Ops", True, True),
    ("organizational_unit", "Ops", ("Dev", "Ops"), True, True),
    ("organizational_unit", "Ops", "ops", False, False),
    ("organizational_unit", "Ops", "Ops ", False, False),
    ("organizational_unit", "Ops", "Op\u0455", False, False),
]

#: Criterion, its value, whole attributes of the certificate, granted, claimed.
SUBJECTS = [
    ("common_name", "billing", {"common_name": "billing"}, True, True),
    ("common_name", "billing", {"common_name": "Billing"}, False, False),
    ("common_name", "billing", {"common_name": "billing\0"}, False, False),
    ("common_name", "\u00e9", {"common_name": "e\u0301"}, False, False),
    (
        "common_name",
        "billing",
        {"common_name": "x", "subject": "CN=x,CN=billing"},
        False,
        True,
    ),
    ("subject", "CN=a,O=b", {"subject": "CN=a,O=b"}, True, True),
    ("subject", r"cn=\61,2.5.4.10=b", {"subject": "CN=a,O=b"}, True, True),
    ("subject", "O=c+CN=a", {"subject": "CN=a+O=c"}, True, True),
    ("subject", "O=b,CN=a", {"subject": "CN=a,O=b"}, False, False),
    ("subject", "CN=a", {"subject": "CN=a,O=b"}, False, False),
    ("subject", "CN=a,O=b", {"subject": "CN=a"}, False, False),
    ("subject", "CN=a", {"subject": "CN=A"}, False, False),
    ("subject", "CN=a", {"subject": "CN=a, O=b"}, False, False),
    ("subject", "CN=a", {"subject": "no subject"}, False, False),
]


def principal_of(peer, *identities, in_force=True, pins=None):
    """Return the principal of a peer for some identities."""
    policy = compiled(identities=identities, pins=pins)
    return policy.identify(peer, in_force=in_force)


def names_of(kind, given):
    """Return the attribute of a certificate with one name, or several."""
    return {ATTRIBUTES[kind]: given if isinstance(given, tuple) else (given,)}


ROWS = [
    *(
        (kind, value, names_of(kind, given), *ends)
        for kind, value, given, *ends in NAMES
    ),
    *SUBJECTS,
]


@pytest.mark.parametrize(("kind", "value", "names", "granted", "is_claimed"), ROWS)
def test_names_match_by_their_rules(kind, value, names, granted, is_claimed):
    """A name is only granted to a verified peer; any certificate can claim it."""
    wanted = identity("it", **{kind: value})
    found = principal_of(verified(**names), wanted)
    assert ("it" in found.granted, "it" in found.claimed) == (granted, is_claimed)
    found = principal_of(claimed(**names), wanted)
    assert ("it" in found.granted, "it" in found.claimed) == (False, is_claimed)


PINS = [
    ("fingerprint", FINGERPRINT, True),
    ("fingerprint", FINGERPRINT.upper().replace("SHA", "sha"), True),
    ("fingerprint", "sha256:" + "ab" * 32, True),
    ("fingerprint", digest(1), False),
    ("fingerprint", PUBLIC_KEY, False),
    ("public_key", PUBLIC_KEY, True),
    ("public_key", "sha256:" + "CD" * 32, True),
    ("public_key", FINGERPRINT, False),
    ("certificates", "/pinned/*.pem", True),
    ("certificates", "/others/*.pem", False),
    ("certificates", "/none/*.pem", False),
]


@pytest.mark.parametrize(("kind", "value", "matches"), PINS)
@pytest.mark.parametrize("peer", [verified(), claimed()], ids=["verified", "claimed"])
def test_pins_match_any_presented_certificate(kind, value, matches, peer):
    """A pin needs no CA; it is granted while valid, and claimed always."""
    pins = {
        "/pinned/*.pem": frozenset({digest(1), FINGERPRINT}),
        "/others/*.pem": frozenset({digest(1)}),
        "/none/*.pem": frozenset(),
    }
    pinned = identity("it", **{kind: value})
    now = principal_of(peer, pinned, pins=pins)
    assert ("it" in now.granted, "it" in now.claimed) == (matches, matches)
    later = principal_of(peer, pinned, pins=pins, in_force=False)
    assert ("it" in later.granted, "it" in later.claimed) == (False, matches)


@pytest.mark.parametrize(
    ("peer", "names", "is_known"),
    [
        (anonymous(), {"anyone", "anonymous"}, False),
        (claimed(), {"anyone", "presented"}, False),
        (verified(), {"anyone", "presented", "verified"}, True),
    ],
    ids=["anonymous", "claimed", "verified"],
)
def test_built_in_names_are_literal(peer, names, is_known):
    """The four names have the same meaning in allow and deny rules."""
    principal = principal_of(peer)
    assert principal.granted == principal.claimed == names
    assert principal.is_known is is_known
    assert principal.identities == frozenset()


def test_pinned_peer_is_known():
    """A peer with a registered certificate is known; one with a claimed name is not."""
    pinned = identity("pinned", fingerprint=FINGERPRINT)
    named = identity("named", dns="ci.example")
    principal = principal_of(claimed(dns=("ci.example",)), pinned, named)
    assert principal.is_known
    assert principal.identities == {"pinned"}
    assert not principal_of(claimed(dns=("ci.example",)), named).is_known


def test_all_of_a_matcher_and_any_of_an_identity():
    """All keys of a mapping must match, but only one matcher of a list."""
    both = identity("both", organizational_unit="Ops", dns="*.corp.example")
    either = identity("either", {"organizational_unit": "Ops"}, {"ip": "10.0.0.7"})

    def granted(**names):
        return principal_of(verified(**names), both, either).identities

    assert granted(organizational_units=("Ops",)) == {"either"}
    assert granted(dns=("a.corp.example",)) == frozenset()
    assert granted(dns=("a.corp.example",), ips=("10.0.0.7",)) == {"either"}
    assert granted(dns=("a.corp.example",), organizational_units=("Ops",)) == {
        "both",
        "either",
    }


def test_pin_with_a_name_needs_both():
    """A matcher with a name is only granted to verified peers, even with a pin."""
    both = identity("both", fingerprint=FINGERPRINT, dns="ci.example")
    names = {"dns": ("ci.example",)}
    assert principal_of(verified(**names), both).identities == {"both"}
    expired = principal_of(verified(**names), both, in_force=False)
    assert expired.identities == frozenset()
    assert principal_of(claimed(**names), both).identities == frozenset()
    assert "both" in principal_of(claimed(**names), both, in_force=False).claimed
    assert principal_of(verified(dns=("x",)), both).identities == frozenset()


def test_one_certificate_of_two_patterns():
    """A certificate that two patterns name has both identities."""
    one = identity("one", certificates="/one")
    two = identity("two", certificates="/two")
    pins = {"/one": frozenset({FINGERPRINT}), "/two": frozenset({FINGERPRINT})}
    assert principal_of(claimed(), one, two, pins=pins).identities == {"one", "two"}


@pytest.mark.parametrize("made", [claimed, verified])
def test_unreadable_certificate_is_granted_nothing_and_claims_all(made):
    """It is accepted by TLS but cannot be parsed, so that every deny rule matches."""
    identities = [
        identity("empty", common_name="x"),
        identity("pin", fingerprint=FINGERPRINT),
        identity("key", public_key=PUBLIC_KEY),
        identity("subject", subject="CN=x"),
    ]
    principal = principal_of(
        made(fingerprint="", public_key="", is_readable=False), *identities
    )
    assert principal.identities == set()
    assert principal.claimed >= {"empty", "pin", "key", "subject", "presented"}
    assert not principal.is_known


@pytest.mark.parametrize("made", [claimed, verified])
def test_registration_counts_for_an_unreadable_certificate(made):
    """Its bytes and its key are known; its dates count too."""
    identities = [
        identity("pin", fingerprint=FINGERPRINT),
        identity("key", public_key=PUBLIC_KEY),
        identity("both", fingerprint=FINGERPRINT, common_name="x"),
    ]
    peer = made(is_readable=False)
    assert principal_of(peer, *identities).identities == {"pin", "key"}
    assert principal_of(peer, *identities).is_known
    assert principal_of(peer, *identities, in_force=False).identities == set()


@pytest.mark.parametrize("made", [claimed, verified])
def test_certificate_that_may_issue_is_no_svid(made):
    """X509-SVID, section 4: the id is claimed, for deny rules, and never granted."""
    exact = identity("exact", spiffe=BILLING)
    pattern = identity("pattern", spiffe="spiffe://corp.example/*")
    uri = identity("uri", uri=BILLING)
    principal = principal_of(made(uris=(BILLING,), may_issue=True), exact, pattern, uri)
    assert principal.identities == ({"uri"} if made is verified else set())
    assert principal.claimed >= {"exact", "pattern", "uri"}


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("spiffe", "spiffe://*"),
        ("uri", "https://*"),
        ("dns", "*"),
        ("email", "corp.example"),
        ("ip", "10.0.0.0/8"),
        ("common_name", ""),
        ("organizational_unit", ""),
        ("subject", "billing"),
        ("fingerprint", "sha256:ab"),
        ("public_key", "ab"),
        ("certificates", "/not/given"),
    ],
)
def test_invalid_criterion_is_refused(kind, value):
    """An invalid criterion is not compiled into one that never matches."""
    with pytest.raises(ValueError, match=r"^expected"):
        compiled(identities=[identity("it", **{kind: value})])


def test_every_kind_is_in_the_tables():
    """Every kind of criterion has a test."""
    tested = {row[0] for row in (*NAMES, *SUBJECTS, *PINS)}
    assert tested == {kind.value for kind in MatcherKind}
