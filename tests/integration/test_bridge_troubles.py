"""Failures between server process and bridge, and what must survive them."""

from __future__ import annotations

import os
import signal
import socket
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from support.bridge import (
    HOSTS,
    PATIENCE,
    bridged,
    call,
    channel,
    listen,
    material,
    try_call,
)
from support.bridge_certs import CLIENT_AUTH, authority, certificate

from grpcsecure.tls.bridge.ipc import framing as wire
from grpcsecure.tls.bridge.ipc.refusal import RefusalKind
from grpcsecure.tls.bridge.parent.hosts import ProcessHost
from grpcsecure.tls.bridge.parent.supervisor import BridgeError


class HeldHost(ProcessHost):
    """Starts bridges, but can be held up; `waits` is set when a start is delayed."""

    def __init__(self):
        self.free = threading.Event()
        self.free.set()
        self.waits = threading.Event()

    def start(self, control):
        """Start a bridge, after waiting while held up."""
        if not self.free.is_set():
            self.waits.set()
        assert self.free.wait(PATIENCE)
        return super().start(control)


@pytest.fixture
def held():
    """The host of `bridged(..., host="held")`, not held up at first."""
    host = HeldHost()
    HOSTS["held"] = lambda: host
    yield host
    host.free.set()
    del HOSTS["held"]


def kill_and_hold(server, held):
    """Kill the bridge, and hold up the start of the next one."""
    held.free.clear()
    os.kill(server.bridge.pid, signal.SIGKILL)
    assert server.observer.event() == "died"
    assert held.waits.wait(PATIENCE)


def test_parent_death_signal_from_another_process_is_ignored(pair, ca, client):
    """The bridge ends only if the server process has really died."""
    with bridged(pair, ca) as server, channel(server.target(), ca, client) as opened:
        call(opened)
        os.kill(server.bridge.pid, signal.SIGUSR1)
        call(opened)
        assert server.observer.events.empty()


def test_sockets_stay_if_only_the_channel_is_closed(pair, ca, client):
    """A bridge that loses its channel keeps the sockets of the live server."""
    with bridged(pair, ca) as server:
        server.bridge._control.disconnect()
        assert server.observer.event() == "died"
        assert server.observer.event() == "restarted"
        assert [*Path(server.directory.path).iterdir()]
        assert try_call(server.target(), ca, client) is None


def test_material_is_checked_by_the_bridge_that_is_being_started(
    pair, ca, client, held
):
    """While no bridge runs, new material is neither accepted nor rejected."""
    new_ca = authority("other CA")
    new_client = certificate("client", issuer=new_ca, extended=CLIENT_AUTH)
    good = material(pair, client_ca=[new_ca], generation=2)
    with bridged(pair, ca, host="held") as server:
        kill_and_hold(server, held)
        accepted = threading.Event()
        swap = threading.Thread(
            target=lambda: (server.bridge.replace({"public": good}), accepted.set())
        )
        swap.start()
        assert not accepted.is_set()
        held.free.set()
        assert accepted.wait(PATIENCE)
        swap.join()
        assert server.observer.event() == "restarted"
        assert try_call(server.target(), ca, new_client) is None
        assert try_call(server.target(), ca, client) is not None


def test_bad_material_is_refused_by_the_bridge_that_is_being_started(
    pair, ca, client, held
):
    """Material that OpenSSL rejects is refused, and does not end the bridge."""
    broken = material(pair, client_ca=[ca], crls=[b"junk"], generation=2)
    with bridged(pair, ca, host="held") as server:
        kill_and_hold(server, held)
        refused = []

        def swap():
            with pytest.raises(BridgeError, match="CRL") as failure:
                server.bridge.replace({"public": broken})
            refused.append(failure)

        thread = threading.Thread(target=swap)
        thread.start()
        held.free.set()
        thread.join(PATIENCE)
        assert len(refused) == 1
        assert server.observer.event() == "restarted"
        assert try_call(server.target(), ca, client) is None
        assert server.observer.events.empty()


