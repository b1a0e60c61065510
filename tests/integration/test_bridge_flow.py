"""Bytes through the bridge: all of them, in order, and never too many at once."""

from __future__ import annotations

import hashlib
import os
import socket
import ssl
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Thread

import grpc
import pytest
from support.bridge import (
    PATIENCE,
    RawPair,
    bridged,
    call,
    channel,
    eventually,
    tls_context,
)

#: 1 byte to many reads, around the sizes of records and buffers.
SIZES = (0, 1, 16383, 16384, 16385, 112 * 1024, 131072, 1 << 20, (4 << 20) + 17)


@pytest.fixture(scope="module")
def server(host, pair):
    """A bridged server that asks for nothing."""
    with bridged(pair, host=host) as running:
        yield running


@pytest.mark.parametrize("size", SIZES)
def test_messages_of_all_sizes_come_back_unchanged(server, ca, size):
    """What goes through the bridge and back is what was sent."""
    data = os.urandom(size)
    with channel(server.target(), ca) as opened:
        assert call(opened, data) == data


def test_streams_in_both_directions_at_once_stay_in_order(server, ca):
    """Four chats of 32 MiB each way at a time arrive whole and in order."""
    chunk = os.urandom(1 << 20)

    def chunks():
        for number in range(32):
            yield number.to_bytes(4, "big") + chunk

    with channel(server.target(), ca) as opened:
        chat = opened.stream_stream("/test.Echo/Chat")
        calls = [chat(chunks(), timeout=PATIENCE * 2) for _ in range(4)]
        for answers in calls:
            for number, answer in enumerate(answers):
                assert int.from_bytes(answer[:4], "big") == number
                assert answer[4:] == chunk
            assert number == 31


def test_upload_and_download_stream(server, ca):
    """Client and server streams of 64 KiB chunks are complete."""
    with channel(server.target(), ca) as opened:
        collect = opened.stream_unary("/test.Echo/Collect")
        total = collect((b"x" * 65536 for _ in range(500)), timeout=PATIENCE)
        assert int(total) == 500 * 65536
        pour = opened.unary_stream("/test.Echo/Pour")
        received = sum(map(len, pour(b"500 65536", timeout=PATIENCE)))
        assert received == 500 * 65536


def test_many_connections_share_the_bridge(server, ca):
    """A hundred connections each get their own bytes."""
    with ExitStack() as stack:
        opened = [stack.enter_context(channel(server.target(), ca)) for _ in range(100)]
        futures = [
            each.unary_unary("/test.Echo/Unary").future(
                str(number).encode() * 1000, timeout=PATIENCE
            )
            for number, each in enumerate(opened)
        ]
        for number, future in enumerate(futures):
            assert future.result() == str(number).encode() * 1000


