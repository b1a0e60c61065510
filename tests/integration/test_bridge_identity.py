"""No process can use the name of another connection; names end with connections."""

from __future__ import annotations

import errno
import os
import re
import socket
from contextlib import suppress
from pathlib import Path

import grpc
import pytest
from support.bridge import (
    ECHO,
    PATIENCE,
    bridged,
    call,
    channel,
    eventually,
    tls_connect,
    tls_context,
)
from support.fake_bridge import FakeBridge, bridged_names, fake_bridge

pytestmark = pytest.mark.skipif(
    os.uname().sysname != "Linux", reason="abstract names are Linux's"
)


@pytest.fixture
def server(host, pair, ca):
    """A bridged server for trusted clients, in each kind of host."""
    with bridged(pair, ca, host=host) as running:
        yield running


def status(target):
    """Make a call in plaintext; return its status code."""
    with grpc.insecure_channel(target) as opened:
        try:
            call(opened)
        except grpc.RpcError as error:
            return error.code()
    return grpc.StatusCode.OK


def test_direct_connection_to_the_servers_socket_is_refused(server):
    """A connection that is not from the bridge is unidentified: its calls fail."""
    path = server.upstream_paths["public"]
    assert status(f"unix:{path}") is grpc.StatusCode.UNAUTHENTICATED
    assert server.seen == [("unix:", None)]


def test_name_in_use_cannot_be_bound_again(server, ca, client):
    """A process of the same user that copies a name in use cannot bind it."""
    with channel(server.target(), ca, client) as opened:
        call(opened)
        [(name, _)] = server.bridge.peers.connections()
        copied = "\0" + name.removeprefix("unix-abstract:")
        with pytest.raises(OSError, match=r"in use") as refused:
            FakeBridge(server.upstream_paths["public"], copied)
        assert refused.value.errno == errno.EADDRINUSE


def test_name_of_an_ended_connection_is_useless(server, ca, client):
    """After a connection has ended its name can be bound, but calls are refused."""
    with channel(server.target(), ca, client) as opened:
        call(opened)
        [(name, _)] = server.bridge.peers.connections()
    eventually(lambda: not server.bridge.peers)
    assert server.bridge.peers.lookup(name) is None
    text = name.removeprefix("unix-abstract:")
    # The registry forgets a connection before it closes the socket with the name.
    eventually(lambda: text not in bridged_names(), what="a free name")
    freed = f"\0{text}"
    with fake_bridge(server.upstream_paths["public"], freed) as fake:
        assert status(fake.target) is grpc.StatusCode.UNAUTHENTICATED


def test_name_is_guarded_while_it_is_registered(server, ca, client):
    """The server process has a descriptor of the socket, so its name stays bound."""
    with channel(server.target(), ca, client) as opened:
        call(opened)
        [(name, _)] = server.bridge.peers.connections()
        [(_, guard)] = server.bridge.peers._by_connection.values()
        with socket.socket(fileno=os.dup(guard)) as sock:
            bound = sock.getsockname()
        assert bound == b"\0" + name.removeprefix("unix-abstract:").encode()


def test_directory_of_the_servers_socket_is_private(server):
    """Only its owner can connect to the server's socket."""
    directory = Path(server.directory.path)
    assert directory.stat().st_mode & 0o777 == 0o700
    assert directory.stat().st_uid == os.getuid()


def test_names_are_unguessable(server, ca, client):
    """The name of each connection has 128 new random bits."""
    names = set()
    for _ in range(5):
        with channel(server.target(), ca, client) as opened:
            call(opened)
            names.update(name for name, _ in server.bridge.peers.connections())
        eventually(lambda: not server.bridge.peers)
    assert len(names) == 5
    assert all(
        re.fullmatch(r"unix-abstract:grpcsecure-[0-9a-f]{32}", name) for name in names
    )


def test_connections_leak_nothing(server, ca, client, tmp_path):
    """After many good and bad connections, descriptors and registry are as before."""
    pids = [os.getpid(), *([server.bridge.pid] if server.bridge.pid else [])]

    def descriptors():
        return [len([*Path(f"/proc/{pid}/fd").iterdir()]) for pid in pids]

    with channel(server.target(), ca, client) as opened:
        call(opened)
    eventually(lambda: not server.bridge.peers)
    context = tls_context(ca, client, folder=tmp_path)
    anonymous = tls_context(ca)

    def connect_in_all_ways():
        for _ in range(20):
            tls_connect(server.port(), context).close()
            socket.create_connection(("127.0.0.1", server.port())).close()
            with suppress(OSError), tls_connect(server.port(), anonymous) as refused:
                refused.recv(1)

    connect_in_all_ways()
    eventually(lambda: not server.bridge.peers)
    before = descriptors()
    connect_in_all_ways()
    # The registry hears of the end of a connection after its descriptors are closed.
    eventually(lambda: not server.bridge.peers, what="an empty registry")
    eventually(
        lambda: all(
            now <= then for now, then in zip(descriptors(), before, strict=True)
        ),
        what="the number of descriptors before",
    )
    assert server.bridge.peers._by_connection == {}


def test_peer_is_known_before_its_first_call(server, ca, client):
    """A client that calls immediately after its handshake is in the registry."""
    for _ in range(20):
        with channel(server.target(), ca, client) as opened:
            call(opened, method=ECHO)
    assert len(server.seen) == 20
    assert all(result is not None and result.verified for _, result in server.seen)


def test_connection_closed_by_order_is_unregistered(server, ca, client):
    """Its call fails, and its name is removed from the registry."""
    with channel(server.target(), ca, client) as opened:
        future = opened.unary_unary("/test.Echo/Wait").future(b"", timeout=PATIENCE)
        assert server.waiting.wait(PATIENCE)
        [(name, _)] = server.bridge.peers.connections()
        server.bridge.close([name])
        assert future.exception().code() is grpc.StatusCode.UNAVAILABLE
        eventually(lambda: server.bridge.peers.lookup(name) is None)
        server.release.set()
