"""The parts of HTTP/2 (RFC 9113) that a minimal client needs."""

from __future__ import annotations

import struct

__all__ = [
    "PING",
    "PING_ANSWER",
    "PREFACE",
    "SETTINGS_ACK",
    "call_without_limit",
    "frame",
    "headers",
]

#: Types of frames.
_DATA, _HEADERS, _SETTINGS, _PING, _WINDOW_UPDATE = 0, 1, 4, 6, 8

_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return one frame."""
    return (
        struct.pack("!I", len(payload))[1:]
        + struct.pack("!BBI", kind, flags, stream)
        + payload
    )


#: The client's connection preface with empty SETTINGS.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(_SETTINGS, 0, 0)

SETTINGS_ACK = frame(_SETTINGS, _ACK, 0)

PING = frame(_PING, 0, 0, b"question")
PING_ANSWER = frame(_PING, _ACK, 0, b"question")


def headers(path: str) -> bytes:
    """Return the header block of a gRPC call, without any compression (RFC 7541)."""
    fields = {
        ":method": "POST",
        ":scheme": "https",
        ":path": path,
        ":authority": "localhost",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    return b"".join(
        b"\0" + bytes([len(part[0])]) + part[0] + bytes([len(part[1])]) + part[1]
        for part in ((key.encode(), value.encode()) for key, value in fields.items())
    )


def call_without_limit(path: str, message: bytes) -> bytes:
    """Return a unary request with flow-control windows that no response exhausts."""
    most = 2**31 - 1
    return (
        frame(_SETTINGS, 0, 0, struct.pack("!HI", 4, most))
        + frame(_WINDOW_UPDATE, 0, 0, struct.pack("!I", most - 65535))
        + frame(_HEADERS, _END_HEADERS, 1, headers(path))
        + frame(_DATA, _END_STREAM, 1, struct.pack("!BI", 0, len(message)) + message)
    )
