"""Tests of findings about lists that can vouch for no client, on real files."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from support.certificates import make_specimens
from support.crl_specimens import CURRENT, DAY, crl_with, scope
from support.file_checks import NOW, check, listener

from grpcsecure.devcerts import Profile, Validity, issue, make_authority, make_crl
from grpcsecure.devcerts.credentials import CA_USAGE, pem_of
from grpcsecure.tls.crl import CrlScope, parse_crl

ROOT = make_authority("root", now=NOW, days=30)
INTERMEDIATE = issue(
    Profile(
        subject="intermediate",
        validity=CURRENT,
        purposes=(),
        usage=CA_USAGE,
        is_ca=True,
    ),
    issuer=ROOT,
)
URL = "http://ca.corp.example/1.0/crl"
POINT = [x509.UniformResourceIdentifier(URL)]
PAST = Validity(NOW - 3 * DAY, NOW - DAY)


def limited(issuer=ROOT, validity=CURRENT, **limits):
    """Return a list with a scope."""
    extensions = [(scope(**limits), True)] if limits else []
    return crl_with(issuer, *extensions, validity=validity)


CRLS = {
    "full": limited(),
    "full-past": limited(validity=PAST),
    "cas": limited(only_contains_ca_certs=True),
    "users": limited(only_contains_user_certs=True),
    "attributes": limited(only_contains_attribute_certs=True),
    "point": limited(full_name=POINT, only_contains_user_certs=True),
    "directory": limited(
        full_name=[x509.DirectoryName(ROOT.certificate.subject)],
    ),
    "relative": limited(
        relative_name=x509.RelativeDistinguishedName(
            [x509.NameAttribute(x509.NameOID.COMMON_NAME, "part 1")]
        )
    ),
    "intermediate": limited(INTERMEDIATE),
    "intermediate-cas": limited(INTERMEDIATE, only_contains_ca_certs=True),
}


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory):
    """A directory with the specimens, and lists of every scope."""
    folder = tmp_path_factory.mktemp("scope")
    make_specimens(folder / "certs")
    (folder / "root.pem").write_bytes(pem_of(ROOT.certificate))
    both = pem_of(ROOT.certificate, INTERMEDIATE.certificate)
    (folder / "both.pem").write_bytes(both)
    for name, der in CRLS.items():
        (folder / f"{name}.crl").write_bytes(der)
    return folder


def findings(folder, *names, client_ca="root.pem"):
    """Return the findings about the scope of these lists."""
    files = ", ".join(f"{name}.crl" for name in names)
    found = check(folder, listener(client_ca=client_ca, crl=f"[{files}]"))
    codes = ("GS237", "GS238", "GS239")
    assert not any(finding.is_error for finding, _ in found)
    return [finding for finding, _ in found if finding.code in codes]


@pytest.mark.parametrize(
    "names",
    [
        ("full",),
        ("users",),
        ("cas", "users"),
        ("point", "full"),
        # The root signs intermediates only, and the intermediate signs the clients.
        ("cas", "intermediate"),
        ("full", "intermediate"),
        ("users", "cas", "intermediate"),
    ],
)
def test_lists_that_vouch_for_clients_have_no_finding(folder, names):
    """Together these lists cover the certificates of clients."""
    assert findings(folder, *names) == []


@pytest.mark.parametrize(
    ("names", "message", "label"),
    [
        (("cas",), "`CN=root` in `cas.crl` vouches for no client", "CA certificates"),
        (("cas", "full-past"), "vouches for no client", "CA certificates only"),
        (("attributes",), "vouches for no client", "attribute certificates only"),
        (("attributes", "intermediate"), "vouches for no client", "attribute"),
        (("cas", "intermediate-cas"), "vouches for no client", "CA certificates only"),
        (("users", "intermediate"), "no intermediate CA", "end-entity certificates"),
    ],
)
def test_lists_for_other_certificates_are_found(folder, names, message, label):
    """The finding names the CA and the scope of its list."""
    finding = findings(folder, *names)[0]
    assert finding.code == "GS237"
    assert message in finding.message
    assert label in finding.label


def test_scope_of_a_list_below_is_enough_for_an_intermediate_in_client_ca(folder):
    """An intermediate in `client_ca` needs no list, and its clients only its own."""
    for name in ("users", "cas"):
        assert findings(folder, name, "intermediate", client_ca="both.pem") == []


def test_distribution_point_is_named_with_the_line_for_the_template(folder):
    """The finding has the point, and the lines for step-ca and openssl.cnf."""
    (finding,) = findings(folder, "point")
    assert finding.code == "GS238"
    assert f"its distribution point `{URL}`" in finding.message
    assert f'`"crlDistributionPoints": ["{URL}"]`' in finding.help
    assert finding.notes == (f"in openssl.cnf: `crlDistributionPoints = URI:{URL}`",)


@pytest.mark.parametrize(
    ("name", "point"), [("directory", "CN=root"), ("relative", "CN=part 1")]
)
def test_other_names_of_a_point_are_named(folder, name, point):
    """A directory name and a relative name are shown as text."""
    (finding,) = findings(folder, name)
    assert (finding.code, f"`{point}`" in finding.message) == ("GS238", True)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("critical", [True, False])
def test_entries_that_take_off_are_counted(folder, count, critical):
    """The reason removeFromCRL in a complete list is found, however it is encoded."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(ROOT.certificate.subject)
        .last_update(CURRENT.not_before)
        .next_update(CURRENT.not_after)
    )
    flags = x509.ReasonFlags
    for number, flag in enumerate([flags.superseded, *[flags.remove_from_crl] * count]):
        entry = x509.RevokedCertificateBuilder(1000 + number, CURRENT.not_before)
        entry = entry.add_extension(x509.CRLReason(flag), critical=critical)
        builder = builder.add_revoked_certificate(entry.build())
    crl = builder.sign(ROOT.key, ROOT.certificate.signature_hash_algorithm)
    (folder / "removals.crl").write_bytes(crl.public_bytes(Encoding.DER))
    (finding,) = findings(folder, "removals")
    entries = "1 entry" if count == 1 else "2 entries"
    assert finding.code == "GS239"
    assert f"has {entries} with the reason removeFromCRL" in finding.message


