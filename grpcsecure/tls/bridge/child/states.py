"""The states of one client's connection in the bridge, and which may follow which.

Knows no sockets and no TLS: an enumeration and a table. docs/architecture.md draws the
table, and a test compares the two.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["TRANSITIONS", "ConnectionLife", "ConnectionState", "StateError"]


class ConnectionState(Enum):
    """How far a connection has come. The value is its name in docs and messages."""

    #: Accepted; the TLS handshake is not finished.
    HANDSHAKE = "handshake"
    #: TLS is done; the parent has not confirmed the name of the upstream socket yet.
    REGISTERING = "registering"
    #: The name is registered; the server's backlog has not taken the connection yet.
    CONNECTING = "connecting"
    #: Bytes go both ways.
    OPEN = "open"
    #: The client has sent close_notify or FIN; the server's bytes are still delivered.
    HALF_CLOSED = "half-closed"
    #: Nothing is read any more; an alert or the last bytes wait to be sent.
    FLUSHING = "flushing"
    #: Our FIN is sent; the client's bytes are discarded until its own FIN arrives.
    DRAINING = "draining"
    #: The client's socket is closed.
    CLOSED = "closed"


_S = ConnectionState

#: The states that may follow each state.
TRANSITIONS: Mapping[ConnectionState, frozenset[ConnectionState]] = {
    _S.HANDSHAKE: frozenset({_S.REGISTERING, _S.FLUSHING, _S.CLOSED}),
    _S.REGISTERING: frozenset({_S.CONNECTING, _S.FLUSHING}),
    _S.CONNECTING: frozenset({_S.OPEN, _S.FLUSHING}),
    _S.OPEN: frozenset({_S.HALF_CLOSED, _S.FLUSHING, _S.CLOSED}),
    _S.HALF_CLOSED: frozenset({_S.FLUSHING, _S.CLOSED}),
    _S.FLUSHING: frozenset({_S.DRAINING, _S.CLOSED}),
    _S.DRAINING: frozenset({_S.CLOSED}),
    _S.CLOSED: frozenset(),
}


class StateError(RuntimeError):
    """A transition that the table does not have: a bug in the bridge."""


class ConnectionLife:
    """The state of one connection; handed on from one stage of it to the next.

    Args:
        on_closed: called when the connection is closed.
    """

    __slots__ = ("_on_closed", "state")

    def __init__(self, on_closed: Callable[[], None] = lambda: None) -> None:
        self.state = ConnectionState.HANDSHAKE
        self._on_closed = on_closed

    def enter(self, state: ConnectionState) -> None:
        """Take the next state.

        Raises:
            StateError: it may not follow the present one.
        """
        if state not in TRANSITIONS[self.state]:
            raise StateError(
                f"a connection went from {self.state.value} to {state.value}"
            )
        self.state = state
        if state is ConnectionState.CLOSED:
            self._on_closed()
