"""The names in a certificate, byte for byte as gRPC core reports them.

Mirrors `ssl_transport_security.cc` on BoringSSL: subjects by `X509_NAME_print_ex` with
XN_FLAG_RFC2253, and one value for each alternative name. A value ends at its first NUL,
as it does in Python's grpcio, which passes it on as a C string.
"""

from __future__ import annotations

import socket
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from grpcsecure.tls.der import (
    BIT_STRING,
    SEQUENCE,
    DerError,
    decode_string,
    dotted,
    is_string,
    read_all,
    read_certificate,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grpcsecure.tls.der import CertificateFields, Element, Name

__all__ = ["CertificateNames", "read_names", "render_name"]

_COMMON_NAME = bytes.fromhex("550403")
_SUBJECT_ALTERNATIVE_NAME = bytes.fromhex("551d11")
_KEY_USAGE = bytes.fromhex("551d0f")
_DIGITAL_SIGNATURE = 0x80  # the first bit of the string: RFC 5280, section 4.2.1.3

#: Context tags of GeneralName (RFC 5280, section 4.2.1.6) that gRPC knows.
_EMAIL, _DNS, _URI, _IP = 0x81, 0x82, 0x86, 0x87
_KINDS = {_EMAIL: "peer_email", _DNS: "peer_dns", _URI: "peer_uri", _IP: "peer_ip"}
_OTHER = b"other types of SAN"
_IP_FAMILIES = {4: socket.AF_INET, 16: socket.AF_INET6}

_X520 = (
    "CN SN serialNumber C L ST street O OU title description searchGuide "
    "businessCategory postalAddress postalCode postOfficeBox "
    "physicalDeliveryOfficeName telephoneNumber telexNumber "
    "teletexTerminalIdentifier facsimileTelephoneNumber x121Address "
    "internationaliSDNNumber registeredAddress destinationIndicator "
    "preferredDeliveryMethod presentationAddress supportedApplicationContext member "
    "owner roleOccupant seeAlso userPassword userCertificate cACertificate "
    "authorityRevocationList certificateRevocationList crossCertificatePair name GN "
    "initials generationQualifier x500UniqueIdentifier dnQualifier "
    "enhancedSearchGuide protocolInformation distinguishedName uniqueMember "
    "houseIdentifier supportedAlgorithms deltaRevocationList dmdName"
)

#: BoringSSL's short names (crypto/obj) of the attribute types that occur in subjects. A
#: type that is not listed is shown as its number with the value in hex, as BoringSSL
#: does for types that it does not know. The tests compare the list with grpcio.
_SHORT_NAMES = {
    **{f"2.5.4.{number}": name for number, name in enumerate(_X520.split(), start=3)},
    "2.5.4.65": "pseudonym",
    "2.5.4.72": "role",
    "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.2": "textEncodedORAddress",
    "0.9.2342.19200300.100.1.3": "mail",
    "0.9.2342.19200300.100.1.4": "info",
    "0.9.2342.19200300.100.1.5": "favouriteDrink",
    "0.9.2342.19200300.100.1.6": "roomNumber",
    "0.9.2342.19200300.100.1.8": "userClass",
    "0.9.2342.19200300.100.1.9": "host",
    "0.9.2342.19200300.100.1.10": "manager",
    "0.9.2342.19200300.100.1.11": "documentIdentifier",
    "0.9.2342.19200300.100.1.20": "homeTelephoneNumber",
    "0.9.2342.19200300.100.1.21": "secretary",
    "0.9.2342.19200300.100.1.25": "DC",
    "0.9.2342.19200300.100.1.37": "associatedDomain",
    "0.9.2342.19200300.100.1.38": "associatedName",
    "0.9.2342.19200300.100.1.40": "personalTitle",
    "0.9.2342.19200300.100.1.41": "mobileTelephoneNumber",
    "0.9.2342.19200300.100.1.42": "pagerTelephoneNumber",
    "0.9.2342.19200300.100.1.43": "friendlyCountryName",
    "0.9.2342.19200300.100.1.45": "organizationalStatus",
    "0.9.2342.19200300.100.1.48": "buildingName",
    "1.2.840.113549.1.9.1": "emailAddress",
    "1.2.840.113549.1.9.2": "unstructuredName",
    "1.2.840.113549.1.9.7": "challengePassword",
    "1.2.840.113549.1.9.8": "unstructuredAddress",
    "1.2.840.113549.1.9.20": "friendlyName",
    "1.3.6.1.4.1.311.17.1": "CSPName",
    "1.3.6.1.4.1.1466.344": "dcobject",
}


#: How many certificates are cached, and up to which size: a megabyte at most.
_CACHE_SIZE = 256
_MAX_CACHED = 4 * 1024


class CertificateNames(NamedTuple):
    """The names in a leaf; `alternative` is (property, value), in its order.

    `may_sign` is false if there is a KeyUsage extension without digitalSignature: such
    a key must not make a TLS signature, and BoringSSL refuses it in every mode.
    """

    subject: bytes
    issuer: bytes
    common_name: bytes
    alternative: tuple[tuple[str | None, bytes], ...]
    may_sign: bool


def read_names(der: bytes) -> CertificateNames:
    """Return the names in a certificate.

    Raises:
        DerError: a part is malformed; gRPC core refuses such a certificate too.
    """
    # Most clients reconnect with the same certificate.
    return _read_often(der) if len(der) <= _MAX_CACHED else _read(der)


def _read(der: bytes) -> CertificateNames:
    fields = read_certificate(der)
    return CertificateNames(
        subject=render_name(fields.subject),
        issuer=render_name(fields.issuer),
        common_name=_common_name(fields),
        alternative=tuple(_alternative_names(fields)),
        may_sign=_may_sign(fields),
    )


_read_often = lru_cache(_CACHE_SIZE)(_read)


def _may_sign(fields: CertificateFields) -> bool:
    usage = fields.extensions.get(_KEY_USAGE)
    if usage is None:
        return True
    bits = next(read_all(usage), None)
    if bits is None or bits.tag != BIT_STRING:
        raise DerError("a KeyUsage that is not a bit string")
    return len(bits.value) > 1 and bool(bits.value[1] & _DIGITAL_SIGNATURE)


def _common_name(fields: CertificateFields) -> bytes:
    for group in fields.subject:
        for kind, value in group:
            if kind == _COMMON_NAME:
                return _c_string(decode_string(value).encode())
    return b""


def _alternative_names(
    fields: CertificateFields,
) -> Iterator[tuple[str | None, bytes]]:
    extension = fields.extensions.get(_SUBJECT_ALTERNATIVE_NAME)
    if extension is None:
        return
    names = next(read_all(extension), None)
    if names is None or names.tag != SEQUENCE:
        raise DerError("alternative names that are not a sequence")
    for name in read_all(names.value):
        kind = _KINDS.get(name.tag)
        if kind is None:
            yield None, _OTHER
        elif name.tag == _IP:
            yield kind, _render_ip(name.value)
        else:
            yield kind, _c_string(name.value.decode("latin-1").encode())


def _render_ip(packed: bytes) -> bytes:
    family = _IP_FAMILIES.get(len(packed))
    if family is None:
        raise DerError(f"an IP address of {len(packed)} bytes")
    return socket.inet_ntop(family, packed).encode()


def _c_string(value: bytes) -> bytes:
    return value.partition(b"\0")[0]


def render_name(name: Name) -> bytes:
    """Return a distinguished name in RFC 2253 format: ASCII, most specific part first.

    Raises:
        DerError: a value is not valid in its encoding.
    """
    return ",".join(
        "+".join(_render_attribute(*attribute) for attribute in reversed(group))
        for group in reversed(name)
    ).encode()


def _render_attribute(kind: bytes, value: Element) -> str:
    number = dotted(kind)
    label = _SHORT_NAMES.get(number)
    if label is None or not is_string(value):
        return f"{label or number}=#{value.whole.hex().upper()}"
    return f"{label}={_escape(decode_string(value))}"


def _escape(text: str) -> str:
    data = text.encode()
    last = len(data) - 1
    return "".join(
        _escape_byte(byte, at_start=index == 0, at_end=index == last)
        for index, byte in enumerate(data)
    )


def _escape_byte(byte: int, *, at_start: bool, at_end: bool) -> str:
    character = chr(byte)
    if byte < 0x20 or byte >= 0x7F:  # noqa: PLR2004 - printable ASCII
        return f"\\{byte:02X}"
    if character in ',+"\\<>;':
        return "\\" + character
    if (character == " " and (at_start or at_end)) or (character == "#" and at_start):
        return "\\" + character
    return character
