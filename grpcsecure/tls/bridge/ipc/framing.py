"""Framing of the control channel, a socketpair between server process and bridge.

A frame consists of its length, a kind, a JSON object and binary blobs; some kinds carry
one descriptor (SCM_RIGHTS, unix(7)). Its size is limited. Invariant: malformed input
raises `ProtocolError`, and no blob is ever shown in an error.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from array import array
from collections import deque
from dataclasses import dataclass, field
from enum import IntEnum

__all__ = ["MAX_FRAME", "VERSION", "Channel", "Frame", "FrameKind", "ProtocolError"]

#: Incremented with each change of a frame's meaning; both ends must have the same.
VERSION = 5

#: The largest frame: key material with large revocation lists.
MAX_FRAME = 64 * 1024 * 1024

_HEADER = struct.Struct("!IBI")  # bytes after this field, kind, bytes of JSON
_DESCRIPTOR = struct.Struct("i")
_LENGTH = 4
_CHUNK = 64 * 1024
_MAX_DESCRIPTORS = 8

# As plain integers: `&` on Python's flags takes longer than the system call.
_CUT_OFF = int(socket.MSG_CTRUNC)
_CLOSE_ON_EXEC = int(socket.MSG_CMSG_CLOEXEC)


class ProtocolError(Exception):
    """The other end violated the protocol."""


class FrameKind(IntEnum):
    """The kinds of frames: first those to the bridge, then those from it."""

    LISTEN = 1
    MATERIAL = 2
    REGISTERED = 3
    CLOSE = 4
    DRAIN = 5
    STOP = 6
    COMMIT = 7

    HELLO = 32
    SWAPPED = 33
    REJECTED = 34
    PEER = 35
    ENDED = 36
    REFUSED = 37
    DRAINED = 38
    FAILED = 39
    PREPARED = 40
    RETIRED = 41


#: Kinds that carry a descriptor: a listening socket, or the guard of a name.
_WITH_DESCRIPTOR = frozenset({FrameKind.LISTEN, FrameKind.PEER})


@dataclass(frozen=True, slots=True)
class Frame:
    """One message; blobs contain certificates and keys and are never shown."""

    kind: FrameKind
    fields: dict[str, object] = field(default_factory=dict)
    blobs: tuple[bytes, ...] = field(default=(), repr=False)

    def encode(self) -> bytes:
        """Return the bytes of the frame.

        Raises:
            ProtocolError: the frame is larger than `MAX_FRAME`.
        """
        text = json.dumps(
            {**self.fields, "blobs": [len(blob) for blob in self.blobs]}
        ).encode()
        size = _HEADER.size - _LENGTH + len(text) + sum(map(len, self.blobs))
        if size > MAX_FRAME:
            raise ProtocolError(f"a {self.kind.name} frame of {size} bytes")
        return b"".join((_HEADER.pack(size, self.kind, len(text)), text, *self.blobs))


class Channel:
    """One end of the socketpair; it blocks if its socket does.

    Not thread-safe: the server process uses it under a lock.
    """

    __slots__ = (
        "_chunk",
        "_descriptors",
        "_incoming",
        "_limit",
        "_outgoing",
        "pending",
        "sock",
    )

    def __init__(self, sock: socket.socket, *, limit: int = MAX_FRAME) -> None:
        self.sock = sock
        #: Bytes that are queued and not yet accepted by the kernel.
        self.pending = 0
        self._limit = limit
        # Allocated once: allocating so much takes longer than the read, which is
        # usually smaller.
        self._chunk = memoryview(bytearray(_CHUNK))
        self._incoming = bytearray()
        self._outgoing: deque[tuple[bytes, int | None]] = deque()
        self._descriptors: deque[int | None] = deque()

    def send(self, frame: Frame, descriptor: int | None = None) -> bool:
        """Send `frame` after the queued ones; return whether the queue is empty.

        The caller keeps the ownership of a descriptor.

        Raises:
            OSError: the other end is gone.
        """
        data = frame.encode()
        if not self._outgoing:
            try:
                sent = self._send(data, descriptor)
            except BlockingIOError:
                self._queue(data, descriptor)
                return False
            if sent == len(data):
                return True
            data, descriptor = data[sent:], None
        self._queue(data, descriptor)
        return self.flush()

    def _queue(self, data: bytes, descriptor: int | None) -> None:
        # Duplicated: before it is sent, it may be closed and its number be reused.
        copy = None if descriptor is None else os.dup(descriptor)
        self._outgoing.append((data, copy))
        self.pending += len(data)

    def flush(self) -> bool:
        """Send as much as the kernel accepts; return whether the queue is empty.

        Raises:
            OSError: the other end is gone.
        """
        while self._outgoing:
            data, descriptor = self._outgoing[0]
            try:
                sent = self._send(data, descriptor)
            except BlockingIOError:
                return False
            self._outgoing.popleft()
            self.pending -= sent
            if descriptor is not None:
                os.close(descriptor)
            if sent < len(data):
                self._outgoing.appendleft((data[sent:], None))
        return True

    def _send(self, data: bytes, descriptor: int | None) -> int:
        if descriptor is None:
            return self.sock.send(data)
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, _DESCRIPTOR.pack(descriptor))
        return self.sock.sendmsg((data,), (rights,))

    def receive(self) -> list[tuple[Frame, int | None]]:
        """Return the frames that one read completes, with their descriptors.

        Raises:
            EOFError: the other end is closed.
            ProtocolError: the bytes are not a frame.
            OSError: of `recvmsg`, including `BlockingIOError`.
        """
        count, control, flags, _ = self.sock.recvmsg_into(
            (self._chunk,), socket.CMSG_LEN(_MAX_DESCRIPTORS * 4), _CLOSE_ON_EXEC
        )
        self._take_descriptors(control, flags)
        if not count:
            raise EOFError
        self._incoming += self._chunk[:count]
        return self._split()

    def _take_descriptors(
        self, control: list[tuple[int, int, bytes]], flags: int
    ) -> None:
        found = array("i")
        for level, kind, value in control:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                found.frombytes(value[: len(value) // 4 * 4])
        self._descriptors.extend(found)
        # This process is out of descriptors, and the kernel dropped the one of this
        # frame: the frame must not get the next frame's.
        if flags & _CUT_OFF and not found:
            self._descriptors.append(None)

    def _split(self) -> list[tuple[Frame, int | None]]:
        frames: list[tuple[Frame, int | None]] = []
        start = 0
        while len(self._incoming) - start >= _HEADER.size:
            size, kind, text = _HEADER.unpack_from(self._incoming, start)
            if size > self._limit or text + _HEADER.size - _LENGTH > size:
                raise ProtocolError(f"a frame of {size} bytes")
            if len(self._incoming) - start < size + _LENGTH:
                break
            body = bytes(self._incoming[start + _HEADER.size : start + size + _LENGTH])
            frame = _decode(kind, body[:text], body[text:])
            frames.append((frame, self._descriptor_of(frame)))
            start += size + _LENGTH
        del self._incoming[:start]
        return frames

    def _descriptor_of(self, frame: Frame) -> int | None:
        if frame.kind not in _WITH_DESCRIPTOR:
            return None
        if not self._descriptors:
            raise ProtocolError(f"a {frame.kind.name} frame without its descriptor")
        return self._descriptors.popleft()

    def close(self) -> None:
        """Close the socket and every descriptor that is queued or not yet delivered."""
        self.sock.close()
        for _, descriptor in self._outgoing:
            if descriptor is not None:
                os.close(descriptor)
        for descriptor in self._descriptors:
            if descriptor is not None:
                os.close(descriptor)
        self._outgoing.clear()
        self._descriptors.clear()


def _decode(kind: int, text: bytes, rest: bytes) -> Frame:
    try:
        fields = json.loads(text)
        sizes = fields.pop("blobs")
        known = FrameKind(kind)
        blobs: list[bytes] = []
        offset = 0
        for size in sizes:
            blobs.append(rest[offset : offset + size])
            offset += size
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ProtocolError(f"a malformed frame of kind {kind}") from None
    if offset != len(rest):
        raise ProtocolError(f"a {known.name} frame with a wrong total size of blobs")
    return Frame(known, fields, tuple(blobs))
