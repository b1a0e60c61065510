"""Reading certificates that `cryptography` does not parse."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from support.bridge_certs import authority, revocation_list
from support.resigned_certificates import KINDS, SUBJECT, resigned, resigned_client

from grpcsecure.errors import CertificateError
from grpcsecure.model.peer import Certificate
from grpcsecure.tls import purpose
from grpcsecure.tls.certificate import parse_certificate
from grpcsecure.tls.crl import is_signed_by, parse_crl
from grpcsecure.tls.digests import spell_digest
from grpcsecure.tls.pem import PemBlock, parse_pem


@pytest.fixture(name="ca", scope="module")
def _ca():
    """The CA of the clients."""
    return authority("ca")


def read_with_cryptography(der):
    """Return a certificate as `cryptography` reads it; ValueError if it does not."""
    loaded = x509.load_der_x509_certificate(der)
    extensions = {each.oid: each.value for each in loaded.extensions}
    names = extensions.get(x509.ExtensionOID.SUBJECT_ALTERNATIVE_NAME, [])
    constraints = extensions.get(x509.ExtensionOID.BASIC_CONSTRAINTS)
    usage = extensions.get(x509.ExtensionOID.KEY_USAGE)

    def subject(oid):
        return tuple(a.value for a in loaded.subject.get_attributes_for_oid(oid))

    def alternative(kind):
        return tuple(str(name.value) for name in names if isinstance(name, kind))

    return Certificate(
        der=der,
        subject=loaded.subject.rfc4514_string(),
        issuer=loaded.issuer.rfc4514_string(),
        serial_number=loaded.serial_number,
        not_before=loaded.not_valid_before_utc,
        not_after=loaded.not_valid_after_utc,
        fingerprint=spell_digest(der),
        public_key=spell_digest(
            loaded.public_key().public_bytes(
                Encoding.DER, PublicFormat.SubjectPublicKeyInfo
            )
        ),
        common_name=next(iter(subject(x509.NameOID.COMMON_NAME)), None),
        organizational_units=subject(x509.NameOID.ORGANIZATIONAL_UNIT_NAME),
        dns=alternative(x509.DNSName),
        uris=alternative(x509.UniformResourceIdentifier),
        emails=alternative(x509.RFC822Name),
        ips=alternative(x509.IPAddress),
        may_issue=bool(constraints and constraints.ca)
        or bool(usage and (usage.key_cert_sign or usage.crl_sign)),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_names_are_read_where_cryptography_refuses(ca, kind):
    """One odd character or default hides neither the names nor the key."""
    client = resigned_client(ca, kind)
    with pytest.raises(ValueError, match="asn1"):
        read_with_cryptography(client.der)
    parsed = parse_certificate(client.der)
    ordinary = parse_certificate(client.pair.der)
    assert parsed == replace(
        ordinary,
        der=client.der,
        fingerprint=spell_digest(client.der),
        subject=parsed.subject,
        common_name=parsed.common_name,
        organizational_units=parsed.organizational_units,
    )
    assert parsed.dns == ("device.test",)
    assert parsed.subject in {
        "OU=Muller,CN=device-7",
        "OU=Muller,CN=device_7",
        "OU=M\xfcller,CN=device-7",
    }


@pytest.mark.parametrize("kind", KINDS)
def test_usages_are_read_too(ca, kind):
    """The checks of a file answer for such a certificate as for any other."""
    parsed = parse_certificate(resigned_client(ca, kind).der)
    assert not purpose.is_ca(parsed)
    assert not purpose.allows_server_auth(parsed)
    assert purpose.allows_signing(parsed)
    assert purpose.describe_key(parsed) == "EC secp256r1"
    assert purpose.has_issued(parse_certificate(ca.der), parsed)


def test_ordinary_certificates_are_read_alike(certificates):
    """`cryptography` reads the same in every file that `certs dev --broken` makes."""
    count = 0
    for path in sorted(certificates.rglob("*.pem")):
        for block in parse_pem(path.read_bytes()):
            if isinstance(block, PemBlock) and block.label == "CERTIFICATE":
                read = parse_certificate(block.der)
                assert read == read_with_cryptography(block.der), path.name
                count += 1
    assert count > 20


def test_damaged_certificates_raise_or_are_read(ca):
    """No bytes raise anything else, and a name is never passed over in silence."""
    chance = random.Random(7)
    ders = [resigned_client(ca, kind).der for kind in KINDS]
    for _ in range(5_000):
        damaged = bytearray(chance.choice(ders))
        for _ in range(chance.randint(1, 3)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            assert isinstance(parse_certificate(bytes(damaged)), Certificate)
        except CertificateError:
            continue


@pytest.mark.parametrize("kind", KINDS[:2])
def test_key_of_such_a_ca_verifies_its_lists(kind):
    """The key is loaded alone: no other part of the certificate stands in the way."""
    pair = authority(SUBJECT)
    ca = parse_certificate(resigned(pair, pair, kind).der)
    assert is_signed_by(parse_crl(revocation_list(pair)), ca)
    assert not is_signed_by(parse_crl(revocation_list(authority("other"))), ca)
