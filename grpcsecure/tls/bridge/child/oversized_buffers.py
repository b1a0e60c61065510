"""Returns memory after bulk transfers: the buffers of idle connections, and the heap.

Knows no sockets. Everything waits for a second, so that a transfer with short pauses
does not lose its buffers in each of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.tls.bridge.child.reactor import Deadlines

if TYPE_CHECKING:
    from collections.abc import Callable

    from grpcsecure.tls.bridge.child.pipe import Pipe
    from grpcsecure.tls.bridge.child.reactor import Reactor
    from grpcsecure.tls.bridge.heap_trimmer import HeapTrimmer

__all__ = ["OversizedBuffers"]

#: Seconds between an event and the attempt to return memory.
_DELAY = 1.0


class OversizedBuffers:
    """The connections whose buffers have grown, and the heap that they leave behind."""

    def __init__(self, reactor: Reactor, heap: HeapTrimmer) -> None:
        self._heap = heap
        self._pipes: set[Pipe] = set()
        self._tasks: Deadlines[Callable[[], None]] = Deadlines(
            reactor, _DELAY, lambda task: task()
        )

    def add(self, pipe: Pipe) -> None:
        """Shrink the buffers of a connection later, when it is idle."""
        self._pipes.add(pipe)
        self._tasks.add_if_absent(self._trim_pipes)

    def forget(self, pipe: Pipe) -> None:
        """Forget a connection, which is being closed."""
        self._pipes.discard(pipe)

    def connection_closed(self, *, remaining: int) -> None:
        """Count a closed connection; trim the heap when many have been closed.

        All clients count: a refused handshake leaves as much behind as a connection.
        """
        if self._heap.on_connection_closed(remaining):
            # At most once in a second, also while clients are refused all the time.
            self._tasks.add_if_absent(self._heap.trim)

    def _trim_pipes(self) -> None:
        busy = {pipe for pipe in self._pipes if not pipe.trim()}
        if len(busy) < len(self._pipes):
            self._heap.trim()
        self._pipes = busy
        if busy:
            self._tasks.add(self._trim_pipes)
