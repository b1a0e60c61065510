"""Parsing of a certificate into plain values: its names, dates and fingerprints.

A client's certificate is hostile input. Invariant: for any bytes, `parse_certificate`
either returns or raises `CertificateError`.
"""

from __future__ import annotations

import threading
import warnings
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

from grpcsecure.errors import CertificateError
from grpcsecure.model.peer import Certificate
from grpcsecure.tls.der import DerError, read_certificate, read_date
from grpcsecure.tls.digests import spell_digest
from grpcsecure.tls.extensions import may_issue
from grpcsecure.tls.lenient_certificate import read_leniently
from grpcsecure.tls.pem import PemBlock, parse_pem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
    from cryptography.x509 import Certificate as X509Certificate
    from cryptography.x509 import Name, NameAttribute, ObjectIdentifier

    from grpcsecure.tls.der import CertificateFields

__all__ = [
    "load_public_key",
    "load_x509",
    "name_text",
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

#: DER (X.690): the tag of a bit string, and the flag of a length in several bytes.
_BIT_STRING = b"\x03"
_LONG_LENGTH = 0x80

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
        loaded = load_x509(der)
        with reading("the certificate cannot be read"):
            return _read(der, loaded)
    except CertificateError as refused:
        # TLS stacks serve some certificates that `cryptography` refuses.
        try:
            return read_leniently(der)
        except CertificateError:
            raise refused from None


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


def _read(der: bytes, loaded: X509Certificate) -> Certificate:
    from cryptography.x509 import NameOID

    return Certificate(
        der=der,
        subject=name_text(loaded.subject),
        issuer=name_text(loaded.issuer),
        serial_number=loaded.serial_number,
        not_before=loaded.not_valid_before_utc,
        not_after=loaded.not_valid_after_utc,
        fingerprint=spell_digest(der),
        public_key=spell_digest(subject_public_key_info(der)),
        # The first of several, as in gRPC.
        common_name=next(_attributes(loaded, NameOID.COMMON_NAME), None),
        organizational_units=tuple(
            _attributes(loaded, NameOID.ORGANIZATIONAL_UNIT_NAME)
        ),
        is_readable=True,
        may_issue=may_issue(_fields(der)),
        **_alternative_names(loaded),
    )


def name_text(name: Name) -> str:
    """Return a distinguished name as RFC 4514 has it.

    `cryptography` writes the content of a bit string as hex, where section 2.4 wants
    its whole encoding. Some bits would look like a string, and match a text.
    """
    if not any(isinstance(attribute.value, bytes) for attribute in name):
        return name.rfc4514_string()
    return ",".join(
        "+".join(map(_attribute_text, part)) for part in reversed(name.rdns)
    )


def _attribute_text(attribute: NameAttribute[str | bytes]) -> str:
    value = attribute.value
    if isinstance(value, str):
        return attribute.rfc4514_string()
    size = len(value)
    length = size.to_bytes((size.bit_length() + 7) // 8 or 1, "big")
    if size >= _LONG_LENGTH:
        length = bytes([_LONG_LENGTH | len(length)]) + length
    encoded = _BIT_STRING + length + value
    return f"{attribute.oid.dotted_string}=#{encoded.hex()}"


def _attributes(loaded: X509Certificate, oid: ObjectIdentifier) -> Iterator[str]:
    for attribute in loaded.subject.get_attributes_for_oid(oid):
        value = attribute.value
        yield value if isinstance(value, str) else value.decode("latin-1")


def _alternative_names(loaded: X509Certificate) -> dict[str, tuple[str, ...]]:
    """Return the names of the types that gRPC knows; other types are not identities."""
    from cryptography import x509

    try:
        extension = loaded.extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
    except x509.ExtensionNotFound:
        return {}
    found = extension.value
    return {
        "dns": tuple(found.get_values_for_type(x509.DNSName)),
        "uris": tuple(found.get_values_for_type(x509.UniformResourceIdentifier)),
        "emails": tuple(found.get_values_for_type(x509.RFC822Name)),
        "ips": tuple(str(ip) for ip in found.get_values_for_type(x509.IPAddress)),
    }


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
