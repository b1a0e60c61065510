"""Returns the memory of closed connections to the operating system.

malloc(3) does that only for the end of its heap, where some memory is always in use: by
itself, a process keeps the memory that it needed under its highest load. Has no clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["HeapTrimmer", "find_malloc_trim"]

#: Fewer closed connections than this are not worth a scan of the whole heap.
_MIN_CLOSED = 100


def find_malloc_trim() -> Callable[[], object] | None:
    """Return glibc's `malloc_trim`; None with other C libraries, which need none."""
    import ctypes

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return None if trim is None else lambda: trim(0)


class HeapTrimmer:
    """Counts closed connections, to decide when a trim is worth its time.

    Args:
        trimmer: returns freed memory to the system; None for "not needed".
    """

    __slots__ = ("_closed", "_trimmer")

    def __init__(self, trimmer: Callable[[], object] | None) -> None:
        self._trimmer = trimmer
        self._closed = 0

    def on_connection_closed(self, left: int) -> bool:
        """Count a closed connection; return whether to `trim` soon.

        That is when as many have been closed as are left: the time of a trim grows with
        the memory (5,000 connections: 30 ms), so each connection adds the same share.
        """
        self._closed += 1
        if self._closed < max(_MIN_CLOSED, left):
            return False
        self._closed = 0
        return True

    def trim(self) -> None:
        """Return the memory that is free now."""
        if self._trimmer is not None:
            self._trimmer()
