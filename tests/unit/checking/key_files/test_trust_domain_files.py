"""Tests of findings about the files of a `client_ca` that maps trust domains."""

from __future__ import annotations

import pytest
from support.certificates import make_certificates, make_specimens
from support.file_checks import NOW, check, listener, load, pointed_at

from grpcsecure.checking.key_files.key_material import check_files
from grpcsecure.checking.key_files.previous import check_previous
from grpcsecure.tls.certificate import parse_certificate, parse_pem_certificates


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory):
    """A directory with `certs/` and `partner/`, of two CAs."""
    folder = tmp_path_factory.mktemp("files")
    make_specimens(folder / "certs")
    make_certificates(folder / "partner")
    return folder


def mapped(corp, partner, **more):
    """Return a listener whose two trust domains have these files, one in each line."""
    lines = f"\n      corp.test: {corp}\n      partner.test: {partner}"
    return listener(client_ca=lines, **more)


#: The file of the second domain, the code of the finding and its message.
CASES = {
    "certs/none.pem": ("GS201", "`certs/none.pem` does not exist"),
    "partner/server.key": (
        "GS204",
        "`partner/server.key` contains a private key, not a certificate",
    ),
    "certs/broken/ca-leaf.pem": (
        "GS216",
        "`certs/broken/ca-leaf.pem` contains no CA",
    ),
    "certs/broken/ca-expired.pem": ("GS215", None),
}


@pytest.mark.parametrize(("file", "expected"), CASES.items())
def test_finding_about_a_file_is_at_its_trust_domain(folder, file, expected):
    """Each file is checked as a `client_ca`, and reported where it is named."""
    code, message = expected
    ((finding, place),) = check(folder, mapped("certs/ca.pem", file))
    assert (finding.code, place) == (code, f"partner.test: {file}")
    assert message is None or finding.message.startswith(message)


def test_file_of_two_trust_domains_is_reported_once(folder):
    """With a label at the second place."""
    path = "certs/broken/ca-leaf.pem"
    ((finding, place),) = check(folder, mapped(path, path))
    document = load(folder, mapped(path, path))
    assert place == f"corp.test: {path}"
    assert [pointed_at(document, one.span) for one in finding.secondary] == [
        f"partner.test: {path}"
    ]


def test_material_has_the_cas_by_trust_domain(folder):
    """A CA of two domains is one anchor; the PEM for TLS has every CA once."""
    text = mapped("certs/ca.pem", "both.pem")
    both = [(folder / name / "ca.pem").read_text() for name in ("certs", "partner")]
    (folder / "both.pem").write_text("".join(both))
    findings, materials = check_files(load(folder, text), NOW)
    material = materials["public"]
    corp, partner = material.client_cas
    assert findings == []
    assert material.trust_domains == {
        "corp.test": (corp,),
        "partner.test": (corp, partner),
    }
    pem = parse_pem_certificates(material.client_ca)
    assert [*pem] == [corp.der, partner.der]


def test_lists_are_for_the_cas_of_every_trust_domain(folder):
    """A CA without a list is reported with the place of its own domain."""
    one = "certs/broken/ca.crl"
    text = mapped("certs/ca.pem", "partner/ca.pem", crl=f"[{one}]")
    ((finding, _),) = check(folder, text)
    document = load(folder, text)
    assert finding.message.startswith("there is no revocation list of the client CA")
    assert [pointed_at(document, label.span) for label in finding.secondary] == [
        "partner.test: partner/ca.pem"
    ]


def test_list_of_no_client_ca_is_shown_with_every_file(folder):
    """The CA could be missing in any of them."""
    text = mapped("partner/ca.pem", "partner/ca.pem", crl="[certs/broken/ca.crl]")
    findings = [
        one for one, _ in check(folder, text) if "is not a client" in one.message
    ]
    document = load(folder, text)
    assert [
        [pointed_at(document, label.span) for label in finding.secondary]
        for finding in findings
    ] == [["corp.test: partner/ca.pem", "partner.test: partner/ca.pem"]]


def test_clients_of_a_domain_that_was_removed_are_left_behind(folder):
    """`--previous` compares with the trust domain of a client's SPIFFE id too."""
    document = load(folder, mapped("certs/ca.pem", "partner/ca.pem"))
    _, materials = check_files(document, NOW)
    (der, *_) = parse_pem_certificates((folder / "certs/client.pem").read_bytes())
    client = parse_certificate(der)
    (finding,) = check_previous(document, materials, [client], NOW)
    assert finding.label == "no client CA is given for trust domain grpcsecure.test"