def test_commit_reaches_a_bridge_that_was_started_meanwhile(pair, ca, held):
    """Material that one bridge prepared is put in force in the next one."""
    new_ca = authority("other CA")
    new_client = certificate("client", issuer=new_ca, extended=CLIENT_AUTH)
    new = material(pair, client_ca=[new_ca], generation=2)
    with bridged(pair, ca, host="held") as server:
        commit = server.bridge.prepare({"public": new})
        os.kill(server.bridge.pid, signal.SIGKILL)
        assert server.observer.event() == "died"
        assert server.observer.event() == "restarted"
        commit()
        assert try_call(server.target(), ca, new_client) is None


def test_drain_while_a_bridge_is_started(pair, ca, held):
    """The new bridge does not accept clients."""
    with bridged(pair, ca, host="held") as server:
        kill_and_hold(server, held)
        with socket.create_connection(("127.0.0.1", server.port())) as late:
            server.bridge.drain()
            held.free.set()
            server.bridge.stop()
            assert server.bridge.pid is None
            # The client was not accepted, so it has received nothing.
            late.setblocking(False)
            with pytest.raises(BlockingIOError):
                late.recv(1)
        assert server.observer.events.empty()


def test_material_that_is_too_large(pair, ca, client, monkeypatch):
    """It is refused with a clear error, at the start and later; the bridge goes on."""
    crls = [bytes(100_000)]
    large = material(pair, client_ca=[ca], crls=crls, generation=2)
    with bridged(pair, ca) as server:
        monkeypatch.setattr(wire, "MAX_FRAME", 50_000)
        with pytest.raises(BridgeError, match="exceed the 64 MiB limit"):
            server.bridge.replace({"public": large})
        assert try_call(server.target(), ca, client) is None
    never = bridged(pair, ca, crls=crls)
    try:
        with pytest.raises(BridgeError, match="exceed the 64 MiB limit"):
            never.start()
    finally:
        never.close()


def test_failing_observer_ends_nothing(pair, ca, client, monkeypatch):
    """An error in the user's logging ends neither the supervisor nor the bridge."""

    def fail(*_):
        raise RuntimeError("an error in the user's filter")

    with bridged(pair, ca) as server:
        notified = threading.Event()

        def refused(refusal):
            notified.set()
            fail(refusal)

        monkeypatch.setattr(server.observer, "refused", refused)
        with socket.create_connection(("127.0.0.1", server.port())) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert notified.wait(PATIENCE)
        assert try_call(server.target(), ca, client) is None
        monkeypatch.setattr(server.observer, "died", fail)
        os.kill(server.bridge.pid, signal.SIGKILL)
        assert server.observer.event() == "restarted"
        assert try_call(server.target(), ca, client) is None


def test_unexpected_error_of_the_supervisor_is_reported(pair, ca, monkeypatch):
    """After an exception in the supervisor the observer's `gave_up` is called."""
    with bridged(pair, ca) as server:
        monkeypatch.setattr(
            type(server.bridge._host), "start", lambda *_: 1 / 0, raising=True
        )
        os.kill(server.bridge.pid, signal.SIGKILL)
        assert server.observer.event() == "died"
        assert server.observer.event() == "gave_up"


@pytest.mark.parametrize("name", [b"\xff.sock", b"a b%\n.sock"])
def test_client_with_any_socket_path(pair, ca, client, tmp_path, name):
    """A unix socket's path may be any bytes; such a client does not disturb others."""
    outer = os.fsencode(tmp_path) + b"/l.sock"
    sockets = {"public": listen(os.fsdecode(outer), socket.AF_UNIX)}
    with bridged(pair, ca, sockets=sockets) as server:
        with socket.socket(socket.AF_UNIX) as odd:
            odd.bind(os.fsencode(tmp_path) + b"/" + name)
            odd.connect(outer)
            odd.settimeout(PATIENCE)
            odd.sendall(b"not TLS")
            with suppress(ConnectionError):
                assert odd.recv(1) == b""
        assert server.observer.refusal().kind is RefusalKind.PLAINTEXT
        assert try_call(f"unix:{os.fsdecode(outer)}", ca, client) is None
        assert server.observer.events.empty()
