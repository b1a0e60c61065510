"""Minimal DER (X.690) parser for certificates (RFC 5280, section 4.1).

TLS stacks serve certificates that `cryptography` refuses: a `@` or `_` in a
PrintableString, Latin-1 in a T61String, an encoded default. One of them hides the
whole certificate there. This parser reads the structure, and strings as BoringSSL
reads them; the tests compare it with `cryptography`. Invariant: malformed input raises
`DerError`.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "BIT_STRING",
    "BOOLEAN",
    "SEQUENCE",
    "CertificateFields",
    "DerError",
    "Element",
    "Name",
    "decode_string",
    "dotted",
    "is_string",
    "read_all",
    "read_certificate",
    "read_crl_issuer",
    "read_date",
    "read_public_key",
]

SEQUENCE = 0x30
BIT_STRING = 0x03
BOOLEAN = 0x01
_INTEGER = 0x02
_OCTET_STRING = 0x04
_VERSION = 0xA0
_EXTENSIONS = 0xA3
_MULTI_BYTE_TAG = 0x1F
_LONG_LENGTH = 0x80
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18

#: The tag and the length of the two forms of a date, YYMMDDHHMMSSZ and YYYYMMDDHHMMSSZ.
_DATE_FORMS = frozenset({(_UTC_TIME, 13), (_GENERALIZED_TIME, 15)})
#: Where month, day, hour, minute and second begin, after a year of four digits.
_AFTER_YEAR = range(4, 14, 2)

#: ASN.1 string types and how BoringSSL reads them: it takes T.61 for Latin-1.
_ENCODINGS = {
    0x0C: "utf-8",
    **dict.fromkeys((0x12, 0x13, 0x14, 0x16, 0x17, 0x18, 0x1A), "latin-1"),
    0x1C: "utf-32-be",
    0x1E: "utf-16-be",
}


class DerError(ValueError):
    """The bytes do not have the structure that X.509 prescribes."""


class Element(NamedTuple):
    """One DER element; `whole` is its tag, length and value together."""

    tag: int
    value: bytes
    whole: bytes


#: Attributes as (object identifier, string element), in the order and with the grouping
#: of the certificate.
Name = tuple[tuple[tuple[bytes, Element], ...], ...]


class CertificateFields(NamedTuple):
    """The parts of a certificate.

    `version` is 1 to 3. `signature_algorithm` and `public_key` are a whole
    AlgorithmIdentifier and SubjectPublicKeyInfo, `validity` holds the elements of the
    two dates; `extensions` maps object identifiers (DER, without tag and length) to
    values, and `critical` are those of the critical ones.
    """

    version: int
    serial_number: int
    signature_algorithm: bytes
    issuer: Name
    validity: tuple[Element, ...]
    subject: Name
    public_key: bytes
    extensions: dict[bytes, bytes]
    critical: frozenset[bytes]


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
        if not size:
            raise DerError("an element of indefinite length, which DER does not have")
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


def read_public_key(der: bytes) -> bytes:
    """Return the SubjectPublicKeyInfo of a certificate, whatever else is in it.

    Raises:
        DerError: the bytes are not a certificate.
    """
    body = _read_body(der)
    index = 6 if body and body[0].tag == _VERSION else 5
    if len(body) <= index:
        raise DerError("a certificate without all of its fields")
    return body[index].whole


def _read_body(der: bytes) -> list[Element]:
    certificate, end = _read(der, 0)
    if certificate.tag != SEQUENCE or end != len(der):
        raise DerError("not one sequence")
    return [*read_all(_expect(certificate.value, SEQUENCE))]


def read_certificate(der: bytes) -> CertificateFields:
    """Return the parts of a certificate (RFC 5280, section 4.1).

    Raises:
        DerError: the bytes are not a certificate.
    """
    body = _read_body(der)
    version = 1
    if body and body[0].tag == _VERSION:
        version += int.from_bytes(_expect(body.pop(0).value, _INTEGER), "big")
    # serialNumber, signature, issuer, validity, subject, subjectPublicKeyInfo, …
    if len(body) < 6:  # noqa: PLR2004 - the line above
        raise DerError("a certificate without all of its fields")
    extensions: dict[bytes, bytes] = {}
    critical: set[bytes] = set()
    for element in body[6:]:
        if element.tag == _EXTENSIONS:
            listed = _read_extensions(_expect(element.value, SEQUENCE))
            for kind, is_critical, value in listed:
                # RFC 5280, 4.2: which of two would count is not defined.
                if kind in extensions:
                    raise DerError("an extension that occurs twice")
                extensions[kind] = value
                if is_critical:
                    critical.add(kind)
    return CertificateFields(
        version=version,
        serial_number=int.from_bytes(body[0].value, "big", signed=True),
        signature_algorithm=body[1].whole,
        issuer=_read_name(body[2].value),
        validity=tuple(read_all(body[3].value)),
        subject=_read_name(body[4].value),
        public_key=body[5].whole,
        extensions=extensions,
        critical=frozenset(critical),
    )


def read_crl_issuer(der: bytes) -> Name:
    """Return the name of the CA that issued a revocation list (RFC 5280, 5.1).

    Raises:
        DerError: the bytes are not a revocation list.
    """
    fields = read_all(_expect(_expect(der, SEQUENCE), SEQUENCE))
    first = next(fields, None)
    if first is not None and first.tag == _INTEGER:  # the version is optional
        first = next(fields, None)
    issuer = next(fields, None)
    if first is None or issuer is None:
        raise DerError("a revocation list without an issuer")
    return _read_name(issuer.value)


def read_date(element: Element) -> datetime:
    """Return the date of a UTCTime or GeneralizedTime (RFC 5280, section 4.1.2.5).

    Raises:
        DerError: it is not one, in the form that RFC 5280 prescribes.
    """
    digits = element.value.removesuffix(b"Z")
    has_form = (element.tag, len(element.value)) in _DATE_FORMS
    if not has_form or digits == element.value or not digits.isdigit():
        raise DerError("a date in another form")
    if element.tag == _UTC_TIME:
        # RFC 5280, 4.1.2.5.1: years from 50 on are of the twentieth century.
        digits = (b"19" if digits >= b"50" else b"20") + digits
    month, day, hour, minute, second = (int(digits[at : at + 2]) for at in _AFTER_YEAR)
    try:
        # Not with `strptime`, which accepts spaces, and takes time to import.
        return datetime(
            int(digits[:4]), month, day, hour, minute, second, tzinfo=timezone.utc
        )
    except ValueError:
        raise DerError("a date that does not exist") from None


def _read_extensions(data: bytes) -> Iterator[tuple[bytes, bool, bytes]]:
    for extension in read_all(data):
        parts = [*read_all(extension.value)]
        if len(parts) < 2 or parts[-1].tag != _OCTET_STRING:  # noqa: PLR2004
            raise DerError("an extension without a value")
        flags = [part.value for part in parts[1:-1] if part.tag == BOOLEAN]
        yield parts[0].value, any(map(any, flags)), parts[-1].value


def _read_name(data: bytes) -> Name:
    return tuple(
        tuple(_read_attribute(attribute) for attribute in read_all(group.value))
        for group in read_all(data)
    )


def _read_attribute(attribute: Element) -> tuple[bytes, Element]:
    parts = [*read_all(attribute.value)]
    if len(parts) != 2:  # noqa: PLR2004 - type and value
        raise DerError("an attribute that is not a pair")
    return parts[0].value, parts[1]


def decode_string(element: Element) -> str:
    """Return the text of a string, decoded as BoringSSL decodes it.

    Raises:
        DerError: it is not a string, or not valid in its encoding.
    """
    encoding = _ENCODINGS.get(element.tag)
    if encoding is None:
        raise DerError(f"a name of type {element.tag:#x}")
    try:
        return element.value.decode(encoding)
    except UnicodeDecodeError:
        raise DerError("a name that is not valid in its encoding") from None


def is_string(element: Element) -> bool:
    """Whether an element is of a string type."""
    return element.tag in _ENCODINGS


def dotted(encoded: bytes) -> str:
    """Return an object identifier in dotted form.

    Raises:
        DerError: it is empty.
    """
    numbers: list[int] = []
    number = 0
    for byte in encoded:
        number = number << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(number)
            number = 0
    if not numbers:
        raise DerError("an empty object identifier")
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, (first, numbers[0] - 40 * first, *numbers[1:])))
