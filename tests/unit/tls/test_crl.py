"""Tests of revocation lists: their parsing, their signatures, and files of them."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st
from support.crl_specimens import (
    CURRENT,
    DAY,
    NOW,
    UNKNOWN,
    crl_with,
    endless_crl,
    scope,
)

from grpcsecure.devcerts import Profile, issue, make_authority, make_crl
from grpcsecure.devcerts.credentials import CA_USAGE
from grpcsecure.errors import CertificateError, KeyMaterialError
from grpcsecure.model.listener import TlsSettings
from grpcsecure.model.modes import ClientCertificateMode
from grpcsecure.tls.certificate import parse_certificate
from grpcsecure.tls.crl import is_signed_by, parse_crl
from grpcsecure.tls.files import read_files
from grpcsecure.tls.material import load_material, material_paths
from grpcsecure.tls.pem import BrokenBlock, render_pem
from grpcsecure.tls.purpose import allows_crl_signing

CA = make_authority("the CA", now=NOW, days=30)
DER = crl_with(CA)
PEM = render_pem("X509 CRL", [DER])
LINES = PEM.count(b"\n")

NO_LIST = "it is not an X.509 revocation list"

_URL = [x509.UniformResourceIdentifier("http://ca.test/1.crl")]


def parsed(credential):
    """Return the parsed certificate of a credential."""
    encoded = credential.certificate.public_bytes(serialization.Encoding.DER)
    return parse_certificate(encoded)


def test_list_is_read():
    """Issuer and dates are those of the list, in UTC."""
    crl = parse_crl(DER)
    assert crl.der == DER
    assert crl.issuer == "CN=the CA" == parsed(CA).subject
    assert (crl.this_update, crl.next_update) == CURRENT
    assert crl.limitation is None
    assert "der" not in repr(crl)


@pytest.mark.parametrize(
    ("moment", "reason"),
    [
        (CURRENT.not_before - DAY, "CRL is not yet valid"),
        (CURRENT.not_before, None),
        (CURRENT.not_after, None),
        (CURRENT.not_after + DAY, "CRL has expired"),
    ],
)
def test_dates_decide_whether_it_is_in_force(moment, reason):
    """It is in force from `thisUpdate` to `nextUpdate`, both included."""
    assert parse_crl(DER).why_not_in_force(moment) == reason


def test_list_without_next_update_never_expires():
    """It has no date after which it is outdated."""
    crl = parse_crl(endless_crl(CA))
    assert crl.next_update is None
    assert crl.why_not_in_force(NOW + 10_000 * DAY) is None
    assert is_signed_by(crl, parsed(CA))


@pytest.mark.parametrize(
    ("extension", "critical", "expected"),
    [
        (x509.DeltaCRLIndicator(1), True, "delta CRL"),
        (scope(full_name=_URL, indirect_crl=True), True, "indirect CRL"),
        (
            scope(
                full_name=_URL,
                only_some_reasons=frozenset({x509.ReasonFlags.key_compromise}),
            ),
            True,
            "some reasons only",
        ),
        (scope(only_contains_attribute_certs=True), True, None),
        (x509.UnrecognizedExtension(UNKNOWN, b"\5\0"), True, UNKNOWN.dotted_string),
        (x509.UnrecognizedExtension(UNKNOWN, b"\5\0"), False, None),
        (x509.CRLNumber(7), False, None),
        (scope(full_name=_URL), True, None),
        (scope(only_contains_user_certs=True), True, None),
        (scope(only_contains_ca_certs=True), True, None),
    ],
)
def test_limitation_of_an_unusable_list(extension, critical, expected):
    """A partial list, or one with an unknown critical extension, has a limitation."""
    limitation = parse_crl(crl_with(CA, (extension, critical))).limitation
    assert (limitation is None) is (expected is None)
    assert (expected or "") in (limitation or "")


def test_signature_decides_whose_list_it_is():
    """A list belongs to the CA whose key signed it; the name is not enough."""
    other = make_authority("the CA", now=NOW, days=30)
    crl = parse_crl(DER)
    assert is_signed_by(crl, parsed(CA))
    assert not is_signed_by(crl, parsed(other))
    damaged = parse_crl(DER[:-1] + bytes([DER[-1] ^ 1]))
    assert not is_signed_by(damaged, parsed(CA))


def test_rsa_signs_lists_too():
    """The type of the key does not matter."""
    key = rsa.generate_private_key(65537, 2048)
    profile = Profile(
        subject="RSA", validity=CURRENT, purposes=(), usage=CA_USAGE, is_ca=True
    )
    ca = issue(profile, key=key)
    encoded = make_crl(ca, validity=CURRENT).public_bytes(serialization.Encoding.DER)
    assert is_signed_by(parse_crl(encoded), parsed(ca))
    assert not is_signed_by(parse_crl(encoded), parsed(CA))


@pytest.mark.parametrize(
    ("usage", "allowed"),
    [(CA_USAGE, True), (("key_cert_sign",), False), (None, True)],
)
def test_usage_decides_who_may_sign_lists(usage, allowed):
    """A CA whose keyUsage lacks cRLSign may not; without the extension it may."""
    profile = Profile(subject="x", validity=CURRENT, usage=usage, is_ca=True)
    assert allows_crl_signing(parsed(issue(profile))) is allowed


@given(st.binary(max_size=64))
def test_garbage_is_not_a_list(data):
    """Any bytes raise the same error."""
    with pytest.raises(CertificateError, match=re.escape(NO_LIST)):
        parse_crl(data)


@given(st.integers(0, len(DER) - 1), st.integers(1, 255))
def test_damaged_list_is_read_or_refused(index, change):
    """A changed byte never causes an exception other than `CertificateError`."""
    damaged = bytearray(DER)
    damaged[index] ^= change
    with suppress(CertificateError):
        is_signed_by(parse_crl(bytes(damaged)), parsed(CA))


# Lists in files


def content(tmp_path, data):
    """Write `data` to a file and return its parsed content."""
    path = tmp_path / "x.crl"
    path.write_bytes(data)
    return read_files([path])[path]


def test_file_holds_one_list_or_several(tmp_path):
    """PEM may hold several, with text between them; DER is one."""
    certificate = CA.certificate_pem
    several = content(tmp_path, b"first\n" + PEM + b"\n" + certificate + PEM)
    assert [crl.der for crl in several.revocation_lists()] == [DER, DER]
    assert [crl.der for crl in content(tmp_path, DER).revocation_lists()] == [DER]
    assert content(tmp_path, certificate).revocation_lists() == ()


@pytest.mark.parametrize(
    ("data", "line", "problem"),
    [
        (PEM + render_pem("X509 CRL", [b"\x30\0"]), LINES + 1, NO_LIST),
        (PEM.replace(b"M", b"!", 1), 1, "its base64 is damaged"),
        (DER[:-1], 1, NO_LIST),
        (DER + b"\0", 1, NO_LIST),
    ],
)
def test_broken_list_is_reported_never_skipped(tmp_path, data, line, problem):
    """The good lists are returned, and a broken block in place of the other."""
    *good, broken = content(tmp_path, data).revocation_lists()
    assert isinstance(broken, BrokenBlock)
    assert (broken.line, broken.problem) == (line, problem)
    assert all(entry.der == DER for entry in good)


@pytest.fixture(name="tls")
def _tls(certificates):
    """Settings with two good files of lists."""
    return TlsSettings(
        certificate=certificates / "server.pem",
        private_key=certificates / "server.key",
        client_certificate=ClientCertificateMode.REQUIRE_AND_VERIFY,
        client_ca=certificates / "ca.pem",
        crl=(certificates / "broken/ca.crl", certificates / "broken/ca-der.crl"),
    )


def test_material_holds_the_lists(tls):
    """In DER in the order of the files, and parsed."""
    material = load_material(tls, generation=1)
    der = tls.crl[1].read_bytes()
    assert material.crls == (der, der)
    assert material.revocation_lists == (parse_crl(der), parse_crl(der))
    assert set(tls.crl) < set(material_paths(tls))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none.crl", "no such file or directory"),
        ("ca.pem", "holds no revocation list"),
        ("broken/empty.pem", "holds no revocation list"),
        ("broken/ca-broken.crl", "has a broken block"),
        ("broken/server.der", "has a broken block"),
        ("broken/ca-delta.crl", "cannot be used: it lists changes"),
    ],
)
def test_unusable_list_is_an_error(tls, certificates, name, words):
    """A list that could let a revoked client in makes the material fail to load."""
    with pytest.raises(KeyMaterialError, match=words):
        load_material(replace(tls, crl=(*tls.crl, certificates / name)), generation=1)
