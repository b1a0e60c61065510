"""Without descriptors, or with a full backlog, clients wait and are not dropped."""

from __future__ import annotations

import resource
import socket
from contextlib import ExitStack
from pathlib import Path

from support.bridge import (
    PATIENCE,
    bridged,
    eventually,
    tls_context,
    try_call,
)


def open_silent(stack, server, count):
    """Open connections that send nothing."""
    return [
        stack.enter_context(socket.create_connection(("127.0.0.1", server.port())))
        for _ in range(count)
    ]


def serve_late(ca, connection):
    """Make a handshake on a connection that was not accepted at first."""
    connection.settimeout(PATIENCE)
    context = tls_context(ca)
    with context.wrap_socket(connection, server_hostname="localhost") as tls:
        assert tls.selected_alpn_protocol() == "h2"


def test_full_bridge_accepts_again_when_a_client_leaves(pair, ca, monkeypatch):
    """At its limit the bridge leaves clients in the kernel's queue until one ends."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (64 + 2 * 4, 72))
    with bridged(pair, host="thread", timeout=PATIENCE) as server, ExitStack() as stack:
        silent = open_silent(stack, server, 4)
        late = socket.create_connection(("127.0.0.1", server.port()))
        silent[0].close()
        serve_late(ca, late)


def test_bridge_out_of_descriptors_goes_on_when_it_has_some(pair, ca):
    """EMFILE only stops accepting; after the next close it continues."""
    with bridged(pair, timeout=PATIENCE) as server, ExitStack() as stack:
        descriptors = Path(f"/proc/{server.bridge.pid}/fd")
        used = len([*descriptors.iterdir()])
        limit = used + 4
        resource.prlimit(server.bridge.pid, resource.RLIMIT_NOFILE, (limit, limit))
        silent = open_silent(stack, server, 10)
        eventually(lambda: len([*descriptors.iterdir()]) >= limit - 1)
        late = socket.create_connection(("127.0.0.1", server.port()))
        for connection in silent:
            connection.close()
        serve_late(ca, late)
        assert try_call(server.target(), ca) is None
        assert server.observer.events.empty()


def test_client_waits_for_room_in_the_servers_queue(pair, ca, tmp_path):
    """If the server's backlog is full, a client is delayed, not refused."""
    with bridged(pair, host="thread") as server, ExitStack() as stack:
        path = str(tmp_path / "full.sock")
        backlog = stack.enter_context(socket.socket(socket.AF_UNIX))
        backlog.bind(path)
        backlog.listen(0)
        backlog.settimeout(PATIENCE)
        filler = stack.enter_context(socket.socket(socket.AF_UNIX))
        filler.connect(path)
        server.connect_bridges_to(path)
        old = server.bridge._control.channel
        server.bridge._control.disconnect()
        assert server.observer.event() == "died"
        assert server.observer.event() == "restarted"
        assert server.bridge._control.channel is not old
        client = stack.enter_context(
            tls_context(ca).wrap_socket(
                socket.create_connection(("127.0.0.1", server.port())),
                server_hostname="localhost",
            )
        )
        eventually(lambda: len(server.bridge.peers) == 1)
        client.sendall(b"hello")
        stack.enter_context(backlog.accept()[0])
        upstream = stack.enter_context(backlog.accept()[0])
        upstream.settimeout(PATIENCE)
        assert upstream.recv(5) == b"hello"


def test_clients_of_an_unreachable_server_are_refused(pair, ca):
    """If no server listens behind the bridge, the refusal has that reason."""
    with bridged(pair, host="thread") as server:
        Path(server.upstream_paths["public"]).unlink()
        assert try_call(server.target(), ca)
        assert server.observer.refusal(
            reason="the server is not reachable: No such file or directory"
        )
        eventually(lambda: not server.bridge.peers)
