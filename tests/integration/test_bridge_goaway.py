"""What the bridge does for its clients when it drains: GOAWAY between two frames."""

from __future__ import annotations

import socket
import time

import pytest
from support.bridge import (
    PATIENCE,
    RawPair,
    bridged,
    call,
    channel,
    tls_connect,
    tls_context,
)

from grpcsecure.tls.bridge.child.http2_frames import GOAWAY

SETTINGS = bytes.fromhex("000000 04 00 00000000")
DATA_HEADER = bytes.fromhex("000004 00 00 00000001")


class Frames:
    """The frames that come over a connection, one after the other."""

    def __init__(self, sock):
        self._sock = sock
        self._sock.settimeout(PATIENCE)

    def _read(self, size):
        data = b""
        while len(data) < size:
            more = self._sock.recv(size - len(data))
            assert more, f"the connection ended after {data!r}"
            data += more
        return data

    def next(self):
        """Return the next frame, header and payload."""
        header = self._read(9)
        return header + self._read(int.from_bytes(header[:3], "big"))


@pytest.fixture(name="raw")
def _raw(ca, pair, tmp_path):
    """A connection through the bridge between two sockets of the test."""
    with RawPair(ca, pair, tmp_path, "thread") as raw:
        yield raw


def test_goaway_stands_between_two_frames(raw):
    """Where a frame has begun its rest comes first, then GOAWAY, then the next frame.

    After each of the server's writes a frame is incomplete, so GOAWAY never has a place
    of its own.
    """
    frames = Frames(raw.client)
    raw.upstream.sendall(SETTINGS + DATA_HEADER + b"ab")
    assert frames.next() == SETTINGS
    raw.server.bridge.drain()
    while True:
        raw.upstream.sendall(b"cd" + DATA_HEADER + b"ab")
        found = frames.next()
        if found == GOAWAY:
            break
        assert found == DATA_HEADER + b"abcd"
    assert frames.next() == DATA_HEADER + b"abcd"


def test_young_connection_gets_goaway_later(ca, pair):
    """A connection is half a second old at least; one in its handshake is served on."""
    with bridged(pair) as server:
        # Accepted before the drain, also if it is still in the kernel's queue.
        waiting = socket.create_connection(("127.0.0.1", server.port()), PATIENCE)
        began = time.monotonic()
        server.bridge.drain()
        server.sockets["public"].close()
        with tls_context(ca).wrap_socket(waiting, server_hostname="localhost") as sock:
            sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SETTINGS)
            frames = Frames(sock)
            while frames.next() != GOAWAY:
                pass
            assert time.monotonic() - began >= 0.5


def test_idle_client_that_stays_is_not_waited_for(ca, pair):
    """A client that has read GOAWAY and stays, without a call, delays no drain."""
    with bridged(pair) as server, tls_connect(server.port(), tls_context(ca)):
        with channel(server.target(), ca) as opened:
            assert call(opened) == b"hello"
            server.bridge.drain()
            server.bridge.await_drained(time.monotonic() + 3600, lambda: True)
        assert len(server.bridge.peers) == 1


def test_running_call_is_waited_for(ca, pair):
    """A call keeps the server until the deadline, or until the wait is cancelled."""
    with bridged(pair) as server, tls_connect(server.port(), tls_context(ca)):
        server.bridge.drain()
        deadline = time.monotonic() + 0.1
        server.bridge.await_drained(deadline, lambda: False)
        assert time.monotonic() >= deadline
        server.bridge.cancel_wait()
        server.bridge.await_drained(time.monotonic() + 3600, lambda: False)
