"""Tests of hostile names, paths and metadata: no unexpected match."""

from __future__ import annotations

import pytest
from support.policies import (
    allow,
    anonymous,
    claimed,
    compiled,
    deny,
    identity,
    verified,
)

from grpcsecure.model.authorization import Effect
from grpcsecure.policy.decision import Call

ADMIN = "/shop.v1.Admin/Drop"
PATTERNS = (ADMIN, "/shop.v1.Admin/*", "/shop.v1.Admin/Dr*", "/shop.v1.*", "*/Drop")


def rules_that_match(method, *patterns):
    """Return those of the patterns that match a call, each in a rule of its own.

    Rules that allow and rules that deny must agree.
    """
    found = []
    for pattern in patterns:
        opened = compiled(allow("anyone", pattern))
        closed = compiled(deny("anyone", pattern), default=Effect.ALLOW)
        standing = opened.identify(anonymous(), in_force=True)
        call = Call(method, "public")
        is_allowed = opened.decide(standing, call).is_allowed
        assert closed.decide(standing, call).is_allowed is not is_allowed
        if is_allowed:
            found.append(pattern)
    return found


def granted(peer, **criteria):
    """Whether a peer is granted an identity of these criteria."""
    policy = compiled(identities=[identity("it", **criteria)])
    return "it" in policy.identify(peer, in_force=True).granted


def is_claimed(peer, **criteria):
    """Whether a peer claims an identity of these criteria, for deny rules."""
    policy = compiled(identities=[identity("it", **criteria)])
    return "it" in policy.identify(peer, in_force=True).claimed


@pytest.mark.parametrize("method", ["", "/", "//", "///", "/*", "*", "Drop", "shop"])
def test_malformed_path(method):
    """A path without service and method matches `*` and nothing else."""
    assert rules_that_match(method, "*", *PATTERNS) == ["*"]


def test_double_slash_is_two_slashes():
    """`//` is not a service, and an empty name is not a wildcard."""
    assert rules_that_match(f"/{ADMIN}", *PATTERNS) == ["*/Drop"]
    assert rules_that_match("/shop.v1.Admin//Drop", *PATTERNS) == [
        "/shop.v1.Admin/*",
        "/shop.v1.*",
        "*/Drop",
    ]
    assert rules_that_match("//", "//*", "/*", "/shop.v1.Admin/*") == ["//*", "/*"]


def test_dot_segments_are_not_resolved():
    """`/A/../B` is a method of `/A/`, not of `/B`."""
    method = f"/open.S/..{ADMIN}"
    assert rules_that_match(method, *PATTERNS) == ["*/Drop"]
    assert rules_that_match(method, "/open.S/*", "/open.S/Get*") == ["/open.S/*"]
    assert rules_that_match("/A/../B", "/B/*", "/A/*", "/A/..*") == ["/A/*", "/A/..*"]
    assert rules_that_match("/shop.v1.Admin/./Drop", ADMIN) == []


@pytest.mark.parametrize(
    "method",
    [
        "/shop.v1.Admin%2FDrop",
        "%2Fshop.v1.Admin/Dr%6Fp",
        "/shop%2Ev1.Admin/Dr%6fp",
        "/SHOP.v1.Admin/drop",
        "/shop.v1.Admin\\Drop",
        "/xshop.v1.Admin/Drop2",
    ],
)
def test_percent_encoding_is_text(method):
    """Nothing is decoded, folded or trimmed before the comparison."""
    assert rules_that_match(method, ADMIN, "/shop.v1.Admin/*", "*/Drop") == []


@pytest.mark.parametrize("end", [" ", "\0", "\n", "/", "?", "#", ";", "\u200b", "%00"])
def test_method_with_a_tail_is_another_one(end):
    """Text after the name is part of the name."""
    assert rules_that_match(ADMIN + end, ADMIN, "*/Drop") == []