def test_delta_list_may_take_off(folder):
    """In a delta list the reason is in its place; that list has another finding."""
    delta = make_crl(
        ROOT,
        [INTERMEDIATE.certificate],
        validity=CURRENT,
        is_delta=True,
        reason=x509.ReasonFlags.remove_from_crl,
    )
    (folder / "delta.crl").write_bytes(delta.public_bytes(Encoding.DER))
    found = check(folder, listener(client_ca="root.pem", crl="[delta.crl]"))
    assert [finding.code for finding, _ in found] == ["GS228"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("full", CrlScope.ALL),
        ("users", CrlScope.CLIENTS),
        ("cas", CrlScope.AUTHORITIES),
        ("attributes", CrlScope.ATTRIBUTES),
        ("point", CrlScope.CLIENTS),
    ],
)
def test_scope_is_parsed(name, expected):
    """A parsed list knows what it is for, and no scope makes it unusable."""
    crl = parse_crl(CRLS[name])
    assert (crl.scope, crl.limitation) == (expected, None)
    assert crl.points == ((URL,) if name == "point" else ())


@pytest.mark.parametrize(("number", "codes"), [(30, []), (31, ["GS240"])])
def test_many_cas_are_counted(folder, number, codes):
    """More than 30 self-signed CAs are a warning that counts each of them once."""
    several = [
        make_authority(f"CA {each}", now=NOW, days=30).certificate
        for each in range(number)
    ]
    (folder / "many.pem").write_bytes(pem_of(*several, several[0]))
    found = check(folder, listener(client_ca="many.pem"))
    assert [finding.code for finding, _ in found] == codes
    assert all("trusts 31 self-signed CAs" in one.message for one, _ in found)
