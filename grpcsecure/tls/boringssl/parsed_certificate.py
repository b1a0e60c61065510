"""A certificate as BoringSSL reads it: its fields, and what its extensions say.

BoringSSL refuses the whole handshake for a certificate that it cannot parse, also where
no path needs it. A malformed extension is recorded (`is_invalid`): no path may have
such a certificate.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, NamedTuple

from grpcsecure.tls.boringssl.extension_facts import (
    ExtensionFacts,
    find_extension,
    parse_extensions,
)
from grpcsecure.tls.boringssl.names import parse_name
from grpcsecure.tls.boringssl.strict_der import (
    BIT_STRING,
    INTEGER,
    OBJECT_IDENTIFIER,
    SEQUENCE,
    DerReader,
    parse_bits,
    parse_integer,
    parse_oid,
)
from grpcsecure.tls.der import DerError

if TYPE_CHECKING:
    from grpcsecure.tls.boringssl.extension_facts import Extension
    from grpcsecure.tls.boringssl.names import CanonicalName

__all__ = [
    "Algorithm",
    "ParsedCertificate",
    "parse_certificate",
]

_VERSION = 0xA0
_ISSUER_UID, _SUBJECT_UID = 0x81, 0x82
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18
_V1, _V2, _V3 = 1, 2, 3

#: A GeneralizedTime, and a UTCTime with an offset from UTC.
_DATE = re.compile(rb"[0-9]{14}Z")
_OFFSET_DATE = re.compile(rb"[0-9]{12}[+-][0-9]{4}")
_EPOCH = datetime.fromtimestamp(0, timezone.utc)
_SECOND = timedelta(seconds=1)

#: How many certificates are cached, and the bytes of the longest.
_CACHE_SIZE, _MAX_CACHED = 1024, 4096

#: Bits of KeyUsage in its first byte (RFC 5280, section 4.2.1.3).
DIGITAL_SIGNATURE, KEY_AGREEMENT, KEY_CERT_SIGN = 0x80, 0x08, 0x04


class Algorithm(NamedTuple):
    """An AlgorithmIdentifier: its object identifier, and its parameters as bytes."""

    oid: bytes
    parameters: bytes | None


@dataclass(frozen=True, kw_only=True)
class ParsedCertificate:
    """The parts of a certificate that verification uses.

    `not_before` and `not_after` are seconds since 1970; None for a date in a form that
    BoringSSL does not compare.
    """

    der: bytes = field(repr=False)
    signed: bytes = field(repr=False)
    algorithm: Algorithm
    inner_algorithm: Algorithm
    signature: bytes = field(repr=False)
    version: int
    serial: bytes
    issuer: CanonicalName
    subject: CanonicalName
    not_before: int | None
    not_after: int | None
    public_key: bytes = field(repr=False)
    extensions: tuple[Extension, ...] = field(repr=False)

    @cached_property
    def facts(self) -> ExtensionFacts:
        """The contents of the extensions, read when a path first needs them."""
        return ExtensionFacts(self.extensions)

    @property
    def is_self_issued(self) -> bool:
        """Whether subject and issuer are the same name."""
        return self.subject.canonical == self.issuer.canonical

    def find(self, oid: bytes) -> bytes | None:
        """Return the value of an extension, None without it.

        Raises:
            DerError: it occurs twice.
        """
        return find_extension(self.extensions, oid)

    def may_use(self, use: int) -> bool:
        """Whether KeyUsage allows any of these uses; without the extension, it does."""
        usage = self.facts.key_usage
        return usage is None or bool(usage & use)


def parse_certificate(der: bytes) -> ParsedCertificate:
    """Parse a certificate.

    Raises:
        DerError: BoringSSL does not parse it.
    """
    # CAs stay the same in reloads, and most clients reconnect with theirs.
    return _parse_often(der) if len(der) <= _MAX_CACHED else _parse(der)


def _parse(der: bytes) -> ParsedCertificate:
    outer = DerReader(der)
    certificate = DerReader(outer.expect(SEQUENCE))
    outer.end()
    tag, content, signed = certificate.read()
    if tag != SEQUENCE:
        raise DerError("a certificate without its content")
    algorithm = _parse_algorithm(certificate)
    # BoringSSL takes a length of the signature that is not minimal.
    tag, signature, _ = certificate.read(is_minimal=False)
    if tag != BIT_STRING:
        raise DerError("a certificate without a signature")
    certificate.end()

    body = DerReader(content)
    version = _parse_version(body)
    serial = body.expect(INTEGER)
    parse_integer(serial)
    inner_algorithm = _parse_algorithm(body)
    issuer = parse_name(body.expect(SEQUENCE))
    dates = DerReader(body.expect(SEQUENCE))
    not_before, not_after = _parse_date(dates), _parse_date(dates)
    dates.end()
    subject = parse_name(body.expect(SEQUENCE))
    public_key = _parse_public_key(body)
    if version >= _V2:
        for uid in (_ISSUER_UID, _SUBJECT_UID):
            bits = body.optional(uid)
            if bits is not None:
                parse_bits(bits)
    extensions = parse_extensions(body) if version >= _V3 else ()
    body.end()
    return ParsedCertificate(
        der=der,
        signed=signed,
        algorithm=algorithm,
        inner_algorithm=inner_algorithm,
        signature=parse_bits(signature),
        version=version,
        serial=serial,
        issuer=issuer,
        subject=subject,
        not_before=not_before,
        not_after=not_after,
        public_key=public_key,
        extensions=extensions,
    )


_parse_often = lru_cache(_CACHE_SIZE)(_parse)


def _parse_version(body: DerReader) -> int:
    wrapper = body.optional(_VERSION)
    if wrapper is None:
        return _V1
    reader = DerReader(wrapper)
    version = parse_integer(reader.expect(INTEGER)) + 1
    reader.end()
    if not _V1 <= version <= _V3:
        raise DerError("a version that X.509 does not have")
    return version


def _parse_algorithm(reader: DerReader) -> Algorithm:
    content = DerReader(reader.expect(SEQUENCE))
    oid = parse_oid(content.expect(OBJECT_IDENTIFIER))
    parameters = None if content.is_at_end else content.read()[2]
    content.end()
    return Algorithm(oid, parameters)


def _parse_public_key(body: DerReader) -> bytes:
    tag, content, whole = body.read()
    if tag != SEQUENCE:
        raise DerError("a public key that is not a sequence")
    reader = DerReader(content)
    _parse_algorithm(reader)
    parse_bits(reader.expect(BIT_STRING))
    reader.end()
    return whole


def _parse_date(dates: DerReader) -> int | None:
    """Return a date as seconds since 1970; None in a form that is not compared."""
    tag, value, _ = dates.read()
    if tag == _UTC_TIME:
        if _OFFSET_DATE.fullmatch(value):
            return None  # parsed for the sake of old certificates
        # RFC 5280, 4.1.2.5.1: years from 50 on are of the twentieth century.
        value = (b"19" if value[:2] >= b"50" else b"20") + value
    elif tag != _GENERALIZED_TIME:
        raise DerError("a date of another type")
    if not _DATE.fullmatch(value):
        raise DerError("a date in another form")
    year, month, day, hour, minute, second = (
        int(value[:4]),
        *(int(value[at : at + 2]) for at in range(4, 14, 2)),
    )
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc)
    except ValueError:
        raise DerError("a date that does not exist") from None
    return (moment - _EPOCH) // _SECOND
