"""Distinguished names as BoringSSL compares them: in a canonical form."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from grpcsecure.tls.boringssl.strict_der import (
    OBJECT_IDENTIFIER,
    SEQUENCE,
    SET,
    DerReader,
    encode,
    parse_oid,
)
from grpcsecure.tls.der import DerError

__all__ = ["IA5_STRING", "Attribute", "CanonicalName", "decode_text", "parse_name"]

_UTF8, _UNIVERSAL, _BMP = 0x0C, 0x1C, 0x1E
IA5_STRING = 0x16
#: PrintableString, T61String, IA5String, VisibleString: read as Latin-1.
_LATIN_1 = frozenset({0x13, 0x14, IA5_STRING, 0x1A})

#: The longest name that BoringSSL reads.
_MAX_NAME = 1024 * 1024

#: ASCII white space, as C's `isspace` has it.
_SPACE = "\t\n\v\f\r "
#: Code points that are not characters: these, and the last two of each plane.
_NO_CHARACTERS = range(0xFDD0, 0xFDF0)
_LAST_OF_PLANE = 0xFFFE
_LAST_OF_UCS2 = 0xFFFF

_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


#: How many names are cached, and the bytes of the longest.
_CACHE_SIZE, _MAX_CACHED = 2048, 512


class Attribute(NamedTuple):
    """An attribute of a name: its type, and the tag and bytes of its value."""

    kind: bytes
    tag: int
    value: bytes


class CanonicalName(NamedTuple):
    """A name: its attributes in order, and the form that comparisons use.

    That form has strings in UTF-8, ASCII letters in lower case, white space collapsed,
    and the attributes of one part sorted.
    """

    attributes: tuple[Attribute, ...]
    canonical: bytes


def parse_name(value: bytes) -> CanonicalName:
    """Return the name with this content (without its tag and length).

    Raises:
        DerError: BoringSSL does not parse it.
    """
    # Most names occur twice: as the subject of a CA and as an issuer.
    return _parse_often(value) if len(value) <= _MAX_CACHED else _parse(value)


def _parse(value: bytes) -> CanonicalName:
    if len(value) > _MAX_NAME:
        raise DerError("a name that is too long")
    attributes: list[Attribute] = []
    canonical = b""
    parts = DerReader(value)
    while not parts.is_at_end:
        part = parts.expect(SET)
        if not part:
            raise DerError("an empty part of a name")
        found = [
            _parse_attribute(pair)
            for tag, pair, _ in DerReader(part).each()
            if _is_sequence(tag)
        ]
        attributes += found
        canonical += encode(SET, b"".join(sorted(map(_canonical, found))))
    return CanonicalName(tuple(attributes), canonical)


_parse_often = lru_cache(_CACHE_SIZE)(_parse)


def _is_sequence(tag: int) -> bool:
    if tag != SEQUENCE:
        raise DerError("an attribute that is not a sequence")
    return True


def _parse_attribute(pair: bytes) -> Attribute:
    reader = DerReader(pair)
    kind = parse_oid(reader.expect(OBJECT_IDENTIFIER))
    tag, value, _ = reader.read()
    reader.end()
    return Attribute(kind, tag, value)


def _canonical(attribute: Attribute) -> bytes:
    text = decode_text(attribute)
    if text is None:
        value = encode(attribute.tag, attribute.value)
    else:
        words = text.translate(_LOWER).strip(_SPACE)
        value = encode(_UTF8, _collapse(words).encode())
    return encode(SEQUENCE, encode(OBJECT_IDENTIFIER, attribute.kind) + value)


def _collapse(text: str) -> str:
    """Replace each run of white space by one space."""
    for other in _SPACE[:-1]:
        text = text.replace(other, " ")
    while "  " in text:
        text = text.replace("  ", " ")
    return text


def decode_text(attribute: Attribute) -> str | None:
    """Return the text of a string; None for types that BoringSSL leaves as they are.

    Raises:
        DerError: it is not valid in its encoding.
    """
    tag, value = attribute.tag, attribute.value
    if tag in _LATIN_1:
        return value.decode("latin-1")
    encoding = {_UTF8: "utf-8", _BMP: "utf-16-be", _UNIVERSAL: "utf-32-be"}.get(tag)
    if encoding is None:
        return None
    try:
        text = value.decode(encoding)
    except UnicodeDecodeError:
        raise DerError("a name that is not valid in its encoding") from None
    if any(_is_no_character(ord(character), tag) for character in text):
        raise DerError("a name with a code point that is not a character")
    return text


def _is_no_character(code: int, tag: int) -> bool:
    # UCS-2 has no surrogate pairs, which UTF-16 decodes.
    return (
        code in _NO_CHARACTERS
        or code & _LAST_OF_PLANE == _LAST_OF_PLANE
        or (tag == _BMP and code > _LAST_OF_UCS2)
    )
