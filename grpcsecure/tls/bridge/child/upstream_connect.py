"""From a finished handshake to a connection to the server, under a registered name.

Invariant: nothing connects before the launcher has confirmed the name, and a client
that the server does not take in time is told so.
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

#: Seconds between attempts when the server's backlog is full, and until launcher and
#: server must have taken a connection.
_RETRY = 0.01
_TIMEOUT = 10.0


class PendingConnect:
    """A client between its handshake and its connection to the server."""

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
    """What a handover tells the engine."""

    def announce(self, message: PeerMessage, guard: int) -> None:
        """Have a name registered; `guard` is a descriptor of its socket."""

    def connected(self, pending: PendingConnect) -> None:
        """The server has the connection."""

    def not_connected(
        self, handshake: Handshake, result: HandshakeResult, reason: str
    ) -> None:
        """It does not come to that."""

    def end_name(self, number: int, upstream: socket.socket, name: str) -> None:
        """A name was announced and is not needed any more."""


class UpstreamConnect:
    """All clients between their handshake and the server."""

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
        """Take a name, and have it registered before it is used."""
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
            self._abandon(pending, f"its name is not registered: {error.strerror}")

    def registered(self, number: int) -> None:
        """The launcher knows the name: use it."""
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
            self._abandon(pending, f"the server is not there: {error.strerror}")
            return
        if not done:
            self._retries.add(pending)
            return
        self._forget(pending)
        self._owner.connected(pending)

    def _not_answered(self, pending: PendingConnect) -> None:
        self._abandon(pending, f"the server did not answer within {_TIMEOUT:g}s")

    def close_connection(self, number: int) -> None:
        """Obey an order to close; a number that is not here is somebody else's."""
        pending = self._pending.get(number)
        if pending is not None:
            self._abandon(
                pending, "not taken by the launcher, which may be out of descriptors"
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
        """End all of them at once."""
        for pending in self._pending.values():
            release_upstream(pending.upstream, pending.name)
            pending.handshake.client.close()
        self._pending.clear()
