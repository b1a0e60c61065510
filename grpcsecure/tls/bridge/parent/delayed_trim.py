"""Returns the memory of closed connections in the server's process, after a delay."""

from __future__ import annotations

import threading

from grpcsecure.tls.bridge.heap_trimmer import HeapTrimmer, find_malloc_trim

__all__ = ["DelayedTrim"]

#: Seconds until the server has freed the memory of closed connections.
_DELAY = 2.0


class DelayedTrim:
    """Trims the heap some time after many connections were closed."""

    def __init__(self) -> None:
        self._heap = HeapTrimmer(find_malloc_trim())

    def connection_closed(self, *, remaining: int) -> None:
        """Count a closed connection; schedule a trim when there are enough."""
        if self._heap.on_connection_closed(remaining):
            timer = threading.Timer(_DELAY, self._heap.trim)
            timer.daemon = True
            timer.start()
