"""Decides whether and when a bridge that has ended is started again. Has no clock."""

from __future__ import annotations

__all__ = ["RestartBackoff"]

#: Seconds before each restart; after the last one the supervisor gives up. A bridge
#: that served for `_STABLE` seconds resets the count.
_BACKOFF = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 5.0)
_STABLE = 60.0


class RestartBackoff:
    """Counts bridges that ended soon after their start."""

    def __init__(self) -> None:
        self._failures = 0

    def next_pause(self, lasted: float) -> float | None:
        """Return the seconds before the next restart; None: no more restarts.

        Args:
            lasted: seconds that the bridge served before it ended.
        """
        if lasted >= _STABLE:
            self._failures = 0
        if self._failures >= len(_BACKOFF):
            return None
        self._failures += 1
        return _BACKOFF[self._failures - 1]
