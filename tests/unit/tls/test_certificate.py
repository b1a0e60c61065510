"""Tests of parsing certificates into plain values."""

from __future__ import annotations

import ipaddress
import subprocess
import warnings
from contextlib import suppress
from datetime import datetime, timedelta, timezone

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.bridge_certs import certificate as bridge_certificate
from support.bridge_certs import key_usage
from support.effort import repeats

from grpcsecure.errors import CertificateError
from grpcsecure.model.peer import Certificate
from grpcsecure.model.subject import parse_subject
from grpcsecure.tls import der as fields_of
from grpcsecure.tls.certificate import parse_certificate, parse_pem_certificates
from grpcsecure.tls.openssl.certificate_names import render_name

KEY = ec.generate_private_key(ec.SECP256R1())
START = datetime(2026, 1, 1, tzinfo=timezone.utc)
DER = serialization.Encoding.DER


def certificate(*, subject=(), names=(), key=KEY):
    """Return the DER of a self-signed certificate."""
    name = x509.Name(
        x509.NameAttribute(oid, value, _type=kind, _validate=False)
        for oid, value, kind in subject
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(0x4F9A)
        .not_valid_before(START)
        .not_valid_after(START + timedelta(days=1))
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(DER)


def cn(value, kind=x509.name._ASN1Type.UTF8String):
    """Return a common name of any type and length."""
    return (NameOID.COMMON_NAME, value, kind)


def unit(value):
    """Return an organizational unit."""
    kind = x509.name._ASN1Type.UTF8String
    return (NameOID.ORGANIZATIONAL_UNIT_NAME, value, kind)


def test_every_field_is_parsed():
    """Names, dates, serial number and units are those of the certificate."""
    parsed = parse_certificate(
        certificate(
            subject=[unit("Ops"), unit("Night, shift"), cn("billing")],
            names=[
                x509.DNSName("billing.example"),
                x509.DNSName("*.billing.example"),
                x509.UniformResourceIdentifier("spiffe://corp.example/billing"),
                x509.RFC822Name("ops@corp.example"),
                x509.IPAddress(ipaddress.ip_address("10.0.0.7")),
                x509.IPAddress(ipaddress.ip_address("::1")),
                x509.RegisteredID(NameOID.COMMON_NAME),
            ],
        )
    )
    assert parsed.subject == parsed.issuer == r"CN=billing,OU=Night\, shift,OU=Ops"
    assert parsed.common_name == "billing"
    assert parsed.organizational_units == ("Ops", "Night, shift")
    assert parsed.serial_number == 0x4F9A
    assert parsed.not_before == START
    assert parsed.not_after == START + timedelta(days=1)
    assert parsed.dns == ("billing.example", "*.billing.example")
    assert parsed.uris == ("spiffe://corp.example/billing",)
    assert parsed.spiffe_id == "spiffe://corp.example/billing"
    assert parsed.emails == ("ops@corp.example",)
    assert parsed.ips == ("10.0.0.7", "::1")


@pytest.mark.parametrize("curve", [ec.SECP256R1, ec.SECP521R1])
def test_digests_are_those_of_openssl(tmp_path, curve):
    """Operators copy fingerprints from `openssl`, so the digests have to agree."""
    der = certificate(key=ec.generate_private_key(curve()))
    (tmp_path / "c.der").write_bytes(der)
    inform = ["openssl", "x509", "-inform", "der", "-in", tmp_path / "c.der", "-noout"]
    shown = subprocess.check_output([*inform, "-fingerprint", "-sha256"], text=True)
    pem = subprocess.check_output([*inform, "-pubkey"])
    info = subprocess.check_output(
        ["openssl", "pkey", "-pubin", "-outform", "der"], input=pem
    )
    digest = subprocess.check_output(["openssl", "dgst", "-sha256", "-c"], input=info)
    parsed = parse_certificate(der)
    assert parsed.fingerprint == "sha256:" + shown.strip().partition("=")[2].lower()
    assert parsed.public_key == "sha256:" + digest.decode().split()[-1].lower()


ODD = {
    "empty subject": {"subject": []},
    "NUL in the common name": {"subject": [cn("good.example\0.evil.example")]},
    "200 SANs": {"names": [x509.DNSName(f"h{i}.example") for i in range(200)]},
    "10,000 characters": {"names": [x509.DNSName("a" * 10_000)]},
    "a common name that is too long": {"subject": [cn("x" * 10_000)]},
    "NUL in a SAN": {"names": [x509.DNSName("good.example\0.evil.example")]},
    "empty SAN": {"names": [x509.DNSName("")]},
}


@pytest.mark.parametrize("arguments", ODD.values(), ids=ODD)
@pytest.mark.filterwarnings("ignore:Attribute's length")
def test_odd_names_are_kept_as_they_are(arguments):
    """Names that no CA should sign are neither cut nor normalised."""
    der = certificate(**arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parsed = parse_certificate(der)
    assert parsed.dns == tuple(name.value for name in arguments.get("names", ()))
    if "subject" in arguments:
        names = [value for _, value, _ in arguments["subject"]]
        assert parsed.common_name == (names[0] if names else None)


def test_first_of_several_common_names_counts():
    """As in gRPC."""
    parsed = parse_certificate(certificate(subject=[cn("first"), cn("second")]))
    assert parsed.common_name == "first"


def test_name_that_is_not_utf8_is_a_certificate_error():
    """Bytes that cannot be decoded are not used as a name."""
    der = certificate(subject=[cn("abcdef")]).replace(
        b"abcdef", b"\xff\xfe\xfd\xfc\xfb\xfa"
    )
    with pytest.raises(CertificateError):
        parse_certificate(der)


@pytest.mark.parametrize("der", [b"", b"0", b"\x30\x03\x02\x01\x05", b"\xff" * 100])
def test_garbage_is_a_certificate_error(der):
    """Bytes that are not a certificate raise only `CertificateError`."""
    with pytest.raises(CertificateError):
        parse_certificate(der)


GOOD = certificate(
    subject=[unit("Ops"), cn("billing")],
    names=[x509.DNSName("a.example"), x509.IPAddress(ipaddress.ip_address("::1"))],
)


@pytest.mark.properties
@settings(
    max_examples=repeats(400, 2000),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(st.integers(0, len(GOOD) - 1), st.binary(min_size=1, max_size=4))
def test_damaged_certificate_is_read_or_refused(position, damage):
    """A damaged certificate is either parsed or raises `CertificateError`."""
    der = GOOD[:position] + damage + GOOD[position + len(damage) :]
    with suppress(CertificateError):
        assert isinstance(parse_certificate(der), Certificate)


def test_parsed_certificate_is_cached_by_its_bytes():
    """A connection's certificate is parsed once, not at every call."""
    assert parse_certificate(GOOD) is parse_certificate(bytes(bytearray(GOOD)))


def test_long_certificate_is_not_cached():
    """So unknown clients cannot fill the cache with long certificates."""
    long = certificate(names=[x509.DNSName(f"{n}.example") for n in range(1000)])
    assert parse_certificate(long) == parse_certificate(long)
    assert parse_certificate(long) is not parse_certificate(long)


def test_repr_leaves_the_bytes_out():
    """So a log line with a certificate stays readable."""
    assert "der=" not in repr(parse_certificate(GOOD))


def test_pem_of_auth_context_is_parsed():
    """Leaf and chain come as PEM; a broken one is an error, not an empty chain."""
    pem = x509.load_der_x509_certificate(GOOD).public_bytes(serialization.Encoding.PEM)
    assert parse_pem_certificates(pem + pem) == (GOOD, GOOD)
    assert parse_pem_certificates(b"") == ()
    with pytest.raises(CertificateError):
        parse_pem_certificates(pem + pem[:-10])


_KINDS = x509.name._ASN1Type
#: Types that every library has a name for, that some have one for, and that none has.
_OIDS = st.sampled_from(
    [
        "2.5.4.3",
        "2.5.4.11",
        "2.5.4.17",
        "0.9.2342.19200300.100.1.25",
        "1.2.840.113549.1.9.1",
        "1.2.3.4",
    ]
)
_PLAIN = st.text(st.characters(max_codepoint=0x7E, min_codepoint=0x20), min_size=1)
_ANY = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=150)
_BMP = st.text(
    st.characters(exclude_categories=["Cs"], max_codepoint=0xFFFF),
    min_size=1,
    max_size=16,
)
_LETTERS = st.text("abyzABYZ019 '()+,-./:=?", min_size=1)
_STRINGS = st.one_of(
    st.tuples(_ANY, st.just(_KINDS.UTF8String)),
    st.tuples(_ANY, st.just(_KINDS.UniversalString)),
    st.tuples(_BMP, st.just(_KINDS.BMPString)),
    st.tuples(_PLAIN, st.just(_KINDS.IA5String)),
    st.tuples(_PLAIN, st.just(_KINDS.T61String)),
    st.tuples(_LETTERS, st.just(_KINDS.PrintableString)),
    st.tuples(_LETTERS, st.just(_KINDS.VisibleString)),
    st.tuples(st.text("0123456789 ", min_size=1), st.just(_KINDS.NumericString)),
)
_SUBJECTS = st.lists(
    st.tuples(_OIDS.map(x509.ObjectIdentifier), _STRINGS).map(lambda t: (t[0], *t[1])),
    min_size=1,
    max_size=4,
)


@pytest.mark.filterwarnings("ignore:Attribute's length must be")
@settings(deadline=None, max_examples=repeats(40, 100))
@given(_SUBJECTS, st.data())
def test_all_spellings_of_a_subject_are_equal(subject, data):
    """Text, hex of any string type, and gRPC's own spelling: as the certificate's."""
    der = certificate(subject=subject)
    shown = parse_certificate(der).subject
    # A value of one space is escaped twice by cryptography 46.0.
    if all(value != " " for _, value, _ in subject):
        assert shown == x509.load_der_x509_certificate(der).subject.rfc4514_string()
    wanted = parse_subject(shown)
    name = fields_of.read_certificate(der).subject
    assert parse_subject(render_name(name).decode()) == wanted
    elements = [element for part in name for _, element in part]
    spelled = [
        f"{oid.dotted_string}=#{element.whole.hex()}"
        if data.draw(st.booleans())
        else x509.NameAttribute(oid, value, _validate=False).rfc4514_string()
        for (oid, value, _), element in zip(subject, elements, strict=True)
    ]
    assert parse_subject(",".join(reversed(spelled))) == wanted


@pytest.mark.parametrize("size", [3, 126, 127, 300, 70_000])
def test_bits_in_a_subject_are_not_a_text(size):
    """A bit string is shown as hex of its encoding, and never equals a string."""
    text = b"x" * (size - 3)
    bits = b"\0\x16" + bytes([len(text) & 0x7F]) + text
    oid = NameOID.X500_UNIQUE_IDENTIFIER
    der = certificate(subject=[cn("a"), (oid, bits, _KINDS.BitString)])
    shown = parse_certificate(der).subject
    [_, [(_, element)]] = fields_of.read_certificate(der).subject
    assert shown == f"2.5.4.45=#{element.whole.hex()},CN=a"
    assert parse_subject(shown).values("2.5.4.45") == (element.whole,)


@pytest.mark.parametrize(
    "spelling",
    [
        # openssl x509 -nameopt RFC2253, Go's pkix.Name, Java's X500Principal, grpcio.
        "emailAddress=zoe@corp.example,OU=Ops,O=Corp",
        "1.2.840.113549.1.9.1=#0c107a6f6540636f72702e6578616d706c65,OU=Ops,O=Corp",
        "1.2.840.113549.1.9.1=#16107a6f6540636f72702e6578616d706c65,OU=Ops,O=Corp",
        "E=zoe@corp.example,OU=Ops,O=Corp",
    ],
)
def test_spellings_of_an_email_address(spelling):
    """What other tools print for an email address in a subject matches it."""
    der = certificate(
        subject=[
            (NameOID.ORGANIZATION_NAME, "Corp", _KINDS.UTF8String),
            unit("Ops"),
            (NameOID.EMAIL_ADDRESS, "zoe@corp.example", _KINDS.IA5String),
        ]
    )
    assert parse_subject(spelling) == parse_subject(parse_certificate(der).subject)


@pytest.mark.parametrize(
    ("is_ca", "use", "may_issue"),
    [
        (False, "digital_signature", False),
        (False, None, False),
        (True, "digital_signature", True),
        (True, None, True),
        (False, "key_cert_sign", True),
        (False, "crl_sign", True),
    ],
)
def test_right_to_issue_is_read(is_ca, use, may_issue):
    """No certificate with `cA`, keyCertSign or cRLSign has a SPIFFE id."""
    uri = "spiffe://corp.example/a"
    made = bridge_certificate(
        "workload",
        names=[x509.UniformResourceIdentifier(uri)],
        is_ca=is_ca,
        usage=None if use is None else key_usage(use),
    )
    parsed = parse_certificate(made.der)
    assert parsed.may_issue is may_issue
    assert parsed.spiffe_id == (None if may_issue else uri)


@pytest.mark.parametrize(
    ("tag", "text", "year"),
    [
        (0x17, "500101000000Z", 1950),
        (0x17, "491231235959Z", 2049),
        (0x18, "20500228000000Z", 2050),
        (0x18, "99991231235959Z", 9999),
        (0x18, "20500230000000Z", None),
        (0x18, "00000101000000Z", None),
        (0x18, "20500101000000+", None),
        (0x17, "20500101000000Z", None),
        (0x17, " 50101000000Z", None),
        (0x17, "5001010000000", None),
        (0x16, "500101000000Z", None),
    ],
)
def test_date_has_the_form_of_rfc_5280(tag, text, year):
    """A UTCTime is of 1950 to 2049; other forms and days that do not exist fail."""
    element = fields_of.Element(tag, text.encode(), b"")
    if year is not None:
        assert fields_of.read_date(element).year == year
    else:
        with pytest.raises(fields_of.DerError):
            fields_of.read_date(element)
