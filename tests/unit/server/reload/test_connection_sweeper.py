"""Connections whose certificate stopped counting, and the order to close them."""

from __future__ import annotations

import os

import pytest
from support.servers import assemble, entry

from grpcsecure.model.modes import ClientCertificateMode
from grpcsecure.server.reload.connection_sweeper import ConnectionSweeper
from grpcsecure.server.rpc.bridged_caller import BridgedView
from grpcsecure.tls.bridge.parent.registry import Registry
from grpcsecure.tls.openssl.handshake_result import HandshakeResult

pytestmark = pytest.mark.usefixtures("examples_importable")


def facts(number):
    """Return what is known of a connection, verified by a CA that is gone since."""
    return HandshakeResult(
        listener="public",
        address=f"ipv4:127.0.0.1:{number}",
        generation=1,
        certificate=b"unreadable",
        verified=True,
        tls_version="TLSv1.3",
    )


class Call:
    """A call's context as grpcio has it, which can be ended."""

    def add_callback(self, callback):
        """Take what is to be told of the end."""
        self.end = callback
        return True


class World:
    """Some connections, what closed them, and a clock that stands still."""

    def __init__(self, count):
        in_force = assemble(entry("helloworld.greeter:Greeter")).in_force
        mode = ClientCertificateMode.REQUIRE_AND_VERIFY
        self.view = BridgedView("public", mode, in_force)
        self.view.registry = self.registry = Registry()
        self.names = [f"unix-abstract:{number}" for number in range(count)]
        for number, name in enumerate(self.names):
            hold = os.open(os.devnull, os.O_RDONLY)
            self.registry.add(number, name, facts(number), hold)
        self.orders = []
        self.now = 0.0
        self.lapsed = ConnectionSweeper(
            [self.view],
            in_force,
            self.orders.append,
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
    """Three of them."""
    made = World(3)
    yield made
    made.registry.clear()


def test_all_that_are_due_are_closed_by_one_order(world, caplog):
    """An order for each would look through all connections as often as there are."""
    world.lapsed.sweep()
    assert world.orders == [world.names]
    expected = [(f"ipv4:127.0.0.1:{number}", 0) for number in range(3)]
    assert world.addresses_in(caplog) == expected


def test_busy_ones_are_left_out_until_they_are_idle_or_late(world, caplog):
    """Each is in one order and in one line, with the calls that were cut."""
    first, second, third = world.names
    calls = [Call(), Call()]
    world.view.running.begin(calls[0], first)
    world.view.running.begin(calls[1], second)
    world.lapsed.sweep()
    assert world.orders == [[third]]
    world.registry.remove(2)
    calls[0].end()
    world.lapsed.sweep()
    assert world.orders[1:] == [[first]]
    world.registry.remove(0)
    world.lapsed.sweep()
    assert len(world.orders) == 2
    world.now = 30.0
    world.lapsed.sweep()
    assert world.orders[2:] == [[second]]
    assert world.addresses_in(caplog) == [
        ("ipv4:127.0.0.1:2", 0),
        ("ipv4:127.0.0.1:0", 0),
        ("ipv4:127.0.0.1:1", 1),
    ]
