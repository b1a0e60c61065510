"""A certificate as BoringSSL reads it: its fields, and what its extensions say.

BoringSSL refuses the whole handshake for a certificate that it cannot parse, also where
no path needs it. A malformed extension is recorded (`is_invalid`): no path may have
such a certificate.
"""

from __future__ import annotations

from calendar import timegm
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from grpcsecure.tls.boringssl.extension_facts import (
    SUPPORTED_EXTENSIONS,
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
from grpcsecure.tls.der import DerError, Element, read_date

if TYPE_CHECKING:
    from grpcsecure.tls.boringssl.extension_facts import AuthorityKey, Extension
    from grpcsecure.tls.boringssl.general_names import GeneralName, NameConstraints
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

#: Bits of KeyUsage in its first byte (RFC 5280, section 4.2.1.3).
DIGITAL_SIGNATURE, KEY_AGREEMENT, KEY_CERT_SIGN = 0x80, 0x08, 0x04


class Algorithm(NamedTuple):
    """An AlgorithmIdentifier: its object identifier, and its parameters as bytes."""

    oid: bytes
    parameters: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedCertificate:
    """The parts of a certificate that verification uses.

    `not_before` and `not_after` are seconds since 1970; None for a date in a form that
    BoringSSL does not compare. `path_length` is None without a limit; `key_usage` and
    `purposes` are None without the extension.
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
    is_invalid: bool
    has_unknown_critical: bool
    is_authority: bool
    path_length: int | None
    key_usage: int | None
    purposes: frozenset[bytes] | None
    subject_key: bytes | None
    authority_key: AuthorityKey | None
    names: tuple[GeneralName, ...] | None
    constraints: NameConstraints | None

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
        return self.key_usage is None or bool(self.key_usage & use)


def parse_certificate(der: bytes) -> ParsedCertificate:
    """Parse a certificate.

    Raises:
        DerError: BoringSSL does not parse it.
    """
    outer = DerReader(der)
    certificate = DerReader(outer.expect(SEQUENCE))
    outer.end()
    tag, content, signed = certificate.read()
    if tag != SEQUENCE:
        raise DerError("a certificate without its content")
    algorithm = _parse_algorithm(certificate)
    signature = parse_bits(certificate.expect(BIT_STRING))
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
    facts = ExtensionFacts(extensions)
    return ParsedCertificate(
        der=der,
        signed=signed,
        algorithm=algorithm,
        inner_algorithm=inner_algorithm,
        signature=signature,
        version=version,
        serial=serial,
        issuer=issuer,
        subject=subject,
        not_before=not_before,
        not_after=not_after,
        public_key=public_key,
        extensions=extensions,
        is_invalid=facts.is_invalid,
        has_unknown_critical=any(
            each.is_critical and each.oid not in SUPPORTED_EXTENSIONS
            for each in extensions
        ),
        is_authority=facts.is_authority,
        path_length=facts.path_length,
        key_usage=facts.key_usage,
        purposes=facts.purposes,
        subject_key=facts.subject_key,
        authority_key=facts.authority_key,
        names=facts.names,
        constraints=facts.constraints,
    )


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
    tag, value, whole = dates.read()
    if tag not in {_UTC_TIME, _GENERALIZED_TIME}:
        raise DerError("a date of another type")
    if value.endswith(b"Z"):
        return timegm(read_date(Element(tag, value, whole)).utctimetuple())
    # Parsed for the sake of old certificates, but not compared with the time.
    if tag == _UTC_TIME and len(value) == len(b"YYMMDDhhmmss+hhmm"):
        return None
    raise DerError("a date in another form")
