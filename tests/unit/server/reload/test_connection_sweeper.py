"""Closing of connections whose client certificate is no longer valid."""

from __future__ import annotations

import os

import pytest
from support.servers import assemble, entry

from grpcsecure.model.modes import ClientCertificateMode
from grpcsecure.server.reload.connection_sweeper import ConnectionSweeper
from grpcsecure.server.rpc.bridged_caller import BridgedConnection, BridgedView
from grpcsecure.tls.bridge.parent.registry import Registry
from grpcsecure.tls.handshake_result import HandshakeResult

pytestmark = pytest.mark.usefixtures("examples_importable")


def connection(number, name):
    """Return a connection whose client was verified by a CA that has been removed."""
    result = HandshakeResult(
        listener="public",
        address=f"ipv4:127.0.0.1:{number}",
        generation=1,
        certificate=b"unreadable",
        verified=True,
        tls_version="TLSv1.3",
    )
    return BridgedConnection(name, result)


class Call:
    """A fake of grpcio's context of a call, which the test can end."""

    def add_callback(self, callback):
        """Keep the callback for the end of the call."""
        self.end = callback
        return True


class World:
    """A sweeper with fake connections, its close requests, and a settable clock."""

    def __init__(self, count):
        in_force = assemble(entry("helloworld.greeter:Greeter")).in_force
        mode = ClientCertificateMode.REQUIRE_AND_VERIFY
        self.view = BridgedView("public", mode, in_force)
        self.view.registry = self.registry = Registry()
        self.names = [f"unix-abstract:{number}" for number in range(count)]
        for number, name in enumerate(self.names):
            hold = os.open(os.devnull, os.O_RDONLY)
            self.registry.add(number, name, connection(number, name), hold)
        self.requests = []
        self.now = 0.0
        self.sweeper = ConnectionSweeper(
            [self.view],
            in_force,
            self.requests.append,
            grace=30.0,
            clock=lambda: self.now,
        )

    def addresses_in(self, caplog):
        """Return the addresses of the connections that were logged as closed."""
        found = [
            (record.address, getattr(record, "calls_cut", 0))
            for record in caplog.records
            if record.getMessage() == "connection.closed"
        ]
        caplog.clear()
        return found


@pytest.fixture(name="world")
def _world():
    """Three connections."""
    made = World(3)
    yield made
    made.registry.clear()


def test_all_due_connections_are_closed_by_one_request(world, caplog):
    """One request for each would scan all connections once per connection."""
    world.sweeper.sweep()
    assert world.requests == [world.names]
    expected = [(f"ipv4:127.0.0.1:{number}", 0) for number in range(3)]
    assert world.addresses_in(caplog) == expected


def test_busy_connections_are_closed_when_idle_or_overdue(world, caplog):
    """Each is in one request and in one log line, with the number of cut calls."""
    first, second, third = world.names
    calls = [Call(), Call()]
    world.view.running.begin(calls[0], first)
    world.view.running.begin(calls[1], second)
    world.sweeper.sweep()
    assert world.requests == [[third]]
    world.registry.remove(2)
    calls[0].end()
    world.sweeper.sweep()
    assert world.requests[1:] == [[first]]
    world.registry.remove(0)
    world.sweeper.sweep()
    assert len(world.requests) == 2
    world.now = 30.0
    world.sweeper.sweep()
    assert world.requests[2:] == [[second]]
    assert world.addresses_in(caplog) == [
        ("ipv4:127.0.0.1:2", 0),
        ("ipv4:127.0.0.1:0", 0),
        ("ipv4:127.0.0.1:1", 1),
    ]
