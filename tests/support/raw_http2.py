"""One gRPC call in handwritten HTTP/2, for paths and headers that no client sends.

The frames follow RFC 9113, the headers RFC 7541: literals only, nothing is indexed.
"""

from __future__ import annotations

import re
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import grpc
from support.services import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "Answer",
    "Session",
    "exchange",
    "open_call",
    "raw_call",
    "read_answer",
    "reset_call",
    "send_data",
]

_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _CONTINUATION = 0, 1, 3, 4, 6, 7, 9
_ACK = 1
_END_STREAM, _END_HEADERS = 1, 4
_CANCEL = 8
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_MAX_FRAME = 16_000

_CODES = {code.value[0]: code for code in grpc.StatusCode}


class Answer(NamedTuple):
    """The server's status; `code=None` if it reset the stream or the connection."""

    code: grpc.StatusCode | None
    details: str = ""


def raw_call(address: str, path: bytes | None, *headers: tuple[bytes, bytes]) -> Answer:
    """Make a unary call with an empty message to a plaintext listener."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), PATIENCE) as sock:
        return exchange(sock, path, *headers)


def exchange(
    sock: socket.socket, path: bytes | None, *headers: tuple[bytes, bytes]
) -> Answer:
    """Make a unary call with an empty message, the only call of a connection."""
    open_call(sock, path, *headers)
    send_data(sock, b"\0\0\0\0\0", ends=True)
    return read_answer(sock)


def open_call(
    sock: socket.socket, path: bytes | None, *headers: tuple[bytes, bytes]
) -> None:
    """Begin the only call of a connection."""
    block = b"".join(_literal(*header) for header in (*_pseudo(path), *headers))
    sock.sendall(_PREFACE + _frame(_SETTINGS, 0, 0, b""))
    kind = _HEADERS
    while block:
        part, block = block[:_MAX_FRAME], block[_MAX_FRAME:]
        sock.sendall(_frame(kind, 0 if block else _END_HEADERS, 1, part))
        kind = _CONTINUATION


def send_data(sock: socket.socket, data: bytes, *, ends: bool = False) -> None:
    """Send a part of the client's data."""
    sock.sendall(_frame(_DATA, _END_STREAM if ends else 0, 1, data))


def reset_call(sock: socket.socket) -> None:
    """Cancel the call, with RST_STREAM."""
    sock.sendall(_frame(_RESET, 0, 1, struct.pack(">I", _CANCEL)))


def read_answer(sock: socket.socket) -> Answer:
    """Read until the call has ended; return the server's status."""
    fields = b""
    for kind, flags, stream, payload in _frames(sock):
        if kind == _HEADERS:
            fields += payload
        is_end = kind == _RESET or (kind == _HEADERS and flags & _END_STREAM)
        if kind == _GOAWAY or (stream == 1 and is_end):
            break
    return _answer(fields)


class Session:
    """A connection whose frames a test sends and reads itself."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(PATIENCE)
        self._sock = sock
        self._frames = _frames(sock)
        sock.sendall(_PREFACE + _frame(_SETTINGS, 0, 0, b""))

    def settings(self) -> dict[int, int]:
        """Read the server's first SETTINGS; return the values by their numbers."""
        payload = self._next(_SETTINGS)
        return dict(struct.iter_unpack(">HI", payload))

    def is_refused(self) -> bool:
        """Whether the server closes the connection without a frame."""
        try:
            return next(self._frames, None) is None
        except ConnectionError:
            return True

    def begin_call(self, path: bytes, *headers: tuple[bytes, bytes]) -> None:
        """Begin a call, the only one."""
        block = b"".join(_literal(*header) for header in (*_pseudo(path), *headers))
        self._sock.sendall(_frame(_HEADERS, _END_HEADERS, 1, block))

    def call(
        self, path: bytes, message: bytes, *headers: tuple[bytes, bytes]
    ) -> tuple[bytes, bytes]:
        """Make a call, the only one; return the block of headers and the data."""
        self.begin_call(path, *headers)
        data = b"\0" + struct.pack(">I", len(message)) + message
        self._sock.sendall(_frame(_DATA, _END_STREAM, 1, data))
        fields = received = b""
        for kind, flags, _, payload in self._frames:
            fields += payload if kind == _HEADERS else b""
            received += payload if kind == _DATA else b""
            if kind == _HEADERS and flags & _END_STREAM:
                break
        return fields, received

    def ping(self) -> bytes | None:
        """Ping the server; return the text of its GOAWAY, None if it answers."""
        # The GOAWAY for the previous ping may already be there, and the end as well.
        with suppress(OSError):
            self._sock.sendall(_frame(_PING, 0, 0, bytes(8)))
        for kind, flags, _, payload in self._frames:
            if kind == _GOAWAY:
                return payload[8:]
            if kind == _PING and flags & _ACK:
                return None
        raise AssertionError("the connection ended without GOAWAY")

    def answer_ping(self) -> None:
        """Wait for a ping of the server, and answer it."""
        while True:
            kind, flags, _, payload = next(self._frames)
            if kind == _PING and not flags & _ACK:
                break
        self._sock.sendall(_frame(_PING, _ACK, 0, payload))

    def wait_for_end(self) -> None:
        """Wait until the server closes the connection."""
        with suppress(ConnectionError):
            for _ in self._frames:
                pass

    def _next(self, wanted: int) -> bytes:
        return next(payload for kind, _, _, payload in self._frames if kind == wanted)


def _pseudo(path: bytes | None) -> Iterator[tuple[bytes, bytes]]:
    yield b":method", b"POST"
    yield b":scheme", b"http"
    if path is not None:
        yield b":path", path
    yield b":authority", b"localhost"
    yield b"te", b"trailers"
    yield b"content-type", b"application/grpc"


def _literal(name: bytes, value: bytes) -> bytes:
    return b"\0" + _string(name) + _string(value)


def _string(text: bytes) -> bytes:
    length = len(text)
    if length < 127:
        return bytes([length]) + text
    encoded, length = bytes([127]), length - 127
    while length >= 128:
        encoded, length = encoded + bytes([length % 128 + 128]), length // 128
    return encoded + bytes([length]) + text


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return (
        struct.pack(">I", len(payload))[1:]
        + bytes([kind, flags])
        + struct.pack(">I", stream)
        + payload
    )


def _frames(sock: socket.socket) -> Iterator[tuple[int, int, int, bytes]]:
    with sock.makefile("rb") as reader:
        while len(head := reader.read(9)) == 9:
            length = int.from_bytes(head[:3], "big")
            stream = int.from_bytes(head[5:], "big")
            yield head[3], head[4], stream, reader.read(length)


def _answer(fields: bytes) -> Answer:
    # C-core sends both as literals, without Huffman coding.
    status = re.search(rb"grpc-status[\1\2](\d+)", fields)
    if status is None:
        return Answer(None)
    message = re.search(rb"grpc-message(.)(.*)", fields, re.DOTALL)
    text = message[2][: message[1][0]].decode() if message else ""
    return Answer(_CODES[int(status[1])], text)
