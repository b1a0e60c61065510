"""The connections of a bridge that drains: each gets GOAWAY, and is then served on.

A client that has read GOAWAY opens its next stream on another connection. Without it,
grpcio's server refuses the calls that arrive after `stop` and before the client has
read grpcio's own GOAWAY (grpc/grpc#41785).
"""

from __future__ import annotations

from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from grpcsecure.tls.bridge.child.reactor import Deadlines

if TYPE_CHECKING:
    from collections.abc import Iterable

    from grpcsecure.tls.bridge.child.pipe import Pipe
    from grpcsecure.tls.bridge.child.reactor import Reactor

__all__ = ["Retirement"]

#: Seconds that a connection must have been open: after a GOAWAY right behind SETTINGS,
#: before its first stream, a grpcio client left a call without an answer.
_MIN_AGE = 0.5


class Retirement:
    """Sends GOAWAY to connections, none of them too young."""

    def __init__(self, reactor: Reactor) -> None:
        self._young: Deadlines[Pipe] = Deadlines(reactor, _MIN_AGE, self._retire)
        self._reactor = reactor
        #: The connections whose GOAWAY has not been sent yet.
        self._waiting: set[Pipe] = set()

    @property
    def is_done(self) -> bool:
        """Whether every connection has been sent GOAWAY, or has ended."""
        return not self._waiting

    def begin(self, pipes: Iterable[Pipe]) -> None:
        """Retire these connections as soon as they are old enough."""
        now = monotonic()
        for pipe in pipes:
            self._waiting.add(pipe)
            if now - pipe.opened < _MIN_AGE:
                self._young.add(pipe)
            else:
                # Deferred: thousands in one turn would delay the calls that run.
                self._reactor.defer(partial(self._retire, pipe))

    def _retire(self, pipe: Pipe) -> None:
        if pipe in self._waiting:
            pipe.retire()

    def goaway_sent(self, pipe: Pipe) -> None:
        """Note that a connection needs no more."""
        self._waiting.discard(pipe)

    def forget(self, pipe: Pipe) -> None:
        """Forget a connection that has ended."""
        self._waiting.discard(pipe)
        self._young.discard(pipe)
