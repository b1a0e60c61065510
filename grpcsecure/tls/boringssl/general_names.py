"""GeneralNames (RFC 5280, section 4.2.1.6) and NameConstraints, parsed."""

from __future__ import annotations

from typing import NamedTuple

from grpcsecure.tls.boringssl.names import CanonicalName, parse_name
from grpcsecure.tls.boringssl.strict_der import (
    OBJECT_IDENTIFIER,
    SEQUENCE,
    DerReader,
    parse_integer,
    parse_oid,
)
from grpcsecure.tls.der import DerError

__all__ = [
    "DIRECTORY",
    "DNS",
    "EMAIL",
    "IP",
    "URI",
    "GeneralName",
    "NameConstraints",
    "Subtree",
    "parse_general_names",
    "parse_name_constraints",
]

#: Context tags.
_OTHER, EMAIL, DNS, _X400, DIRECTORY = 0xA0, 0x81, 0x82, 0xA3, 0xA4
_EDI_PARTY, URI, IP, _REGISTERED_ID = 0xA5, 0x86, 0x87, 0x88

_PERMITTED, _EXCLUDED = 0xA0, 0xA1
_MINIMUM, _MAXIMUM = 0x80, 0x81
_EXPLICIT_0 = 0xA0


class GeneralName(NamedTuple):
    """A name: its context tag, its bytes, and the name of a directory if it is one."""

    tag: int
    value: bytes
    directory: CanonicalName | None = None


class Subtree(NamedTuple):
    """A constraint; BoringSSL supports none that has a minimum or maximum."""

    base: GeneralName
    has_distance: bool


class NameConstraints(NamedTuple):
    """The constraints of one CA (RFC 5280, section 4.2.1.10)."""

    permitted: tuple[Subtree, ...]
    excluded: tuple[Subtree, ...]


def parse_general_names(content: bytes) -> tuple[GeneralName, ...]:
    """Return the names in the content of a sequence.

    Raises:
        DerError: BoringSSL does not parse one.
    """
    return tuple(_parse(tag, value) for tag, value, _ in DerReader(content).each())


def _parse(tag: int, value: bytes) -> GeneralName:
    if tag in {EMAIL, DNS, URI, IP, _X400}:
        return GeneralName(tag, value)
    reader = DerReader(value)
    if tag == DIRECTORY:
        name = parse_name(reader.expect(SEQUENCE))
        reader.end()
        return GeneralName(tag, value, name)
    if tag == _REGISTERED_ID:
        parse_oid(value)
    elif tag == _OTHER:
        parse_oid(reader.expect(OBJECT_IDENTIFIER))
        inner = DerReader(reader.expect(_EXPLICIT_0))
        inner.read()
        inner.end()
        reader.end()
    elif tag == _EDI_PARTY:
        for _ in reader.each():
            pass
    else:
        raise DerError(f"a general name of type {tag:#x}")
    return GeneralName(tag, value)


def parse_name_constraints(value: bytes) -> NameConstraints:
    """Return the constraints in the value of the extension.

    Raises:
        DerError: BoringSSL does not parse it.
    """
    reader = DerReader(value)
    fields = DerReader(reader.expect(SEQUENCE))
    reader.end()
    permitted, excluded = (
        tuple(_parse_subtree(each) for _, each, _ in _sequences(fields.optional(tag)))
        for tag in (_PERMITTED, _EXCLUDED)
    )
    fields.end()
    return NameConstraints(permitted, excluded)


def _sequences(content: bytes | None) -> list[tuple[int, bytes, bytes]]:
    found = [*DerReader(content or b"").each()]
    if any(tag != SEQUENCE for tag, _, _ in found):
        raise DerError("a subtree that is not a sequence")
    return found


def _parse_subtree(content: bytes) -> Subtree:
    reader = DerReader(content)
    tag, value, _ = reader.read()
    distances = [reader.optional(each) for each in (_MINIMUM, _MAXIMUM)]
    reader.end()
    present = [parse_integer(each) for each in distances if each is not None]
    return Subtree(_parse(tag, value), bool(present))
