"""Waits until the clients of a draining bridge need the server no more.

They have left, or they have been sent GOAWAY, have no running call, and had time to
read it. From then on the server can stop without refusing a call.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

__all__ = ["DrainWait"]

#: Seconds that a client without running calls gets to read GOAWAY and to leave. gRPC's
#: clients leave at once; others keep an idle connection open.
_LEAVE_TIME = 2.0

#: Seconds between two looks at the running calls.
_INTERVAL = 0.02


class DrainWait:
    """How far a drain has come, guarded by `changed`."""

    def __init__(self, changed: threading.Condition) -> None:
        self._changed = changed
        self._is_retired = False
        self._is_cancelled = False
        #: Whether no client is connected any more.
        self.is_over = False

    def retire(self) -> None:
        """Note that every connection has been sent GOAWAY."""
        with self._changed:
            self._is_retired = True

    def end(self) -> None:
        """Note that the last client has left, or that the bridge has ended."""
        with self._changed:
            self.is_over = True
            self._changed.notify_all()

    def cancel(self) -> None:
        """End `wait` in another thread: its calls are about to be cut."""
        with self._changed:
            self._is_cancelled = True
            self._changed.notify_all()

    def wait(self, deadline: float, is_idle: Callable[[], bool]) -> None:
        """Wait for the clients, until `deadline` (monotonic clock) at the latest.

        Args:
            deadline: the end of the grace.
            is_idle: whether no call runs through the bridge.
        """
        idle_since: float | None = None
        with self._changed:
            while not (self.is_over or self._is_cancelled):
                now = monotonic()
                if now >= deadline:
                    return
                if not (self._is_retired and is_idle()):
                    idle_since = None
                elif idle_since is None:
                    idle_since = now
                elif now - idle_since >= _LEAVE_TIME:
                    return
                self._changed.wait(min(_INTERVAL, deadline - now))