def _resident(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    raise AssertionError


def fill(sock):
    """Send until nothing more is taken, for a while; return how much was taken."""
    sock.settimeout(0.5)
    total = 0
    with suppress(TimeoutError, ssl.SSLWantWriteError):
        while total < 1 << 28:
            total += sock.send(b"x" * 65536)
    return total


def test_client_that_never_reads_stops_the_server(raw):
    """Downloads stop when the client does not read; little is held meanwhile."""
    kernel = 8 << 20  # both sockets' buffers, generously
    assert fill(raw.upstream) < kernel
    if raw.server.bridge.pid:
        assert _resident(raw.server.bridge.pid) < 100 << 20
    raw.client.settimeout(PATIENCE)
    assert raw.client.recv(1) == b"x"


def test_client_that_takes_nothing_is_given_up(pair, ca, tmp_path, monkeypatch):
    """Its connection ends after a while, also when the server has long gone.

    As gRPC's own sockets do; only how long is not waited for here.
    """
    monkeypatch.setattr(
        "grpcsecure.tls.bridge.child.served_listener._USER_TIMEOUT", 500
    )
    with RawPair(ca, pair, tmp_path, "thread") as raw:
        fill(raw.upstream)
        raw.upstream.close()
        eventually(lambda: not raw.server.bridge.peers)


def test_server_that_never_reads_stops_the_client(raw):
    """Uploads stop when the server does not read, and go on when it does."""
    taken = fill(raw.client)
    assert taken < 16 << 20
    raw.upstream.settimeout(PATIENCE)
    received = 0
    while received < taken:
        received += len(raw.upstream.recv(65536))
    raw.client.settimeout(PATIENCE)
    raw.client.send(b"x" * 65536)


def test_download_goes_on_where_it_stopped(raw):
    """After a pause of the client every byte arrives, in order."""
    data = os.urandom(1 << 20) * 8
    sender = Thread(target=raw.upstream.sendall, args=(data,))
    sender.start()
    raw.client.settimeout(PATIENCE)
    received = hashlib.sha256()
    count = 0
    while count < len(data):
        part = raw.client.recv(1 << 20)
        received.update(part)
        count += len(part)
    sender.join(PATIENCE)
    assert received.digest() == hashlib.sha256(data).digest()


def test_client_that_ends_without_close_notify_ends_the_server_too(raw):
    """A FIN reaches the server as an end of file, and the entry goes with it."""
    raw.client.sendall(b"question")
    assert raw.upstream.recv(100) == b"question"
    socket.socket.shutdown(raw.client, socket.SHUT_WR)
    assert raw.upstream.recv(100) == b""
    raw.upstream.sendall(b"answer" * 1000)
    raw.upstream.close()
    eventually(lambda: not raw.server.bridge.peers)


def test_answer_reaches_a_client_that_sent_close_notify(ca, raw):
    """close_notify ends one direction only; the other delivers, then ends cleanly."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = tls_context(ca).wrap_bio(incoming, outgoing, server_hostname="localhost")
    plain = socket.create_connection(("127.0.0.1", raw.server.port()), PATIENCE)
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            plain.sendall(outgoing.read())
            incoming.write(plain.recv(65536))
    plain.sendall(outgoing.read())
    inner = raw.accept()
    tls.write(b"last words")
    with suppress(ssl.SSLWantReadError):
        tls.unwrap()
    plain.sendall(outgoing.read())
    assert inner.recv(100) == b"last words"
    assert inner.recv(100) == b""
    inner.sendall(b"answer")
    inner.close()
    encrypted = b""
    while part := plain.recv(65536):
        encrypted += part
    plain.close()
    # The answer's record, then close_notify: OpenSSL does not read after its own
    # close_notify, so only the shape of what came is looked at.
    assert encrypted.count(b"\x17\x03\x03") >= 2


def test_end_of_the_server_is_a_clean_end(raw):
    """The last bytes arrive, then close_notify."""
    raw.upstream.sendall(b"bye" * 100_000)
    raw.upstream.close()
    raw.client.settimeout(PATIENCE)
    received = 0
    while part := raw.client.recv(65536):
        received += len(part)
    assert received == 300_000


def test_idle_connection_gives_back_what_bulk_took(pair, ca):
    """Connections that once moved much hold little when they are idle."""
    with bridged(pair) as server, ExitStack() as stack:
        call(stack.enter_context(channel(server.target(), ca)), b"x" * (4 << 20))
        before = _resident(server.bridge.pid)
        for _ in range(40):
            opened = stack.enter_context(channel(server.target(), ca))
            call(opened, b"x" * (4 << 20))
        eventually(
            lambda: _resident(server.bridge.pid) - before < 40 * 100 * 1024,
            what="memory given back",
        )


def test_grpc_status_and_metadata_pass_through(server, ca):
    """An RPC that does not exist fails as it would without a bridge."""
    with channel(server.target(), ca) as opened:
        with pytest.raises(grpc.RpcError) as failure:
            call(opened, method="/test.Echo/Missing")
        assert failure.value.code() is grpc.StatusCode.UNIMPLEMENTED
