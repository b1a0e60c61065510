"""Counts the calls that run on each connection, to close idle ones and to drain."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

__all__ = ["InflightCalls"]


class InflightCalls:
    """Number of calls per connection name; a connection without calls has no entry."""

    __slots__ = ("_counts", "_lock")

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._lock = threading.Lock()

    def begin(self, context: Any, connection: str) -> None:
        """Count a call until grpcio reports that it is over.

        Args:
            context: grpcio's context of the call, of either runtime.
            connection: the name of its connection.
        """
        with self._lock:
            self._counts[connection] = self._counts.get(connection, 0) + 1
        add_callback = getattr(context, "add_callback", None)
        if add_callback is None:
            context.add_done_callback(lambda _context: self._end(connection))
        elif not add_callback(lambda: self._end(connection)):
            self._end(connection)

    def _end(self, connection: str) -> None:
        with self._lock:
            left = self._counts.pop(connection, 0) - 1
            if left > 0:
                self._counts[connection] = left

    def forget_all_but(self, connections: AbstractSet[str]) -> None:
        """Forget the calls of connections that have ended.

        grpcio does not report the end of a call whose message cannot be deserialized.
        """
        with self._lock:
            for ended in self._counts.keys() - connections:
                del self._counts[ended]

    def __bool__(self) -> bool:
        """Whether any call runs."""
        return bool(self._counts)

    def on(self, connection: str) -> int:
        """Return how many calls run on a connection now."""
        return self._counts.get(connection, 0)
