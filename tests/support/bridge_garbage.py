"""A TLS 1.2 client that sends any bytes as its certificate.

Written without a TLS library, because those send only certificates that they can parse.
It does not finish the handshake: the server refuses the Certificate message.
"""

from __future__ import annotations

import os
import socket
import struct

from support.bridge import PATIENCE

_HANDSHAKE = 22


def _vector(data, size):
    return len(data).to_bytes(size, "big") + data


def _extension(number, data):
    return struct.pack("!H", number) + _vector(data, 2)


def _record(kind, body):
    message = bytes([kind]) + _vector(body, 3)
    return bytes([_HANDSHAKE, 3, 3]) + _vector(message, 2)


def _hello():
    extensions = (
        _extension(10, _vector(b"\x00\x17", 2))  # secp256r1
        + _extension(11, _vector(b"\x00", 1))
        + _extension(13, _vector(b"\x04\x03\x08\x04", 2))
        + _extension(16, _vector(_vector(b"h2", 1), 2))
        + _extension(23, b"")  # extended master secret
    )
    return (
        b"\x03\x03"
        + os.urandom(32)
        + _vector(b"", 1)
        + _vector(b"\xc0\x2b\xc0\x2f", 2)
        + _vector(b"\x00", 1)
        + _vector(extensions, 2)
    )


def _read_flight(connection):
    """Read until ServerHelloDone, the message of type 14."""
    data = messages = b""
    while b"\x0e\x00\x00\x00" not in messages:
        data += connection.recv(65536)
        while len(data) >= 5 and len(data) >= 5 + int.from_bytes(data[3:5], "big"):
            end = 5 + int.from_bytes(data[3:5], "big")
            messages += data[5:end]
            data = data[end:]


def handshake_with_garbage(port, garbage):
    """Send `garbage` as the only certificate; return the server's answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall(_record(1, _hello()))
        _read_flight(connection)
        connection.sendall(_record(11, _vector(_vector(garbage, 3), 3)))
        return connection.recv(65536)
