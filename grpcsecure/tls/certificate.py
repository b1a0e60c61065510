"""Parsing of a certificate into plain values: its names, dates and fingerprints.

By an own parser: TLS stacks serve certificates that `cryptography` refuses. Names that
identities go by are read whole or not at all, since a name that is passed over could be
one that a deny rule matches. A client's certificate is hostile input. Invariant: for
any bytes, `parse_certificate` either returns or raises `CertificateError`.
"""

from __future__ import annotations

import threading
import warnings
from contextlib import contextmanager
from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING

from grpcsecure.errors import CertificateError
from grpcsecure.model.peer import Certificate
from grpcsecure.tls.der import (
    SEQUENCE,
    DerError,
    decode_string,
    dotted,
    read_all,
    read_certificate,
    read_date,
)
from grpcsecure.tls.digests import spell_digest
from grpcsecure.tls.extensions import may_issue
from grpcsecure.tls.name_text import name_text
from grpcsecure.tls.pem import PemBlock, parse_pem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
    from cryptography.x509 import Certificate as X509Certificate

    from grpcsecure.tls.der import CertificateFields, Name

__all__ = [
    "load_public_key",
    "load_x509",
    "parse_certificate",
    "parse_pem_certificates",
    "read_dates",
    "reading",
    "subject_public_key_info",
]

#: How many parsed certificates are cached: about 4 KiB each, and parsing one takes
#: about 50 us. Clients may send longer ones, of a hundred KiB each: not cached.
_CACHE_SIZE = 1024
_MAX_CACHED = 8 * 1024

_COMMON_NAME = "2.5.4.3"
_ORGANIZATIONAL_UNIT = "2.5.4.11"
_SUBJECT_ALTERNATIVE_NAME = bytes.fromhex("551d11")

#: Context tags of GeneralName (RFC 5280, section 4.2.1.6) that are identities.
_EMAIL, _DNS, _URI, _IP = 0x81, 0x82, 0x86, 0x87
_IP_LENGTHS = frozenset({4, 16})

#: `warnings.catch_warnings` changes state of the whole process: one thread at a time.
_QUIET = threading.Lock()


def parse_pem_certificates(pem: bytes) -> tuple[bytes, ...]:
    """Return the DER of the certificates in `pem`, the format of `auth_context`.

    Raises:
        CertificateError: a block is broken.
    """
    blocks = tuple(parse_pem(pem))
    if not all(isinstance(block, PemBlock) for block in blocks):
        raise CertificateError("the certificate is not PEM text")
    return tuple(block.der for block in blocks if isinstance(block, PemBlock))


def parse_certificate(der: bytes) -> Certificate:
    """Parse a certificate in DER.

    Raises:
        CertificateError: it is not an X.509 certificate, or its names cannot be read.
    """
    return _parse(der) if len(der) > _MAX_CACHED else _cached_parse(der)


def _parse(der: bytes) -> Certificate:
    try:
        fields = read_certificate(der)
    except DerError:
        raise CertificateError("it is not an X.509 certificate") from None
    try:
        return _read(der, fields)
    except ValueError as error:  # a `DerError`, or a date that is missing
        raise CertificateError(f"the certificate cannot be read: {error}") from None


_cached_parse = lru_cache(maxsize=_CACHE_SIZE)(_parse)


def load_x509(der: bytes) -> X509Certificate:
    """Load a certificate in DER as an object of `cryptography`.

    Raises:
        CertificateError: it is not an X.509 certificate.
    """
    from cryptography.x509 import load_der_x509_certificate

    with reading("it is not an X.509 certificate"):
        return load_der_x509_certificate(der)


@contextmanager
def reading(problem: str) -> Iterator[None]:
    """Convert each exception of `cryptography` for odd bytes into one, `problem`.

    Warnings of `cryptography`, such as that a common name has 65 characters, are
    dropped: the certificate is the client's, so the operator cannot change it.

    Raises:
        CertificateError: `cryptography` raised an exception.
    """
    try:
        with _QUIET, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except _odd_errors() as error:
        raise CertificateError(problem) from error


@lru_cache(maxsize=1)
def _odd_errors() -> tuple[type[Exception], ...]:
    """Return the exceptions that `cryptography` raises for malformed input."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm

    return (
        ValueError,
        TypeError,
        OverflowError,
        LookupError,
        NotImplementedError,
        UnsupportedAlgorithm,
        x509.DuplicateExtension,
        x509.InvalidVersion,
        x509.UnsupportedGeneralNameType,
    )


def _read(der: bytes, fields: CertificateFields) -> Certificate:
    not_before, not_after = map(read_date, fields.validity)
    names: dict[int, list[str]] = {_EMAIL: [], _DNS: [], _URI: [], _IP: []}
    for tag, name in _alternative_names(fields):
        names[tag].append(name)
    return Certificate(
        der=der,
        subject=name_text(fields.subject),
        issuer=name_text(fields.issuer),
        serial_number=fields.serial_number,
        not_before=not_before,
        not_after=not_after,
        fingerprint=spell_digest(der),
        public_key=spell_digest(fields.public_key),
        # The first of several, as in gRPC.
        common_name=next(_values(fields.subject, _COMMON_NAME), None),
        organizational_units=tuple(_values(fields.subject, _ORGANIZATIONAL_UNIT)),
        dns=tuple(names[_DNS]),
        uris=tuple(names[_URI]),
        emails=tuple(names[_EMAIL]),
        ips=tuple(names[_IP]),
        may_issue=may_issue(fields),
    )


def _values(name: Name, oid: str) -> Iterator[str]:
    for group in name:
        for kind, value in group:
            if dotted(kind) == oid:
                yield decode_string(value)


def _alternative_names(fields: CertificateFields) -> Iterator[tuple[int, str]]:
    """Yield the names of the types that gRPC knows; other types are not identities."""
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


def read_dates(der: bytes) -> tuple[datetime, datetime]:
    """Return the two dates of a certificate, aware and in UTC.

    Raises:
        CertificateError: the bytes do not have the structure of a certificate.
    """
    try:
        not_before, not_after = map(read_date, _fields(der).validity)
    except ValueError as error:
        raise CertificateError(f"the certificate cannot be read: {error}") from None
    return not_before, not_after


def subject_public_key_info(der: bytes) -> bytes:
    """Return the SubjectPublicKeyInfo of a certificate, in its own bytes.

    Loading the key and encoding it again would fail for the types of key that
    `cryptography` does not know, and could change an unusual encoding.

    Raises:
        CertificateError: the bytes do not have the structure of a certificate.
    """
    return _fields(der).public_key


def load_public_key(der: bytes) -> PublicKeyTypes:
    """Load the public key of a certificate, even if the rest cannot be parsed.

    Raises:
        CertificateError: the bytes do not have the structure of a certificate.
        ValueError: the key is malformed.
        UnsupportedAlgorithm: `cryptography` does not know its type.
    """
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    return load_der_public_key(subject_public_key_info(der))


def _fields(der: bytes) -> CertificateFields:
    try:
        return read_certificate(der)
    except DerError as error:
        raise CertificateError(f"the certificate cannot be read: {error}") from None
