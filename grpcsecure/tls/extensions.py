"""What the extensions of a certificate say of its use (RFC 5280, section 4.2.1)."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from grpcsecure.tls.der import BOOLEAN, DerError, read_all

if TYPE_CHECKING:
    from grpcsecure.tls.der import CertificateFields, Element

__all__ = [
    "KeyUse",
    "allows",
    "extension",
    "has_purpose",
    "is_authority",
    "may_issue",
]

#: Object identifiers in DER.
_BASIC_CONSTRAINTS = bytes.fromhex("551d13")
_KEY_USAGE = bytes.fromhex("551d0f")
_EXTENDED_KEY_USAGE = bytes.fromhex("551d25")


class KeyUse(IntEnum):
    """Bits of KeyUsage (RFC 5280, 4.2.1.3)."""

    DIGITAL_SIGNATURE = 0
    KEY_CERT_SIGN = 5
    CRL_SIGN = 6


def extension(fields: CertificateFields, identifier: bytes) -> Element | None:
    """Return the value of an extension, or None if it is missing or unreadable."""
    value = fields.extensions.get(identifier)
    if value is None:
        return None
    try:
        return next(read_all(value), None)
    except DerError:
        return None


def allows(fields: CertificateFields, use: KeyUse) -> bool:
    """Whether KeyUsage allows a use; without the extension it allows all."""
    usage = extension(fields, _KEY_USAGE)
    return usage is None or _has_bit(usage, use)


def is_authority(fields: CertificateFields) -> bool | None:
    """Whether BasicConstraints has `cA` true; None without the extension."""
    constraints = extension(fields, _BASIC_CONSTRAINTS)
    if constraints is None:
        return None
    try:
        first = next(read_all(constraints.value), None)
    except DerError:
        return False
    return first is not None and first.tag == BOOLEAN and first.value != b"\0"


def has_purpose(fields: CertificateFields, purpose: bytes) -> bool:
    """Whether ExtendedKeyUsage lists a purpose; without it a certificate has all."""
    purposes = extension(fields, _EXTENDED_KEY_USAGE)
    if purposes is None:
        return True
    try:
        return purpose in {each.value for each in read_all(purposes.value)}
    except DerError:
        return False


def may_issue(fields: CertificateFields) -> bool:
    """Whether it says that it signs certificates or CRLs, which no X509-SVID may.

    https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md, 4.1 and 4.3: a
    leaf has `cA` false, and neither keyCertSign nor cRLSign.
    """
    usage = extension(fields, _KEY_USAGE)
    signs = usage is not None and (
        _has_bit(usage, KeyUse.KEY_CERT_SIGN) or _has_bit(usage, KeyUse.CRL_SIGN)
    )
    return bool(is_authority(fields)) or signs


def _has_bit(bits: Element, use: KeyUse) -> bool:
    # The first byte of a BIT STRING is the number of unused bits at its end.
    index, mask = 1 + use // 8, 0x80 >> use % 8
    return len(bits.value) > index and bool(bits.value[index] & mask)
