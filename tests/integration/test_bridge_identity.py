"""Nobody speaks under somebody else's name, and names go with their connections."""

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
from support.fake_bridge import FakeBridge, fake_bridge

pytestmark = pytest.mark.skipif(
    os.uname().sysname != "Linux", reason="abstract names are Linux's"
)


@pytest.fixture
def server(host, pair, ca):
    """A bridged server that wants trusted clients, bridged in each kind of host."""
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


def test_foreign_connection_to_the_inner_socket_makes_no_call(server):
    """A connection that did not come through the bridge is nobody, and is refused."""
    path = server.upstream_paths["public"]
    assert status(f"unix:{path}") is grpc.StatusCode.UNAUTHENTICATED
    assert server.seen == [("unix:", None)]


def test_live_name_cannot_be_taken_a_second_time(server, ca, client):
    """A process of the same user that copies a live name cannot bind it."""
    with channel(server.target(), ca, client) as opened:
        call(opened)
        [(name, _)] = server.bridge.peers.connections()
        copied = "\0" + name.removeprefix("unix-abstract:")
        with pytest.raises(OSError, match=r"in use") as refused:
            FakeBridge(server.upstream_paths["public"], copied)
        assert refused.value.errno == errno.EADDRINUSE


def test_name_of_a_connection_that_ended_is_worth_nothing(server, ca, client):
    """Once a connection has ended its name can be bound, and opens nothing."""
    with channel(server.target(), ca, client) as opened:
        call(opened)
        [(name, _)] = server.bridge.peers.connections()
    eventually(lambda: not server.bridge.peers)
    assert server.bridge.peers.lookup(name) is None
    freed = "\0" + name.removeprefix("unix-abstract:")
    with fake_bridge(server.upstream_paths["public"], freed) as pretender:
        assert status(pretender.target) is grpc.StatusCode.UNAUTHENTICATED


def test_name_stays_taken_until_the_registry_has_forgotten_it(server, ca, client):
    """The launcher holds a name itself: it is never free while it is registered."""
    with channel(server.target(), ca, client) as opened:
        call(opened)
        [(name, _)] = server.bridge.peers.connections()
        [(_, hold)] = server.bridge.peers._by_connection.values()
        held = socket.socket(fileno=os.dup(hold))
        assert (
            held.getsockname() == b"\0" + name.removeprefix("unix-abstract:").encode()
        )
        held.close()


def test_inner_directory_is_private(server):
    """Nobody but its owner can reach the server's socket."""
    directory = Path(server.directory.path)
    assert directory.stat().st_mode & 0o777 == 0o700
    assert directory.stat().st_uid == os.getuid()


def test_names_are_unguessable(server, ca, client):
    """Each connection has 128 fresh random bits in its name."""
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


def test_connections_leave_nothing_behind(server, ca, client, tmp_path):
    """After many connections, good and bad, descriptors and registry are as before."""
    pids = [os.getpid(), *([server.bridge.pid] if server.bridge.pid else [])]

    def descriptors():
        return [len([*Path(f"/proc/{pid}/fd").iterdir()]) for pid in pids]

    with channel(server.target(), ca, client) as opened:
        call(opened)
    eventually(lambda: not server.bridge.peers)
    context = tls_context(ca, client, folder=tmp_path)
    stranger = tls_context(ca)

    def connect_in_all_ways():
        for _ in range(20):
            tls_connect(server.port(), context).close()
            socket.create_connection(("127.0.0.1", server.port())).close()
            with suppress(OSError), tls_connect(server.port(), stranger) as refused:
                refused.recv(1)

    connect_in_all_ways()
    eventually(lambda: not server.bridge.peers)
    before = descriptors()
    connect_in_all_ways()
    eventually(
        lambda: all(
            now <= then for now, then in zip(descriptors(), before, strict=True)
        ),
        what="the number of descriptors before",
    )
    assert len(server.bridge.peers) == 0
    assert server.bridge.peers._by_connection == {}


def test_peer_is_known_before_its_first_call(server, ca, client):
    """However fast a client calls after its handshake, it is in the registry."""
    for _ in range(20):
        with channel(server.target(), ca, client) as opened:
            call(opened, method=ECHO)
    assert len(server.seen) == 20
    assert all(facts is not None and facts.verified for _, facts in server.seen)


def test_call_outlives_its_entry_only_as_a_refusal(server, ca, client):
    """A connection closed by order takes its entry along, at once."""
    with channel(server.target(), ca, client) as opened:
        future = opened.unary_unary("/test.Echo/Wait").future(b"", timeout=PATIENCE)
        assert server.waiting.wait(PATIENCE)
        [(name, _)] = server.bridge.peers.connections()
        server.bridge.close([name])
        assert future.exception().code() is grpc.StatusCode.UNAVAILABLE
        eventually(lambda: server.bridge.peers.lookup(name) is None)
        server.release.set()
