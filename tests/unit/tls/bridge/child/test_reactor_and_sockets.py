"""Tests of the bridge's addresses, registry, reactor, refusal log and sockets."""

from __future__ import annotations

import math
import os
import socket
import time

import pytest
from support.bridge_certs import certificate

from grpcsecure.config.build import MAX_DURATION
from grpcsecure.tls.bridge.child.client_address import render_address
from grpcsecure.tls.bridge.child.reactor import IN, Deadlines, Reactor
from grpcsecure.tls.bridge.child.refusal_log import RefusalLog, explain_first_bytes
from grpcsecure.tls.bridge.child.upstream_socket import open_upstream, release_upstream
from grpcsecure.tls.bridge.ipc.refusal import Refusal, RefusalKind
from grpcsecure.tls.bridge.parent.registry import Registry
from grpcsecure.tls.bridge.parent.upstream_directory import UpstreamDirectory
from grpcsecure.tls.der import DerError, read_certificate
from grpcsecure.tls.handshake_result import HandshakeResult
from grpcsecure.tls.openssl.certificate_names import read_names


@pytest.mark.parametrize(
    ("family", "address", "text"),
    [
        (socket.AF_INET, ("127.0.0.1", 1234), "ipv4:127.0.0.1:1234"),
        (socket.AF_INET6, ("::1", 1, 0, 0), "ipv6:%5B::1%5D:1"),
        (socket.AF_INET6, ("::ffff:10.0.0.1", 1, 0, 0), "ipv4:10.0.0.1:1"),
        (socket.AF_UNIX, "", "unix:"),
        (socket.AF_UNIX, "/a b", "unix:/a%20b"),
        (socket.AF_UNIX, b"\0name", "unix-abstract:name"),
    ],
)
def test_address_is_in_grpcs_format(family, address, text):
    """Each type of address is formatted as in C-core."""
    assert render_address(family, address) == text


def test_damaged_certificate_is_parsed_or_is_a_der_error():
    """Damaged DER raises only `DerError`."""
    der = certificate("client").der
    for position in range(len(der)):
        for value in (0x00, 0x80, 0xFF, der[position] ^ 0x20):
            damaged = der[:position] + bytes([value]) + der[position + 1 :]
            try:
                read_names(damaged)
            except DerError:
                continue
    for length in range(len(der)):
        with pytest.raises(DerError):
            read_certificate(der[:length])


def handshake_result(listener="public"):
    """Return the handshake result of an anonymous peer."""
    return HandshakeResult(
        listener=listener, address="unix:", generation=1, tls_version="TLSv1.3"
    )


def test_registry_guards_a_name_until_it_is_removed():
    """The guard descriptor of an entry is closed only after the entry is removed."""
    registry = Registry()
    read, write = os.pipe()
    assert registry.add(1, "unix-abstract:a", handshake_result(), write)
    assert registry.lookup("unix-abstract:a") == handshake_result()
    os.fstat(write)
    registry.remove(1)
    assert registry.lookup("unix-abstract:a") is None
    assert os.read(read, 1) == b""
    registry.remove(1)
    os.close(read)


def test_registry_accepts_no_name_twice():
    """A name or a number that is in use is refused for a second connection."""
    registry = Registry()
    guard = os.open(os.devnull, os.O_RDONLY)
    assert registry.add(1, "a", handshake_result(), guard)
    assert not registry.add(2, "a", handshake_result(), guard)
    assert not registry.add(1, "b", handshake_result(), guard)
    assert registry.numbers_of(frozenset({"a", "b"})) == [1]
    registry.clear()
    assert len(registry) == 0
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(guard)


class Name(str):
    """A name that counts how often it was hashed."""

    __slots__ = ("hashed",)

    def __hash__(self):
        """Return the hash of the text, and count."""
        self.hashed = getattr(self, "hashed", 0) + 1
        return str.__hash__(self)


def test_registry_finds_connections_without_a_scan():
    """The cost of finding one name does not depend on the number of names."""
    registry = Registry()
    names = [Name(f"unix-abstract:{number}") for number in range(50)]
    for number, name in enumerate(names):
        guard = os.open(os.devnull, os.O_RDONLY)
        assert registry.add(number, name, handshake_result(), guard)
    before = [name.hashed for name in names]
    wanted = frozenset({"unix-abstract:7", "unix-abstract:70"})
    assert registry.numbers_of(wanted) == [7]
    assert [name.hashed for name in names] == before
    registry.remove(7)
    assert registry.numbers_of(wanted) == []
    registry.clear()
    assert registry.numbers_of(frozenset({"unix-abstract:8"})) == []


def test_registry_may_be_cleared_while_a_connection_ends():
    """Two threads at the worst moment: each guard descriptor is closed exactly once."""

    class Names(dict):
        def clear(self):
            super().clear()
            registry.remove(1)

    registry = Registry()
    registry._by_name = Names()
    ends = [os.pipe() for _ in range(2)]
    for number, (_, guard) in enumerate(ends):
        assert registry.add(
            number, f"unix-abstract:{number}", handshake_result(), guard
        )
    registry.clear()
    for read, _ in ends:
        assert os.read(read, 1) == b""
        os.close(read)
    assert registry.numbers_of(frozenset({"unix-abstract:0", "unix-abstract:1"})) == []


