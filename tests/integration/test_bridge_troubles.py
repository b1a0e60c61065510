"""What goes wrong between launcher and bridge, and what is left standing."""

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
    """Starts bridges only while it is not held; says when somebody waits."""

    def __init__(self):
        self.free = threading.Event()
        self.free.set()
        self.waits = threading.Event()

    def start(self, control):
        """Start one once that is free again."""
        if not self.free.is_set():
            self.waits.set()
        assert self.free.wait(PATIENCE)
        return super().start(control)


@pytest.fixture
def held():
    """The host of `bridged(..., host="held")`."""
    host = HeldHost()
    HOSTS["held"] = lambda: host
    yield host
    host.free.set()
    del HOSTS["held"]


def kill_and_hold(server, held):
    """Kill the bridge; the next one is about to be started when this returns."""
    held.free.clear()
    os.kill(server.bridge.pid, signal.SIGKILL)
    assert server.observer.event() == "died"
    assert held.waits.wait(PATIENCE)


def test_signal_of_a_dead_launcher_from_somebody_else(pair, ca, client):
    """Only if the launcher has died does the bridge end with it."""
    with bridged(pair, ca) as server, channel(server.target(), ca, client) as opened:
        call(opened)
        os.kill(server.bridge.pid, signal.SIGUSR1)
        call(opened)
        assert server.observer.events.empty()


def test_launcher_that_hangs_up_still_serves(pair, ca, client):
    """A bridge that lost its launcher's ear leaves the live server's sockets alone."""
    with bridged(pair, ca) as server:
        server.bridge._control.disconnect()
        assert server.observer.event() == "died"
        assert server.observer.event() == "restarted"
        assert [*Path(server.directory.path).iterdir()]
        assert try_call(server.target(), ca, client) is None


def test_material_is_checked_by_the_bridge_that_is_being_started(
    pair, ca, client, held
):
    """While there is no bridge nothing is taken for good; afterwards it is."""
    new_ca = authority("other CA")
    new_client = certificate("client", issuer=new_ca, extended=CLIENT_AUTH)
    good = material(pair, client_ca=[new_ca], generation=2)
    with bridged(pair, ca, host="held") as server:
        kill_and_hold(server, held)
        taken = threading.Event()
        swap = threading.Thread(
            target=lambda: (server.bridge.replace({"public": good}), taken.set())
        )
        swap.start()
        assert not taken.is_set()
        held.free.set()
        assert taken.wait(PATIENCE)
        swap.join()
        assert server.observer.event() == "restarted"
        assert try_call(server.target(), ca, new_client) is None
        assert try_call(server.target(), ca, client) is not None


def test_bad_material_is_refused_by_the_bridge_that_is_being_started(
    pair, ca, client, held
):
    """What OpenSSL does not take is refused, and kills no bridge."""
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


def test_bridge_that_began_meanwhile_serves_what_was_prepared(pair, ca, held):
    """Prepared by one bridge and committed to the next: the material is in force."""
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
    """The new one does not get to serve: nobody is taken in any more."""
    with bridged(pair, ca, host="held") as server:
        kill_and_hold(server, held)
        with socket.create_connection(("127.0.0.1", server.port())) as late:
            server.bridge.drain()
            held.free.set()
            server.bridge.stop()
            assert server.bridge.pid is None
            # Nobody has taken it out of the queue to say a word.
            late.setblocking(False)
            with pytest.raises(BlockingIOError):
                late.recv(1)
        assert server.observer.events.empty()


def test_material_that_is_too_large(pair, ca, client, monkeypatch):
    """It is refused in words, at the start and later, and what serves goes on."""
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


def test_launcher_that_cannot_tell_anybody(pair, ca, client, monkeypatch):
    """What fails in somebody's logging ends neither supervisor nor bridge."""

    def fail(*_):
        raise RuntimeError("a filter of the user's")

    with bridged(pair, ca) as server:
        heard = threading.Event()

        def refused(refusal):
            heard.set()
            fail(refusal)

        monkeypatch.setattr(server.observer, "refused", refused)
        with socket.create_connection(("127.0.0.1", server.port())) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert heard.wait(PATIENCE)
        assert try_call(server.target(), ca, client) is None
        monkeypatch.setattr(server.observer, "died", fail)
        os.kill(server.bridge.pid, signal.SIGKILL)
        assert server.observer.event() == "restarted"
        assert try_call(server.target(), ca, client) is None


def test_mistake_of_ours_is_told_and_not_hidden(pair, ca, monkeypatch):
    """What the supervisor does not expect ends in `gave_up`, not in silence."""
    with bridged(pair, ca) as server:
        monkeypatch.setattr(
            type(server.bridge._host), "start", lambda *_: 1 / 0, raising=True
        )
        os.kill(server.bridge.pid, signal.SIGKILL)
        assert server.observer.event() == "died"
        assert server.observer.event() == "gave_up"


@pytest.mark.parametrize("name", [b"\xff.sock", b"a b%\n.sock"])
def test_client_of_any_name(pair, ca, client, tmp_path, name):
    """A socket's path may be any bytes: its owner is refused, the others go on."""
    outer = os.fsencode(tmp_path) + b"/l.sock"
    sockets = {"public": listen(os.fsdecode(outer), socket.AF_UNIX)}
    with bridged(pair, ca, sockets=sockets) as server:
        with socket.socket(socket.AF_UNIX) as odd:
            odd.bind(os.fsencode(tmp_path) + b"/" + name)
            odd.connect(outer)
            odd.settimeout(PATIENCE)
            odd.sendall(b"no TLS")
            with suppress(ConnectionError):
                assert odd.recv(1) == b""
        assert server.observer.refusal().kind is RefusalKind.PLAINTEXT
        assert try_call(f"unix:{os.fsdecode(outer)}", ca, client) is None
        assert server.observer.events.empty()
