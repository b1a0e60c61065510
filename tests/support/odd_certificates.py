"""Certificates with names of every type, and with malformed or unusual names."""

from __future__ import annotations

import ipaddress
import warnings

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509 import ObjectIdentifier
from cryptography.x509.name import _ASN1Type
from support.bridge_certs import (
    DAY,
    NOW,
    Pair,
    common_name,
    new_key,
)

__all__ = [
    "ALTERNATIVE_NAMES",
    "RAW_NAMES",
    "SUBJECTS",
    "name_of_type",
    "with_raw_names",
]

ORDINARY_TYPES = [
    *(f"2.5.4.{number}" for number in (*range(3, 55), 65, 72, 97)),
    *(
        f"0.9.2342.19200300.100.1.{number}"
        for number in (1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 20, 21, 25, 37, 38, 40, 41)
    ),
    *(f"0.9.2342.19200300.100.1.{number}" for number in (42, 43, 45, 48)),
    *(f"1.2.840.113549.1.9.{number}" for number in (1, 2, 7, 8, 20)),
    "1.3.6.1.4.1.311.17.1",
    "1.3.6.1.4.1.1466.344",
    "1.3.6.1.4.1.311.60.2.1.3",
    "1.2.3.4.5",
]


def _text(oid, value, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the values are unusual on purpose
        return x509.NameAttribute(
            ObjectIdentifier(oid), value, _validate=False, **options
        )


def name_of_type(name, text):
    """Return a subject whose CN is an ASN.1 string of the type called `name`."""
    return x509.Name([_text("2.5.4.3", text, _type=getattr(_ASN1Type, name))])


SUBJECTS = {
    "all types": x509.Name([_text(oid, "vw") for oid in ORDINARY_TYPES]),
    "empty": x509.Name([]),
    "specials": x509.Name(
        [_text("2.5.4.10", '#Org, Inc;<>\\"+='), _text("2.5.4.7", " spaced # ")]
    ),
    "not ASCII": common_name("Bäyérn €😀\x01\x7f"),
    "NUL": common_name("admin\0.example"),
    "two CNs": x509.Name([_text("2.5.4.3", "first"), _text("2.5.4.3", "second")]),
    "several per RDN": x509.Name(
        [
            x509.RelativeDistinguishedName(
                [_text("2.5.4.3", "b"), _text("2.5.4.10", "o")]
            ),
            x509.RelativeDistinguishedName([_text("2.5.4.11", "u")]),
        ]
    ),
    "BMPString": name_of_type("BMPString", "é€"),
    "UniversalString": name_of_type("UniversalString", "é€"),
    "T61String": name_of_type("T61String", "é"),
    "IA5String": name_of_type("IA5String", "plain"),
    "PrintableString": name_of_type("PrintableString", "plain"),
    "NumericString": name_of_type("NumericString", "123"),
    "long": x509.Name([_text("2.5.4.3", "n" * 3000)]),
}

dns, uri, email = x509.DNSName, x509.UniformResourceIdentifier, x509.RFC822Name
ALTERNATIVE_NAMES = {
    "every kind": [
        email("m@x.example"),
        dns("a.example"),
        dns("b.example"),
        uri("spiffe://corp.example/ns/prod"),
        x509.IPAddress(ipaddress.ip_address("10.0.0.1")),
        x509.IPAddress(ipaddress.ip_address("2001:db8::1:0:0:1")),
        x509.RegisteredID(ObjectIdentifier("1.2.3.4")),
        x509.DirectoryName(common_name("directory")),
        x509.OtherName(ObjectIdentifier("1.2.3"), b"\x0c\x03abc"),
    ],
    "other only": [x509.RegisteredID(ObjectIdentifier("1.2.3"))],
    "SPIFFE": [uri("spiffe://corp.example/sa/billing")],
    "two URIs": [uri("spiffe://corp.example/x"), uri("https://corp.example")],
    "SPIFFE without path": [uri("spiffe://corp.example/")],
    "SPIFFE, long domain": [uri("spiffe://" + "d" * 256 + "/x")],
    "SPIFFE, too long": [uri("spiffe://d/" + "x" * 2040)],
    "NULs": [dns("a\0b"), uri("spiffe://a/b\0c"), email("x\0y@z")],
    "many": [dns(f"n{number}.example") for number in range(200)],
}

#: Content of the extension: a name that is not ASCII, and an empty list of names.
RAW_NAMES = {"not ASCII": b"\x30\x06\x82\x04caf\xe9", "none": b"\x30\x00"}


def with_raw_names(issuer, raw):
    """Return a certificate with `raw` as the extension of alternative names."""
    key = new_key("raw")
    builder = (
        x509.CertificateBuilder()
        .subject_name(common_name("raw"))
        .issuer_name(issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(77)
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + DAY)
        .add_extension(
            x509.UnrecognizedExtension(ObjectIdentifier("2.5.29.17"), raw), False
        )
    )
    return Pair(certificate=builder.sign(issuer.key, hashes.SHA256()), key=key)
