"""Connects a client to the server after its handshake, under a registered name.

Invariants: no connection is made before the server process has confirmed the name, and
a client that the server does not accept in time gets a close_notify.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Protocol

from grpcsecure.tls.bridge.child.reactor import Deadlines
from grpcsecure.tls.bridge.child.states import ConnectionState
from grpcsecure.tls.bridge.child.upstream_socket import (
    connect_upstream,
    open_upstream,
    release_upstream,
)
from grpcsecure.tls.bridge.ipc.messages import PeerMessage

if TYPE_CHECKING:
    import socket

    from grpcsecure.tls.bridge.child.handshake import Handshake
    from grpcsecure.tls.bridge.child.reactor import Reactor
    from grpcsecure.tls.handshake_result import HandshakeResult

__all__ = ["PendingConnect", "UpstreamConnect", "UpstreamConnectOwner"]

#: Seconds between attempts while the server's backlog is full, and until the server
#: process must have confirmed the name and accepted the connection.
_RETRY = 0.01
_TIMEOUT = 10.0


class PendingConnect:
    """A client that has finished its handshake and is not connected to the server."""

    __slots__ = ("handshake", "name", "number", "result", "upstream")

    def __init__(
        self,
        number: int,
        handshake: Handshake,
        result: HandshakeResult,
        upstream: socket.socket,
        name: str,
    ) -> None:
        self.number = number
        self.handshake = handshake
        self.result = result
        self.upstream = upstream
        self.name = name


class UpstreamConnectOwner(Protocol):
    """Callbacks of `UpstreamConnect`, implemented by the event loop."""

    def announce(self, message: PeerMessage, guard: int) -> None:
        """Ask for a name to be registered; `guard` is a descriptor of its socket."""

    def connected(self, pending: PendingConnect) -> None:
        """Handle that the client's connection to the server is open."""

    def not_connected(
        self, handshake: Handshake, result: HandshakeResult, reason: str
    ) -> None:
        """Handle that the client could not be connected to the server."""

    def end_name(self, number: int, upstream: socket.socket, name: str) -> None:
        """Release a name that was announced and is no longer needed."""


class UpstreamConnect:
    """The clients that have finished their handshake and are not connected yet."""

    def __init__(self, reactor: Reactor, owner: UpstreamConnectOwner) -> None:
        self._owner = owner
        self._pending: dict[int, PendingConnect] = {}
        self._numbers = itertools.count(1)
        self._answers: Deadlines[PendingConnect] = Deadlines(
            reactor, _TIMEOUT, self._not_answered
        )
        self._retries: Deadlines[PendingConnect] = Deadlines(
            reactor, _RETRY, self._connect
        )

    def __len__(self) -> int:
        return len(self._pending)

    def begin(self, handshake: Handshake, result: HandshakeResult) -> None:
        """Choose a name, and ask for it to be registered before it is used."""
        try:
            upstream, name = open_upstream(handshake.listener.upstream_path)
        except OSError as error:
            reason = f"no socket towards the server: {error.strerror}"
            self._owner.not_connected(handshake, result, reason)
            return
        handshake.life.enter(ConnectionState.REGISTERING)
        number = next(self._numbers)
        pending = PendingConnect(number, handshake, result, upstream, name)
        self._pending[number] = pending
        self._answers.add(pending)
        try:
            self._owner.announce(PeerMessage(number, name, result), upstream.fileno())
        except OSError as error:
            self._abandon(pending, f"its name was not sent: {error.strerror}")

    def registered(self, number: int) -> None:
        """Connect under the name, which the server process has registered."""
        pending = self._pending.get(number)
        if pending is not None:
            pending.handshake.life.enter(ConnectionState.CONNECTING)
            self._connect(pending)

    def _connect(self, pending: PendingConnect) -> None:
        try:
            done = connect_upstream(
                pending.upstream, pending.handshake.listener.upstream_path
            )
        except OSError as error:
            self._abandon(pending, f"the server is not reachable: {error.strerror}")
            return
        if not done:
            self._retries.add(pending)
            return
        self._forget(pending)
        self._owner.connected(pending)

    def _not_answered(self, pending: PendingConnect) -> None:
        self._abandon(pending, f"the server did not answer within {_TIMEOUT:g}s")

    def close_connection(self, number: int) -> None:
        """Close a connection by order; ignore numbers that are not pending here."""
        pending = self._pending.get(number)
        if pending is not None:
            self._abandon(
                pending,
                "not registered by the server process, which may be out of descriptors",
            )

    def _abandon(self, pending: PendingConnect, reason: str) -> None:
        self._forget(pending)
        self._owner.end_name(pending.number, pending.upstream, pending.name)
        self._owner.not_connected(pending.handshake, pending.result, reason)

    def _forget(self, pending: PendingConnect) -> None:
        del self._pending[pending.number]
        self._answers.discard(pending)
        self._retries.discard(pending)

    def close(self) -> None:
        """Close all pending clients immediately."""
        for pending in self._pending.values():
            release_upstream(pending.upstream, pending.name)
            pending.handshake.client.close()
        self._pending.clear()
