r"""Parses RFC 4514 strings of distinguished names, such as `CN=a,O=Corp`.

Different strings can mean the same name (`cn=a`, `2.5.4.3=\61` and `CN=#0c0161`), so
names are compared by their components. Invariant: for any text, `parse_subject` returns
or raises ValueError.
"""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["COMMON_NAME", "Subject", "parse_subject"]

COMMON_NAME = "2.5.4.3"

#: The attribute types of RFC 4514, section 3, and those that gRPC, Go and OpenSSL name
#: in the subjects that they print, in capital letters.
_OIDS = {
    "CN": COMMON_NAME,
    "L": "2.5.4.7",
    "ST": "2.5.4.8",
    "O": "2.5.4.10",
    "OU": "2.5.4.11",
    "C": "2.5.4.6",
    "STREET": "2.5.4.9",
    "DC": "0.9.2342.19200300.100.1.25",
    "UID": "0.9.2342.19200300.100.1.1",
    "E": "1.2.840.113549.1.9.1",
    "EMAILADDRESS": "1.2.840.113549.1.9.1",
    "POSTALCODE": "2.5.4.17",
    "SERIALNUMBER": "2.5.4.5",
}

#: Not with `re.IGNORECASE`, which treats the Kelvin sign as a `k`.
_TYPE = re.compile(
    r"(?:[A-Za-z][A-Za-z0-9-]*|(?:[Oo][Ii][Dd]\.)?[0-9]+(?:\.[0-9]+)+)(?==)"
)
_NUMERIC = re.compile(r"[0-2](?:\.(?:0|[1-9][0-9]*))+")
_HEX = re.compile(r"#((?:[0-9A-Fa-f]{2})+)(?![^,+])")
#: Parts of a value: plain characters, `\` and a special character, `\` and a hex byte.
_VALUE = re.compile(
    r'(?:[^\\,+"<>;\0]|\\[ "#+,;<=>\\]|\\[0-9A-Fa-f]{2})*',
)
_ESCAPE = re.compile(r'\\(?:([ "#+,;<=>\\])|((?:[0-9A-Fa-f]{2})(?:\\[0-9A-Fa-f]{2})*))')

#: The ASN.1 string types by their tags: UTF8, Numeric, Printable, Teletex, IA5,
#: Visible, Universal and BMP. Each is decoded as in a certificate (`tls.der`), which is
#: how BoringSSL does it.
_ENCODINGS = {
    0x0C: "utf-8",
    **dict.fromkeys((0x12, 0x13, 0x14, 0x16, 0x1A), "latin-1"),
    0x1C: "utf-32-be",
    0x1E: "utf-16-be",
}
_LONG_LENGTH = 0x80

_EXAMPLE = "as in `CN=billing,O=Corp`"


class Subject(NamedTuple):
    """A distinguished name, with the most specific part first.

    Each part (RDN) is a set of attributes, since X.501 does not order attributes that
    are joined by `+`. An attribute is an OID and a value, which is bytes for the `#hex`
    of anything but a string.
    """

    parts: tuple[frozenset[tuple[str, str | bytes]], ...]

    def values(self, oid: str) -> tuple[str | bytes, ...]:
        """Return the values of all attributes of one type, in a stable order."""
        return tuple(
            value
            for part in self.parts
            for found, value in sorted(part, key=_sort_key)
            if found == oid
        )


def _sort_key(attribute: tuple[str, str | bytes]) -> tuple[str, bool, str | bytes]:
    oid, value = attribute
    return oid, isinstance(value, bytes), value


def parse_subject(text: str) -> Subject:
    """Parse an RFC 4514 string.

    The order of the parts matters, values are compared exactly, types by OID.

    Raises:
        ValueError: the text is malformed or empty; the message describes the problem.
    """
    if not text:
        raise ValueError(f"expected a subject, {_EXAMPLE}")
    parts: list[frozenset[tuple[str, str | bytes]]] = []
    part: set[tuple[str, str | bytes]] = set()
    position = 0
    while True:
        attribute, position = _parse_attribute(text, position)
        if attribute in part:
            raise ValueError("expected different attributes on both sides of `+`")
        part.add(attribute)
        if text[position : position + 1] != "+":
            parts.append(frozenset(part))
            part = set()
        if position == len(text):
            return Subject(tuple(parts))
        position += 1


def _parse_attribute(text: str, position: int) -> tuple[tuple[str, str | bytes], int]:
    """Return the attribute that begins at `position`, and its end."""
    found = _TYPE.match(text, position)
    if found is None:
        if text[position : position + 1] == " ":
            raise ValueError(_SPACE)
        raise ValueError(f"expected an attribute type and `=`, {_EXAMPLE}")
    oid = _parse_type(found[0])
    value, end = _parse_value(text, found.end() + 1)
    return (oid, value), end


_SPACE = r"expected no space beside `,`, `+` or `=`; one of a value is written `\ `"


def _parse_type(name: str) -> str:
    oid = _OIDS.get(name.upper())
    if oid is not None:
        return oid
    dotted = name.upper().removeprefix("OID.")
    if _NUMERIC.fullmatch(dotted):
        return dotted
    raise ValueError("expected CN, L, ST, O, OU, C, STREET, DC, UID or a dotted OID")


def _parse_value(text: str, start: int) -> tuple[str | bytes, int]:
    if text[start : start + 1] == "#":
        found = _HEX.match(text, start)
        if found is None:
            raise ValueError(r"expected pairs of hex digits after `#`, or `\#`")
        return _decode(bytes.fromhex(found[1])), found.end()
    found = _VALUE.match(text, start)
    end = found.end() if found is not None else start
    if end < len(text) and text[end] not in ",+":
        raise ValueError(_UNESCAPED)
    return _unescape(text[start:end]), end


def _decode(encoded: bytes) -> str | bytes:
    """Return the text of a string in BER (RFC 4514, section 2.4); other bytes as is.

    Java and Go print the values of all attribute types like that for which they have no
    name, an email address among them.
    """
    tag, length, content = encoded[0], encoded[1:2], encoded[2:]
    if length and length[0] > _LONG_LENGTH:
        size = length[0] - _LONG_LENGTH
        length, content = content[:size], content[size:]
    encoding = _ENCODINGS.get(tag)
    if encoding is None or not length or int.from_bytes(length, "big") != len(content):
        return encoded
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        return encoded


_UNESCAPED = (
    r'expected `\` before each of `"`, `+`, `,`, `;`, `<`, `>`, `\` in a value'
    r" and `\00` for a NUL"
)


def _unescape(raw: str) -> str:
    # With the escapes removed, the remaining spaces are those that are not escaped.
    bare = _ESCAPE.sub("x", raw)
    if bare.startswith(" ") or bare.endswith(" "):
        raise ValueError(_SPACE)
    return _ESCAPE.sub(_undo, raw)


def _undo(escape: re.Match[str]) -> str:
    special, pairs = escape.groups()
    if special is not None:
        return str(special)
    try:
        return bytes.fromhex(pairs.replace("\\", "")).decode()
    except UnicodeDecodeError:
        raise ValueError(r"expected UTF-8 in the bytes written as `\xx`") from None
