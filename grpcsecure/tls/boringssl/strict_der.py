"""DER (X.690) as strict as BoringSSL's parser: minimal lengths, whole elements.

Invariant: malformed input raises `DerError`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.tls.der import DerError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "BIT_STRING",
    "BOOLEAN",
    "INTEGER",
    "NULL",
    "OBJECT_IDENTIFIER",
    "OCTET_STRING",
    "SEQUENCE",
    "SET",
    "DerReader",
    "encode",
    "parse_bits",
    "parse_boolean",
    "parse_integer",
    "parse_oid",
]

BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING, NULL = 0x01, 0x02, 0x03, 0x04, 0x05
OBJECT_IDENTIFIER, SEQUENCE, SET = 0x06, 0x30, 0x31

_MULTI_BYTE_TAG = 0x1F
_LONG_LENGTH = 0x80
#: Longer lengths do not fit the integers that BoringSSL reads them into.
_MOST_LENGTH_BYTES = 4
_MOST_UNUSED_BITS = 7


class DerReader:
    """Reads the elements of `data` one after the other."""

    __slots__ = ("_data", "_offset")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._offset = 0

    @property
    def is_at_end(self) -> bool:
        """Whether all elements have been read."""
        return self._offset == len(self._data)

    def next_tag(self) -> int | None:
        """Return the tag of the next element, or None at the end."""
        return None if self.is_at_end else self._data[self._offset]

    def read(self, *, is_minimal: bool = True) -> tuple[int, bytes, bytes]:
        """Return the next element: its tag, its value, and all its bytes.

        Args:
            is_minimal: whether its length has to be as short as possible.
        """
        data, start = self._data, self._offset
        offset = start + 2
        if offset > len(data):
            raise DerError("an element is cut off")
        tag, length = data[start], data[start + 1]
        if tag & _MULTI_BYTE_TAG == _MULTI_BYTE_TAG:
            raise DerError("a tag of several bytes")
        if length & _LONG_LENGTH:
            size = length & ~_LONG_LENGTH
            length = _long_length(data[offset : offset + size], size, is_minimal)
            offset += size
        end = offset + length
        if end > len(data):
            raise DerError("an element is longer than its container")
        self._offset = end
        return tag, data[offset:end], data[start:end]

    def expect(self, tag: int) -> bytes:
        """Return the value of the next element, which must have this tag."""
        found, value, _ = self.read()
        if found != tag:
            raise DerError(f"tag {found:#x} instead of {tag:#x}")
        return value

    def optional(self, tag: int) -> bytes | None:
        """Return the value of the next element if it has this tag."""
        return self.expect(tag) if self.next_tag() == tag else None

    def end(self) -> None:
        """Check that nothing follows."""
        if not self.is_at_end:
            raise DerError("data after the last element")

    def each(self) -> Iterator[tuple[int, bytes, bytes]]:
        """Yield the elements up to the end."""
        while not self.is_at_end:
            yield self.read()


def _long_length(encoded: bytes, size: int, is_minimal: bool) -> int:  # noqa: FBT001
    """Return a length that is encoded in `size` bytes."""
    length = int.from_bytes(encoded, "big")
    if not 0 < size <= _MOST_LENGTH_BYTES or len(encoded) < size:
        raise DerError("a length that is cut off, too long or indefinite")
    if is_minimal and (not encoded[0] or length < _LONG_LENGTH):
        raise DerError("a length that is not minimal")
    return length


def parse_boolean(value: bytes) -> bool:
    """Return the value of a BOOLEAN: BoringSSL takes any byte but 0 for true."""
    if len(value) != 1:
        raise DerError("a BOOLEAN that is not one byte")
    return value != b"\0"


def parse_integer(value: bytes) -> int:
    """Return the value of an INTEGER in its shortest form."""
    number = int.from_bytes(value, "big", signed=True)
    shortest = (number.bit_length() if number >= 0 else (~number).bit_length()) // 8 + 1
    if len(value) != shortest:
        raise DerError("an INTEGER that is not minimal")
    return number


def parse_bits(value: bytes) -> bytes:
    """Return the bytes of a BIT STRING, whose unused bits must be zero."""
    if not value or value[0] > _MOST_UNUSED_BITS:
        raise DerError("a BIT STRING without its number of unused bits")
    unused, bits = value[0], value[1:]
    if unused and (not bits or bits[-1] & ((1 << unused) - 1)):
        raise DerError("a BIT STRING with unused bits that are set")
    return bits


def parse_oid(value: bytes) -> bytes:
    """Return the bytes of an OBJECT IDENTIFIER, checked."""
    starts = True
    for byte in value:
        if starts and byte == 0x80:  # noqa: PLR2004 - a padded number
            raise DerError("an object identifier that is not minimal")
        starts = not byte & 0x80
    if not value or not starts:
        raise DerError("an object identifier that is cut off")
    return value


def encode(tag: int, value: bytes) -> bytes:
    """Return an element."""
    length = len(value)
    if length < _LONG_LENGTH:
        return bytes([tag, length]) + value
    encoded = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, _LONG_LENGTH | len(encoded)]) + encoded + value
