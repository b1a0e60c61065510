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
    from grpcsecure.tls.openssl.handshake_result import HandshakeResult

__all__ = ["UpstreamConnect", "UpstreamConnectOwner", "Waiting"]

#: Seconds between attempts when the server's backlog is full, and until launcher and
#: server must have taken a connection.
_RETRY = 0.01
_ANSWER = 10.0


class Waiting:
    """A client between its handshake and its connection to the server."""

    __slots__ = ("facts", "handshake", "inner", "name", "number")

    def __init__(
        self,
        number: int,
        handshake: Handshake,
        facts: HandshakeResult,
        inner: socket.socket,
        name: str,
    ) -> None:
        self.number = number
        self.handshake = handshake
        self.facts = facts
        self.inner = inner
        self.name = name


class UpstreamConnectOwner(Protocol):
    """What a handover tells the engine."""

    def announce(self, message: PeerMessage, hold: int) -> None:
        """Have a name registered; `hold` is a descriptor of its socket."""

    def connected(self, waiting: Waiting) -> None:
        """The server has the connection."""

    def not_connected(
        self, handshake: Handshake, facts: HandshakeResult, reason: str
    ) -> None:
        """It does not come to that."""

    def end_name(self, number: int, inner: socket.socket, name: str) -> None:
        """A name was announced and is not needed any more."""


class UpstreamConnect:
    """All clients between their handshake and the server."""

    def __init__(self, reactor: Reactor, owner: UpstreamConnectOwner) -> None:
        self._owner = owner
        self._waiting: dict[int, Waiting] = {}
        self._numbers = itertools.count(1)
        self._answers: Deadlines[Waiting] = Deadlines(
            reactor, _ANSWER, self._not_answered
        )
        self._retries: Deadlines[Waiting] = Deadlines(reactor, _RETRY, self._connect)

    def __len__(self) -> int:
        return len(self._waiting)

    def begin(self, handshake: Handshake, facts: HandshakeResult) -> None:
        """Take a name, and have it registered before it is used."""
        try:
            inner, name = open_upstream(handshake.listener.inner_path)
        except OSError as error:
            reason = f"no socket towards the server: {error.strerror}"
            self._owner.not_connected(handshake, facts, reason)
            return
        handshake.life.enter(ConnectionState.REGISTERING)
        number = next(self._numbers)
        waiting = Waiting(number, handshake, facts, inner, name)
        self._waiting[number] = waiting
        self._answers.add(waiting)
        try:
            self._owner.announce(PeerMessage(number, name, facts), inner.fileno())
        except OSError as error:
            self._abandon(waiting, f"its name is not registered: {error.strerror}")

    def registered(self, number: int) -> None:
        """The launcher knows the name: use it."""
        waiting = self._waiting.get(number)
        if waiting is not None:
            waiting.handshake.life.enter(ConnectionState.CONNECTING)
            self._connect(waiting)

    def _connect(self, waiting: Waiting) -> None:
        try:
            done = connect_upstream(
                waiting.inner, waiting.handshake.listener.inner_path
            )
        except OSError as error:
            self._abandon(waiting, f"the server is not there: {error.strerror}")
            return
        if not done:
            self._retries.add(waiting)
            return
        self._forget(waiting)
        self._owner.connected(waiting)

    def _not_answered(self, waiting: Waiting) -> None:
        self._abandon(waiting, f"the server did not answer within {_ANSWER:g}s")

    def close_connection(self, number: int) -> None:
        """Obey an order to close; a number that is not here is somebody else's."""
        waiting = self._waiting.get(number)
        if waiting is not None:
            self._abandon(
                waiting, "not taken by the launcher, which may be out of descriptors"
            )

    def _abandon(self, waiting: Waiting, reason: str) -> None:
        self._forget(waiting)
        self._owner.end_name(waiting.number, waiting.inner, waiting.name)
        self._owner.not_connected(waiting.handshake, waiting.facts, reason)

    def _forget(self, waiting: Waiting) -> None:
        del self._waiting[waiting.number]
        self._answers.discard(waiting)
        self._retries.discard(waiting)

    def close(self) -> None:
        """End all of them at once."""
        for waiting in self._waiting.values():
            release_upstream(waiting.inner, waiting.name)
            waiting.handshake.client.close()
        self._waiting.clear()
