"""Certificates that TLS serves and `cryptography` does not parse, read by their DER.

Only for those: all others go through `cryptography`. Names that identities go by are
read whole or not at all, since a name that is passed over could be one that a deny rule
matches. Invariant: `read_leniently` returns or raises `CertificateError`.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from grpcsecure.errors import CertificateError
from grpcsecure.model.peer import Certificate
from grpcsecure.tls.der import (
    SEQUENCE,
    DerError,
    decode_string,
    dotted,
    is_string,
    read_all,
    read_certificate,
    read_date,
)
from grpcsecure.tls.digests import spell_digest
from grpcsecure.tls.extensions import may_issue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grpcsecure.tls.der import CertificateFields, Element, Name

__all__ = ["read_leniently"]

_COMMON_NAME = "2.5.4.3"
_ORGANIZATIONAL_UNIT = "2.5.4.11"
_SUBJECT_ALTERNATIVE_NAME = bytes.fromhex("551d11")

#: Context tags of GeneralName (RFC 5280, section 4.2.1.6) that are identities.
_EMAIL, _DNS, _URI, _IP = 0x81, 0x82, 0x86, 0x87
_IP_LENGTHS = frozenset({4, 16})

#: The attribute types that RFC 4514 strings abbreviate (section 3).
_SHORT_NAMES = {
    "2.5.4.3": "CN",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "2.5.4.6": "C",
    "2.5.4.9": "STREET",
    "0.9.2342.19200300.100.1.25": "DC",
    "0.9.2342.19200300.100.1.1": "UID",
}

#: RFC 4514, 2.4: characters that are escaped anywhere in a value.
_SPECIAL = '"+,;<>\\'


def read_leniently(der: bytes) -> Certificate:
    """Read a certificate that `cryptography` refuses.

    Raises:
        CertificateError: it has not the structure of a certificate, or a name that
            identities go by cannot be read.
    """
    try:
        return _read(der, read_certificate(der))
    except ValueError as error:  # a `DerError`, or a date that is missing
        raise CertificateError(f"the certificate cannot be read: {error}") from None


def _read(der: bytes, fields: CertificateFields) -> Certificate:
    not_before, not_after = map(read_date, fields.validity)
    names: dict[int, list[str]] = {_EMAIL: [], _DNS: [], _URI: [], _IP: []}
    for tag, name in _alternative_names(fields):
        names[tag].append(name)
    common_names = _values(fields.subject, _COMMON_NAME)
    return Certificate(
        der=der,
        subject=_render(fields.subject),
        issuer=_render(fields.issuer),
        serial_number=fields.serial_number,
        not_before=not_before,
        not_after=not_after,
        fingerprint=spell_digest(der),
        public_key=spell_digest(fields.public_key),
        common_name=next(iter(common_names), None),
        organizational_units=tuple(_values(fields.subject, _ORGANIZATIONAL_UNIT)),
        dns=tuple(names[_DNS]),
        uris=tuple(names[_URI]),
        emails=tuple(names[_EMAIL]),
        ips=tuple(names[_IP]),
        may_issue=may_issue(fields),
    )


def _values(name: Name, oid: str) -> list[str]:
    return [
        decode_string(value)
        for group in name
        for kind, value in group
        if dotted(kind) == oid
    ]


def _alternative_names(fields: CertificateFields) -> Iterator[tuple[int, str]]:
    extension = fields.extensions.get(_SUBJECT_ALTERNATIVE_NAME)
    if extension is None:
        return
    names = [*read_all(extension)]
    if [name.tag for name in names] != [SEQUENCE]:
        raise DerError("alternative names that are not a sequence")
    for name in read_all(names[0].value):
        if name.tag == _IP:
            yield _IP, _address(name.value)
        elif name.tag in (_EMAIL, _DNS, _URI):
            yield name.tag, _ascii(name.value)


def _address(packed: bytes) -> str:
    if len(packed) not in _IP_LENGTHS:
        raise DerError("an IP address of another length")
    return str(ip_address(packed))


def _ascii(value: bytes) -> str:
    try:
        return value.decode("ascii")
    except UnicodeDecodeError:
        raise DerError("an alternative name that is not ASCII") from None


def _render(name: Name) -> str:
    """Return a name as an RFC 4514 string: the most specific part first."""
    return ",".join(
        "+".join(_render_attribute(dotted(kind), value) for kind, value in group)
        for group in reversed(name)
    )


def _render_attribute(oid: str, value: Element) -> str:
    label = _SHORT_NAMES.get(oid)
    if label is None or not is_string(value):
        return f"{label or oid}=#{value.whole.hex()}"
    return f"{label}={_escape(decode_string(value))}"


def _escape(value: str) -> str:
    """Escape a value (RFC 4514, 2.4)."""
    text = "".join(f"\\{c}" if c in _SPECIAL else c for c in value)
    text = text.replace("\0", "\\00")
    if value.startswith(("#", " ")):
        text = f"\\{text}"
    if value.endswith(" ") and len(value) > 1:
        text = f"{text[:-1]}\\ "
    return text
