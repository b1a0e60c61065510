"""The extensions of a certificate as BoringSSL reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from grpcsecure.tls.boringssl.general_names import (
    DIRECTORY,
    parse_general_names,
    parse_name_constraints,
)
from grpcsecure.tls.boringssl.names import parse_name
from grpcsecure.tls.boringssl.strict_der import (
    BIT_STRING,
    BOOLEAN,
    INTEGER,
    OBJECT_IDENTIFIER,
    OCTET_STRING,
    SEQUENCE,
    SET,
    DerReader,
    encode,
    parse_bits,
    parse_boolean,
    parse_integer,
    parse_oid,
)
from grpcsecure.tls.der import DerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from grpcsecure.tls.boringssl.general_names import GeneralName, NameConstraints
    from grpcsecure.tls.boringssl.names import CanonicalName

__all__ = [
    "AuthorityKey",
    "Extension",
    "ExtensionFacts",
    "find_extension",
    "parse_extensions",
]

_EXTENSIONS = 0xA3

#: Object identifiers in DER.
BASIC_CONSTRAINTS = bytes.fromhex("551d13")
KEY_USAGE = bytes.fromhex("551d0f")
EXTENDED_KEY_USAGE = bytes.fromhex("551d25")
SUBJECT_KEY = bytes.fromhex("551d0e")
AUTHORITY_KEY = bytes.fromhex("551d23")
ALTERNATIVE_NAMES = bytes.fromhex("551d11")
NAME_CONSTRAINTS = bytes.fromhex("551d1e")
DISTRIBUTION_POINTS = bytes.fromhex("551d1f")
CERTIFICATE_POLICIES = bytes.fromhex("551d20")
POLICY_MAPPINGS = bytes.fromhex("551d21")
POLICY_CONSTRAINTS = bytes.fromhex("551d24")
INHIBIT_ANY_POLICY = bytes.fromhex("551d36")

#: The extensions that may be critical: BoringSSL processes them.
SUPPORTED_EXTENSIONS = frozenset(
    {
        KEY_USAGE,
        ALTERNATIVE_NAMES,
        BASIC_CONSTRAINTS,
        CERTIFICATE_POLICIES,
        EXTENDED_KEY_USAGE,
        POLICY_CONSTRAINTS,
        NAME_CONSTRAINTS,
        POLICY_MAPPINGS,
        INHIBIT_ANY_POLICY,
    }
)


class Extension(NamedTuple):
    """An extension, in the order of the certificate."""

    oid: bytes
    is_critical: bool
    value: bytes


class AuthorityKey(NamedTuple):
    """AuthorityKeyIdentifier (RFC 5280, section 4.2.1.1)."""

    key: bytes | None
    issuer: CanonicalName | None
    serial: bytes | None


def parse_extensions(body: DerReader) -> tuple[Extension, ...]:
    """Return the extensions, if they are the next element.

    Raises:
        DerError: they are not a sequence of extensions.
    """
    wrapper = body.optional(_EXTENSIONS)
    if wrapper is None:
        return ()
    reader = DerReader(wrapper)
    found = tuple(
        _parse_extension(tag, content)
        for tag, content, _ in DerReader(reader.expect(SEQUENCE)).each()
    )
    reader.end()
    return found


def _parse_extension(tag: int, content: bytes) -> Extension:
    if tag != SEQUENCE:
        raise DerError("an extension that is not a sequence")
    reader = DerReader(content)
    oid = parse_oid(reader.expect(OBJECT_IDENTIFIER))
    critical = reader.optional(BOOLEAN)
    value = reader.expect(OCTET_STRING)
    reader.end()
    return Extension(oid, critical is not None and parse_boolean(critical), value)


def find_extension(extensions: tuple[Extension, ...], oid: bytes) -> bytes | None:
    """Return the value of an extension, None without it.

    Raises:
        DerError: it occurs twice.
    """
    found = [each.value for each in extensions if each.oid == oid]
    if len(found) > 1:
        raise DerError("an extension that occurs twice")
    return found[0] if found else None


class ExtensionFacts:
    """What the extensions say that verification uses; `is_invalid` if one is malformed.

    `path_length` is None without a limit; `key_usage`, `purposes`, `names` and the
    others are None without the extension.
    """

    def __init__(self, extensions: tuple[Extension, ...]) -> None:
        self._extensions = extensions
        self.is_invalid = False
        self.has_unknown_critical = any(
            each.is_critical and each.oid not in SUPPORTED_EXTENSIONS
            for each in extensions
        )
        self.is_authority = False
        self.path_length: int | None = None
        self.key_usage: int | None = None
        self.purposes: frozenset[bytes] | None = None
        self.subject_key: bytes | None = None
        self.authority_key: AuthorityKey | None = None
        self.names: tuple[GeneralName, ...] | None = None
        self.constraints: NameConstraints | None = None
        for oid, parse in self._parsers().items():
            try:
                value = find_extension(extensions, oid)
                if value is not None:
                    parse(value)
            except DerError:
                self.is_invalid = True

    def _parsers(self) -> dict[bytes, Callable[[bytes], None]]:
        return {
            BASIC_CONSTRAINTS: self._basic_constraints,
            KEY_USAGE: self._key_usage,
            EXTENDED_KEY_USAGE: self._purposes,
            SUBJECT_KEY: self._subject_key,
            AUTHORITY_KEY: self._authority_key,
            ALTERNATIVE_NAMES: self._names,
            NAME_CONSTRAINTS: self._constraints,
            DISTRIBUTION_POINTS: _check_distribution_points,
        }

    def _basic_constraints(self, value: bytes) -> None:
        reader = DerReader(_only(value, SEQUENCE))
        authority = reader.optional(BOOLEAN)
        length = reader.optional(INTEGER)
        reader.end()
        self.is_authority = authority is not None and parse_boolean(authority)
        if length is not None:
            self.path_length = parse_integer(length)
            if self.path_length < 0 or not self.is_authority:
                raise DerError("a path length of a certificate that is not a CA's")

    def _key_usage(self, value: bytes) -> None:
        bits = parse_bits(_only(value, BIT_STRING))
        self.key_usage = bits[0] if bits else 0

    def _purposes(self, value: bytes) -> None:
        found = [*DerReader(_only(value, SEQUENCE)).each()]
        if any(tag != OBJECT_IDENTIFIER for tag, _, _ in found):
            raise DerError("a purpose that is not an object identifier")
        self.purposes = frozenset(parse_oid(oid) for _, oid, _ in found)

    def _subject_key(self, value: bytes) -> None:
        self.subject_key = _only(value, OCTET_STRING)

    def _authority_key(self, value: bytes) -> None:
        reader = DerReader(_only(value, SEQUENCE))
        key, issuer, serial = (reader.optional(tag) for tag in (0x80, 0xA1, 0x82))
        reader.end()
        names = () if issuer is None else parse_general_names(issuer)
        if serial is not None:
            parse_integer(serial)
        directories = [each.directory for each in names if each.tag == DIRECTORY]
        self.authority_key = AuthorityKey(
            key, directories[0] if directories else None, serial
        )

    def _names(self, value: bytes) -> None:
        self.names = parse_general_names(_only(value, SEQUENCE))

    def _constraints(self, value: bytes) -> None:
        self.constraints = parse_name_constraints(value)


def _only(value: bytes, tag: int) -> bytes:
    """Return the content of the only element of an extension."""
    reader = DerReader(value)
    content = reader.expect(tag)
    reader.end()
    return content


def _check_distribution_points(value: bytes) -> None:
    """Check the form of CRLDistributionPoints (RFC 5280, section 4.2.1.13)."""
    for tag, content, _ in DerReader(_only(value, SEQUENCE)).each():
        if tag != SEQUENCE:
            raise DerError("a distribution point that is not a sequence")
        point = DerReader(content)
        place = point.optional(0xA0)
        reasons, issuer = point.optional(0x81), point.optional(0xA2)
        point.end()
        if place is not None:
            _check_place(place)
        if reasons is not None:
            parse_bits(reasons)
        if issuer is not None:
            parse_general_names(issuer)


def _check_place(value: bytes) -> None:
    reader = DerReader(value)
    tag, content, _ = reader.read()
    reader.end()
    if tag == 0xA0:  # noqa: PLR2004 - fullName
        parse_general_names(content)
    elif tag == 0xA1:  # noqa: PLR2004 - nameRelativeToCRLIssuer
        parse_name(encode(SET, content))
    else:
        raise DerError("a distribution point of another type")
