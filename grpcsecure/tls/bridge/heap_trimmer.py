"""Gives memory that connections have left behind back to the system.

malloc(3) does so only from the end of its heap, where something lives always: by
itself a process keeps what it needed at its busiest. Knows no clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["HeapTrimmer", "find_malloc_trim"]

#: Fewer connections than this are not worth a look at the whole heap.
_WORTH = 100


def find_malloc_trim() -> Callable[[], object] | None:
    """Return what makes glibc give freed memory back; elsewhere nothing is needed."""
    import ctypes

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return None if trim is None else lambda: trim(0)


class HeapTrimmer:
    """Counts connections that end, to know when a trim is worth its time.

    Args:
        trimmer: gives the memory back; None is "nobody does".
    """

    __slots__ = ("_ended", "_trimmer")

    def __init__(self, trimmer: Callable[[], object] | None) -> None:
        self._trimmer = trimmer
        self._ended = 0

    def on_connection_closed(self, left: int) -> bool:
        """Count a connection that ended; say whether to `trim` soon.

        That is when as many have ended as are left: a trim takes as long as there is
        memory (5,000 connections: 30 ms), so it costs every connection the same.
        """
        self._ended += 1
        if self._ended < max(_WORTH, left):
            return False
        self._ended = 0
        return True

    def trim(self) -> None:
        """Give back what is free now."""
        if self._trimmer is not None:
            self._trimmer()