@pytest.mark.parametrize("unit", ["a", "/", "/a", "..", "%2e", "\0", "\u00e9", "*"])
def test_long_path(unit):
    """A path of 100 kB is compared like any other."""
    long = unit * (100_000 // len(unit))
    assert rules_that_match(f"/shop.v1.Admin/{long}", *PATTERNS) == [
        "/shop.v1.Admin/*",
        "/shop.v1.*",
    ]
    assert rules_that_match(f"{long}{ADMIN}", *PATTERNS) == ["*/Drop"]
    assert rules_that_match(long, *PATTERNS) == []


def test_regular_expressions_are_text():
    """`.*` in a rule is a dot and a wildcard, or is refused."""
    assert rules_that_match(ADMIN, "/shop.v1.Admin/.*", "/shop.v1.Admin.*") == []
    assert rules_that_match("/shop.v1.Admin/.x", "/shop.v1.Admin/.*") != []
    for pattern in (".*", "/shop.v1.Admin/(Drop|Get)*x", "^/shop.v1.Admin/Drop$"):
        with pytest.raises(ValueError, match=r"^expected"):
            compiled(allow("anyone", pattern))
    assert rules_that_match("/shopXv1.Admin/Drop", ADMIN) == []
    assert not granted(verified(uris=("spiffe://td/ab",)), spiffe="spiffe://td/.*")
    assert not granted(verified(common_name="ab"), common_name=".*")
    assert not granted(verified(common_name="ab"), common_name="*")


@pytest.mark.parametrize("extra", ["\0", "\n", "\r\n", "\t", "\x7f", "\u2028", " "])
def test_control_characters_in_metadata(extra):
    """A value with additional characters is another value."""
    policy = compiled(allow("anyone", metadata={"x-env": ["prod"]}))
    standing = policy.identify(anonymous(), in_force=True)
    for value in (f"prod{extra}", f"{extra}prod", f"prod{extra}prod", extra):
        for key in ("x-env", f"x-env{extra}", "X-Env"):
            call = Call(ADMIN, "public", [(key, value)])
            assert not policy.decide(standing, call).is_allowed


def test_nul_does_not_end_a_name():
    """Text after a NUL is compared: `ci.example` does not match."""
    for name in ("ci.example\0.evil.example", "ci.example\0", "\0ci.example"):
        assert not granted(verified(dns=(name,)), dns="ci.example")
        assert not granted(verified(dns=(name,)), dns="*.example")
        assert not granted(verified(common_name=name), common_name="ci.example")
        assert not granted(verified(emails=(f"a@{name}",)), email="a@ci.example")
        assert not granted(verified(ips=(f"10.0.0.7{name}",)), ip="10.0.0.7")
        uri = f"spiffe://{name}/ns"
        assert not granted(verified(uris=(uri,)), spiffe="spiffe://ci.example/ns")
        assert not granted(verified(uris=(uri,)), uri=r"spiffe://ci.example/*")
    assert not granted(verified(dns=("a\0b.ci.example",)), dns="*.ci.example")
    assert not granted(verified(subject=r"CN=ci\00"), subject="CN=ci")


@pytest.mark.parametrize(
    "odd",
    [
        "c\u0456.example",  # Cyrillic i
        "\uff43i.example",  # full-width c
        "ci\u3002example",  # ideographic full stop
        "ci.\u200bexample",  # a space without width
        "xn--c-iia.example",
    ],
)
def test_homoglyphs_are_other_letters(odd):
    """Names are compared code point by code point."""
    assert not granted(verified(dns=(odd,)), dns="ci.example")
    assert not granted(verified(common_name=odd), common_name="ci.example")
    assert not granted(verified(uris=(f"https://{odd}/",)), uri="https://ci.example/*")
    assert not granted(verified(emails=(f"a@{odd}",)), email="a@ci.example")


def test_only_ascii_is_lower_cased():
    """The Kelvin sign is not a `k`, and the long s is not an `s`."""
    for odd, plain in (("\u212aube.example", "kube.example"), ("\u017f.x", "s.x")):
        assert not granted(verified(dns=(odd,)), dns=plain)
        uri = f"https://{odd}/"
        assert not granted(verified(uris=(uri,)), uri=f"https://{plain}/*")
        assert not granted(
            verified(uris=(f"spiffe://{odd}/a",)), spiffe=f"spiffe://{plain}/a"
        )


def test_composed_and_decomposed_letters_differ():
    """Nothing is normalised: two spellings of an accent are two names."""
    assert granted(verified(common_name="caf\u00e9"), common_name="caf\u00e9")
    assert not granted(verified(common_name="cafe\u0301"), common_name="caf\u00e9")


def test_wildcard_in_a_certificate_grants_nothing():
    """A certificate for `*.ci.example` is granted nothing; deny rules match it."""
    peer = verified(dns=("*.ci.example",))
    for pattern in ("*.ci.example", "a.ci.example", "*.example"):
        assert not granted(peer, dns=pattern)
    assert is_claimed(peer, dns="*.ci.example")
    assert not is_claimed(peer, dns="a.ci.example")
    for odd in ("*", "*.", "*.*", "a*.ci.example", "*.*.ci.example"):
        assert not granted(verified(dns=(odd,)), dns="*.ci.example")


def test_certificate_with_thousands_of_names():
    """A certificate may have any number of names; each is matched without an error."""
    many = tuple(f"h{n}.ci.example" for n in range(5_000))
    peer = verified(dns=many, uris=tuple(f"https://{name}/" for name in many))
    assert granted(peer, dns="h4999.ci.example")
    assert granted(peer, uri="https://h4999.ci.example/*")
    assert not granted(peer, spiffe="spiffe://td/a")


def test_long_names():
    """A name of 100 kB is compared like any other."""
    long = "a" * 100_000
    peer = claimed(
        dns=(long, f"{long}.ci.example", "." * 100_000),
        uris=(f"spiffe://{long}", f"spiffe://td/{long}", "/" * 100_000, ":" * 100_000),
        emails=("@" * 100_000,),
        ips=("1" * 100_000, "1." * 50_000, ":" * 100_000),
        common_name=long,
        organizational_units=(long,),
        subject=f"CN={long}",
        fingerprint=f"sha256:{long}",
        public_key=":" * 100_000,
    )
    for criteria in (
        {"dns": "ci.example"},
        {"spiffe": "spiffe://td/b*"},
        {"uri": "https://ci.example/*"},
        {"email": "a@ci.example"},
        {"ip": "1.1.1.1"},
        {"common_name": "a"},
        {"subject": "CN=a"},
        {"fingerprint": "sha256:" + "aa" * 32},
        {"public_key": "sha256:" + "aa" * 32},
    ):
        assert not is_claimed(peer, **criteria)
