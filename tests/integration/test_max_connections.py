"""`max_connections` on both engines and runtimes: one client too many is closed."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from datetime import datetime, timezone

import pytest
from support.bridge import PATIENCE, bridged, eventually, try_call
from support.bridge_certs import authority
from support.guarded import listeners, serve
from support.raw_http2 import Session

from grpcsecure.cli.banner import banner_fields, render_banner
from grpcsecure.tls.bridge.ipc.refusal import RefusalKind

LISTENERS = ("grpc-open", "open", "plain")
_OTHERS = {"max_calls_per_connection": 7}


@pytest.fixture(name="world", scope="module", params=["threads", "asyncio"])
def _world(request, tmp_path_factory, ca):
    """A server with two connections on each listener."""
    on = {
        name: {**listener, "limits": {"max_connections": 2, **_OTHERS}}
        for name, listener in listeners(*LISTENERS).items()
    }
    on["open"]["tls"] = {**on["open"]["tls"], "ciphers": ["TLS_AES_256_GCM_SHA384"]}
    folder = tmp_path_factory.mktemp("limited")
    settings = {"max_concurrent_rpcs": 9}
    with serve(folder, ca, request.param, on=on, **settings) as world:
        yield world


@pytest.fixture(name="stranger", scope="module")
def _stranger():
    """A CA that has not issued the server's certificate."""
    return authority("stranger")


def is_served(world, listener, stack):
    """Open a connection, which `stack` closes; return whether the server serves it."""
    try:
        sock = stack.enter_context(world.socket(listener))
        return not Session(sock).is_refused()
    except OSError:
        return False


@pytest.mark.parametrize("listener", LISTENERS)
def test_one_client_too_many(world, listener):
    """The third connection is closed, until one of the others has ended."""
    with ExitStack() as stack:
        first = stack.enter_context(ExitStack())
        # Connections of the previous case may still be counted.
        eventually(lambda: is_served(world, listener, first))
        eventually(lambda: is_served(world, listener, stack))
        assert not is_served(world, listener, stack)
        first.close()
        eventually(lambda: is_served(world, listener, stack))
        assert not is_served(world, listener, stack)


def test_banner(world):
    """The banner has the limits of each listener."""
    fields = banner_fields(world.server, elapsed=0.0)
    lines = [*render_banner(world.server, fields, now=datetime.now(timezone.utc))]
    limits = "          at most 2 connections, 9 calls, 7 calls of a connection"
    assert lines.count(limits) == len(LISTENERS)
    plain = lines.index(
        f"listener  plain  {world.server.addresses['plain']}  plaintext"
    )
    assert lines[plain + 1] == limits
    suites = next(
        n for n, line in enumerate(lines) if line.startswith("listener  open")
    )
    assert lines[suites].endswith("engine bridge  TLS 1.3+")
    assert lines[suites + 1] == "          ciphers TLS_AES_256_GCM_SHA384"


def _index(lines, start):
    return next(n for n, line in enumerate(lines) if line.startswith(start))


def test_bridge_reports_and_counts(pair, ca, stranger):
    """The bridge logs clients that are turned away, and counts those it does not log.

    Refused handshakes give their places back.
    """
    with bridged(pair, host="thread", timeout=PATIENCE, max_connections=1) as server:
        with ExitStack() as stack:
            port = ("127.0.0.1", server.port())
            for _ in range(16):
                stack.enter_context(socket.create_connection(port))
            count = 0
            while count < 15:
                refusal = server.observer.refusal(kind=RefusalKind.LIMIT)
                assert refusal.listener == "public"
                assert refusal.reason == "max_connections is reached: 1"
                assert refusal.address.startswith("ipv4:127.0.0.1:")
                count += 1 + refusal.left_out
            assert count == 15
        for _ in range(3):
            assert try_call(server.target(), stranger) is not None
        eventually(lambda: try_call(server.target(), ca) is None)
