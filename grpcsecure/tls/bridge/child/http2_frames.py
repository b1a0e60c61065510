"""The frames of a server as they pass by, and the GOAWAY that is put between two.

Knows RFC 9113 as far as that needs: the lengths of frames, and that a header block in
several frames must not be interrupted (sections 4.1 and 4.3).
"""

from __future__ import annotations

import struct

__all__ = ["GOAWAY", "ServerFrames"]

#: Tells the client to open no more streams on this connection; those that it has opened
#: are served (RFC 9113, section 6.8: the highest stream id, NO_ERROR).
GOAWAY = struct.pack("!HBBBIII", 0, 8, 7, 0, 0, 2**31 - 1, 0)

#: High bits and low byte of the length, type, flags. The stream id is not needed.
_HEADER = struct.Struct("!HBBB")
_HEADER_SIZE = 9

#: HEADERS, PUSH_PROMISE and CONTINUATION; a block ends with the flag END_HEADERS.
_BLOCK_TYPES = frozenset({1, 5, 9})
_END_HEADERS = 4


class ServerFrames:
    """The frames of a server, from the first byte of its connection on."""

    __slots__ = ("_has_begun", "_in_block", "_partial", "_rest", "is_goaway_due")

    def __init__(self) -> None:
        #: Whether a GOAWAY is to be put after the next frame.
        self.is_goaway_due = False
        #: Whether a whole frame header has passed.
        self._has_begun = False
        #: Bytes until the next frame header.
        self._rest = 0
        #: The part of a frame header that has passed.
        self._partial = b""
        self._in_block = False

    @property
    def takes_goaway(self) -> bool:
        """Whether a GOAWAY may follow the bytes so far; the first frame is SETTINGS."""
        is_between = not (self._rest or self._partial or self._in_block)
        return self._has_begun and is_between

    def advance(self, data: memoryview) -> int | None:
        """Follow `data`, the next bytes from the server.

        Returns:
            The position in `data` where the GOAWAY is due: after the frame that the
            bytes before `data` have begun. None if there is none to put here.
        """
        size, position, first = len(data), self._rest, None
        if self._partial:
            missing = _HEADER_SIZE - len(self._partial)
            self._partial += bytes(data[:missing])
            if len(self._partial) < _HEADER_SIZE:
                return None
            position = missing + self._read_header(self._partial, 0)
            self._partial = b""
        while position <= size:
            if first is None and position and not self._in_block:
                first = position
            if position + _HEADER_SIZE > size:
                break
            position += _HEADER_SIZE + self._read_header(data, position)
        self._rest = max(0, position - size)
        if position < size:
            self._partial = bytes(data[position:])
        return first if self.is_goaway_due else None

    def _read_header(self, data: bytes | memoryview, position: int) -> int:
        """Return the length of a frame's payload."""
        high, low, kind, flags = _HEADER.unpack_from(data, position)
        self._has_begun = True
        self._in_block = kind in _BLOCK_TYPES and not flags & _END_HEADERS
        length: int = high << 8 | low
        return length