def test_deadlines_expire_in_order():
    """The item added first expires first; adding it again restarts its time."""
    expired = []
    reactor = Reactor()
    deadlines = Deadlines(reactor, 0.02, expired.append)
    for name in "abc":
        deadlines.add(name)
    deadlines.add("a")
    deadlines.discard("b")
    while len(expired) < 2:
        reactor.turn()
    assert expired == ["c", "a"]
    assert reactor.due == math.inf
    reactor.close()


def test_deadlines_of_several_lengths_expire_on_time():
    """A short one is delayed neither by longer ones nor by a discarded one."""
    # A busy machine may stop this process until two of them are due.
    for middle in (0.06, 1.0, 10.0):
        ended = expire(short=0.02, middle=middle)
        if ended["short"] < middle:
            break
    assert 0.02 <= ended["short"] < middle <= ended["middle"]


def expire(*, short, middle):
    """Wait for deadlines of these lengths; return when each of them expired."""
    expired = []
    reactor = Reactor()
    long = Deadlines(reactor, 60, expired.append)
    middles = Deadlines(reactor, middle, expired.append)
    shorts = Deadlines(reactor, short, expired.append)
    began = time.monotonic()
    long.add("long")
    middles.add("middle")
    shorts.add("short")
    shorts.add("gone")
    shorts.discard("gone")
    ended = {}
    while len(ended) < 2:
        reactor.turn()
        for name in expired:
            ended.setdefault(name, time.monotonic() - began)
    assert set(ended) == {"short", "middle"}
    assert reactor.due == long.next()
    reactor.close()
    return ended


def test_item_that_is_added_by_an_expiry_expires_too():
    """An `expired` callback may add further items."""
    expired = []
    reactor = Reactor()

    def again(item):
        expired.append(item)
        if item:
            deadlines.add(item - 1)

    deadlines = Deadlines(reactor, 0.01, again)
    deadlines.add(2)
    while len(expired) < 3:
        reactor.turn()
    assert expired == [2, 1, 0]
    assert reactor.due == math.inf
    reactor.close()


def test_longest_deadline_is_waited_for():
    """A deadline a year away does not stop the reactor from serving descriptors."""
    served = []
    reactor = Reactor()
    deadlines = Deadlines(reactor, MAX_DURATION, served.append)
    deadlines.add("late")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        reactor.watch(ours.fileno(), IN, served.append)
        theirs.send(b"x")
        reactor.turn()
    assert served == [IN]
    reactor.close()


def test_reactor_serves_descriptors_before_deferred_work():
    """A ready descriptor never waits longer than the budget of deferred work."""
    order = []
    reactor = Reactor()
    ours, theirs = socket.socketpair()
    reactor.watch(ours.fileno(), IN, lambda _: order.append("ready"))
    theirs.send(b"x")

    def step():
        order.append("step")
        if order.count("step") < 3:
            reactor.defer(step)

    reactor.defer(step)
    while order.count("step") < 3:
        reactor.turn()
    assert order[0] == "ready"
    reactor.change(ours.fileno(), 0)
    reactor.forget(ours.fileno())
    reactor.forget(ours.fileno())
    reactor.close()
    ours.close()
    theirs.close()


def refusal(kind=RefusalKind.TIMEOUT):
    """Return a refusal."""
    return Refusal(listener="a", address="unix:", kind=kind, reason="r")


def test_rare_kinds_are_reported_during_a_flood():
    """A flood of refusals of one kind does not suppress the other kinds."""
    reported = []
    log = RefusalLog(reported.append)
    for _ in range(1000):
        log.add(refusal())
    log.add(refusal(RefusalKind.BAD_CERTIFICATE))
    assert len(reported) < 20
    assert reported[-1].kind is RefusalKind.BAD_CERTIFICATE
    assert log.is_behind


@pytest.mark.parametrize("data", [b"\x16\x03\x01", b"\x16"])
def test_tls_is_not_taken_for_plaintext(data):
    """The first byte of a TLS record gets no explanation."""
    assert explain_first_bytes(data) is None


def test_directory_is_private_and_removed_at_the_end():
    """The directory of the server's sockets has mode 0700; nothing of it is left."""
    with UpstreamDirectory() as directory:
        assert os.stat(directory.path).st_mode & 0o777 == 0o700  # noqa: PTH116
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(directory.socket_path(0))
        sock.close()
    assert not os.path.exists(directory.path)  # noqa: PTH110


def test_names_on_paths_are_freed_with_their_connection(monkeypatch):
    """On systems without abstract names, the path is removed with the socket."""
    monkeypatch.setattr(
        "grpcsecure.tls.bridge.child.upstream_socket._HAS_ABSTRACT", False
    )
    with UpstreamDirectory() as directory:
        sock, name = open_upstream(directory.socket_path(0))
        path = name.removeprefix("unix:")
        assert os.path.exists(path)  # noqa: PTH110
        release_upstream(sock, name)
        assert not os.path.exists(path)  # noqa: PTH110
