"""Minimal DER (X.690) parser for reporting certificate names as gRPC core does.

`cryptography` refuses certificates that OpenSSL accepts (unusual strings or serial
numbers), and formats names differently; the bytes here have to be those of OpenSSL's
RFC 2253 printer. The input has been parsed by OpenSSL before; malformed input raises
`DerError`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "BIT_STRING",
    "SEQUENCE",
    "CertificateFields",
    "DerError",
    "parse_certificate",
    "read_all",
]

SEQUENCE = 0x30
BIT_STRING = 0x03
_OCTET_STRING = 0x04
_VERSION = 0xA0
_EXTENSIONS = 0xA3
_MULTI_BYTE_TAG = 0x1F
_LONG_LENGTH = 0x80


class DerError(ValueError):
    """The bytes do not have the structure that X.509 prescribes."""


class Element(NamedTuple):
    """One DER element; `whole` is its tag, length and value together."""

    tag: int
    value: bytes
    whole: bytes


class CertificateFields(NamedTuple):
    """The parts of a certificate that gRPC core reports.

    `subject` and `issuer` are attributes as (object identifier, string element), in
    the order and with the grouping of the certificate; `extensions` maps object
    identifiers (DER, without tag and length) to values.
    """

    issuer: tuple[tuple[tuple[bytes, Element], ...], ...]
    subject: tuple[tuple[tuple[bytes, Element], ...], ...]
    extensions: dict[bytes, bytes]


def read_all(data: bytes) -> Iterator[Element]:
    """Yield the elements of `data`, one after the other."""
    offset = 0
    while offset < len(data):
        element, offset = _read(data, offset)
        yield element


def _read(data: bytes, offset: int) -> tuple[Element, int]:
    try:
        tag, length, start = data[offset], data[offset + 1], offset + 2
    except IndexError:
        raise DerError("an element is cut off") from None
    if tag & _MULTI_BYTE_TAG == _MULTI_BYTE_TAG:
        raise DerError("a tag of several bytes")
    if length & _LONG_LENGTH:
        size = length & ~_LONG_LENGTH
        length = int.from_bytes(data[start : start + size], "big")
        start += size
    end = start + length
    if end > len(data):
        raise DerError("an element is longer than its container")
    return Element(tag, data[start:end], data[offset:end]), end


def _expect(data: bytes, tag: int) -> bytes:
    element, _ = _read(data, 0)
    if element.tag != tag:
        raise DerError(f"tag {element.tag:#x} instead of {tag:#x}")
    return element.value


def parse_certificate(der: bytes) -> CertificateFields:
    """Return the parts of a certificate (RFC 5280, section 4.1).

    Raises:
        DerError: the bytes are not a certificate.
    """
    body = [*read_all(_expect(_expect(der, SEQUENCE), SEQUENCE))]
    if body and body[0].tag == _VERSION:
        del body[0]
    # serialNumber, signature, issuer, validity, subject, subjectPublicKeyInfo, …
    if len(body) < 6:  # noqa: PLR2004 - the line above
        raise DerError("a certificate without all of its fields")
    extensions = {}
    for element in body[6:]:
        if element.tag == _EXTENSIONS:
            extensions = dict(_read_extensions(_expect(element.value, SEQUENCE)))
    return CertificateFields(
        issuer=_read_name(body[2].value),
        subject=_read_name(body[4].value),
        extensions=extensions,
    )


def _read_extensions(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    for extension in read_all(data):
        parts = [*read_all(extension.value)]
        if len(parts) < 2 or parts[-1].tag != _OCTET_STRING:  # noqa: PLR2004
            raise DerError("an extension without a value")
        yield parts[0].value, parts[-1].value


def _read_name(data: bytes) -> tuple[tuple[tuple[bytes, Element], ...], ...]:
    return tuple(
        tuple(_read_attribute(attribute) for attribute in read_all(group.value))
        for group in read_all(data)
    )


def _read_attribute(attribute: Element) -> tuple[bytes, Element]:
    parts = [*read_all(attribute.value)]
    if len(parts) != 2:  # noqa: PLR2004 - type and value
        raise DerError("an attribute that is not a pair")
    return parts[0].value, parts[1]
