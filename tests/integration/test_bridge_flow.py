"""The bridge forwards all bytes in order, with flow control and bounded memory."""

from __future__ import annotations

import hashlib
import os
import re
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
    try_call,
)

from grpcsecure.tls.bridge.heap_trimmer import find_malloc_trim

#: From nothing to many reads, around the sizes of records and buffers.
SIZES = (0, 1, 16383, 16384, 16385, 112 * 1024, 131072, 1 << 20, (4 << 20) + 17)


@pytest.fixture(scope="module")
def server(host, pair):
    """A bridged server that requests no client certificates."""
    with bridged(pair, host=host) as running:
        yield running


@pytest.mark.parametrize("size", SIZES)
def test_messages_of_all_sizes_come_back_unchanged(server, ca, size):
    """A message that is echoed through the bridge is unchanged."""
    data = os.urandom(size)
    with channel(server.target(), ca) as opened:
        assert call(opened, data) == data


def test_streams_in_both_directions_at_once_stay_in_order(server, ca):
    """Four concurrent chats of 32 MiB each way are complete and in order."""
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
    """Each of a hundred connections gets its own bytes."""
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


def _anonymous(pid):
    """Return the bytes of a process's own pages, without those of libraries."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"RssAnon:\s+(\d+)", status)[1]) * 1024


def fill(sock):
    """Send until the socket accepts no more for a while; return the number of bytes."""
    sock.settimeout(0.5)
    total = 0
    with suppress(TimeoutError, ssl.SSLWantWriteError):
        while total < 1 << 28:
            total += sock.send(b"x" * 65536)
    return total


def test_client_that_never_reads_stops_the_server(raw):
    """A download stops while the client does not read; the bridge buffers little."""
    kernel = 8 << 20  # both sockets' buffers, generously
    assert fill(raw.upstream) < kernel
    if raw.server.bridge.pid:
        assert _resident(raw.server.bridge.pid) < 100 << 20
    raw.client.settimeout(PATIENCE)
    assert raw.client.recv(1) == b"x"


def test_client_that_never_reads_is_disconnected(pair, ca, tmp_path, monkeypatch):
    """Its connection is closed after a timeout, even if the server has ended.

    gRPC's own sockets have the same timeout, which is shortened here.
    """
    monkeypatch.setattr(
        "grpcsecure.tls.bridge.child.served_listener._USER_TIMEOUT", 500
    )
    with RawPair(ca, pair, tmp_path, "thread") as raw:
        fill(raw.upstream)
        raw.upstream.close()
        eventually(lambda: not raw.server.bridge.peers)


def test_server_that_never_reads_stops_the_client(raw):
    """An upload stops while the server does not read, and continues when it does."""
    taken = fill(raw.client)
    assert taken < 16 << 20
    raw.upstream.settimeout(PATIENCE)
    received = 0
    while received < taken:
        received += len(raw.upstream.recv(65536))
    raw.client.settimeout(PATIENCE)
    raw.client.send(b"x" * 65536)


def test_download_continues_after_a_pause(raw):
    """After the client has paused, every byte arrives in order."""
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
    """A client's FIN reaches the server as an end of file; the peer is unregistered."""
    raw.client.sendall(b"question")
    assert raw.upstream.recv(100) == b"question"
    socket.socket.shutdown(raw.client, socket.SHUT_WR)
    assert raw.upstream.recv(100) == b""
    raw.upstream.sendall(b"answer" * 1000)
    raw.upstream.close()
    eventually(lambda: not raw.server.bridge.peers)


def test_answer_reaches_a_client_that_sent_close_notify(ca, raw):
    """A close_notify ends one direction only; the other still delivers the answer."""
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
    upstream = raw.accept()
    tls.write(b"last words")
    with suppress(ssl.SSLWantReadError):
        tls.unwrap()
    plain.sendall(outgoing.read())
    assert upstream.recv(100) == b"last words"
    assert upstream.recv(100) == b""
    upstream.sendall(b"answer")
    upstream.close()
    encrypted = b""
    while part := plain.recv(65536):
        encrypted += part
    plain.close()
    # The answer's record, then close_notify. OpenSSL does not decrypt after it has sent
    # close_notify, so only the record headers are checked.
    assert encrypted.count(b"\x17\x03\x03") >= 2


def test_end_of_the_server_is_a_clean_end(raw):
    """When the server closes, the client gets the last bytes and a close_notify."""
    raw.upstream.sendall(b"bye" * 100_000)
    raw.upstream.close()
    raw.client.settimeout(PATIENCE)
    received = 0
    while part := raw.client.recv(65536):
        received += len(part)
    assert received == 300_000


def test_idle_connection_frees_its_buffers(pair, ca):
    """Connections that once transferred large messages use little memory when idle."""
    with bridged(pair) as server, ExitStack() as stack:
        call(stack.enter_context(channel(server.target(), ca)), b"x" * (4 << 20))
        before = _resident(server.bridge.pid)
        for _ in range(40):
            opened = stack.enter_context(channel(server.target(), ca))
            call(opened, b"x" * (4 << 20))
        eventually(
            lambda: _resident(server.bridge.pid) - before < 40 * 100 * 1024,
            what="the return of memory",
        )


@pytest.mark.parametrize("sent", [50, 10_000])
@pytest.mark.skipif(find_malloc_trim() is None, reason="needs glibc")
def test_refused_handshakes_leave_no_memory(pair, ca, sent):
    """After a flood of them, the bridge is as small as before, within a factor of 1.5.

    The clients end within their first message, or after it.
    """
    context = tls_context(ca)
    with bridged(pair, ca) as server, ExitStack() as stack:
        assert try_call(server.target(), ca) is not None
        before = _anonymous(server.bridge.pid)
        for _ in range(700):
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
            with suppress(ssl.SSLWantReadError):
                tls.do_handshake()
            sock = socket.create_connection(("127.0.0.1", server.port()))
            stack.enter_context(sock)
            sock.sendall(outgoing.read(sent))
        eventually(
            lambda: _anonymous(server.bridge.pid) > 2 * before, what="a full bridge"
        )
        stack.close()
        eventually(
            lambda: _anonymous(server.bridge.pid) < 1.5 * before,
            what="the return of memory",
        )


def test_grpc_status_and_metadata_pass_through(server, ca):
    """A call of a method that does not exist fails as without a bridge."""
    with channel(server.target(), ca) as opened:
        with pytest.raises(grpc.RpcError) as failure:
            call(opened, method="/test.Echo/Missing")
        assert failure.value.code() is grpc.StatusCode.UNIMPLEMENTED
