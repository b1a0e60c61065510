"""Debouncing: decides when to try a reload.

Does no I/O: the caller passes in the time and the digest of the files. An event only
hints at a change; a different digest proves it. Invariants: a reload is tried only if
the digest differs or `trigger` was called; the same contents are not tried twice; two
tries for changes are at least one settle time apart.
"""

from __future__ import annotations

from enum import Enum, auto

__all__ = [
    "INCOMPLETE_FOR",
    "POSTPONED_FOR",
    "SETTLE",
    "SETTLE_AT_MOST",
    "AttemptOutcome",
    "Debounce",
    "DebounceStep",
]

#: Seconds without a further change after which a change counts as complete, and the
#: seconds after which a reload is tried even though the files keep changing.
SETTLE = 0.2
SETTLE_AT_MOST = 1.0

#: Seconds to wait for the other file of a key and certificate pair.
INCOMPLETE_FOR = 5.0

#: Seconds until files are checked again that cannot be read for lack of descriptors.
POSTPONED_FOR = 1.0


class AttemptOutcome(Enum):
    """The result of a try.

    Final, a key and a certificate do not match yet, or the files cannot be read now.
    """

    SETTLED = auto()
    INCOMPLETE = auto()
    POSTPONED = auto()


class DebounceStep(Enum):
    """The next step after a check; after `LAST_TRY` an incomplete pair is final."""

    NOTHING = auto()
    TRY = auto()
    LAST_TRY = auto()


class Debounce:
    """Decides when to check the files, and when to try a reload.

    Used by one thread, which calls `advance` when a check is `due`, and `tried` after
    each try that `advance` asked for.

    Args:
        seen: the contents in force, a value of any type that supports `==`.
        now: seconds of a monotonic clock; the same clock for all methods.
        interval: seconds within which a change is tried that no event hinted at.
        settle: see `SETTLE`.
    """

    def __init__(
        self, seen: object, *, now: float, interval: float, settle: float = SETTLE
    ) -> None:
        self._pause = max(interval - settle, settle / 2)
        self._settle = settle
        self._settle_at_most = max(SETTLE_AT_MOST, settle)
        self._tried = seen
        self._content = seen
        self._since = now
        self._first: float | None = None
        self._checked = now - self._pause
        self._hinted: float | None = None
        self._triggered = False
        self._step = DebounceStep.NOTHING
        self._final_at: float | None = None
        self._not_before = now

    @property
    def due(self) -> float:
        """The time of the next check. The first one is due immediately."""
        return max(self._due, self._not_before)

    @property
    def _due(self) -> float:
        if self._triggered:
            return self._checked
        due = self._checked + self._pause
        if self._hinted is not None:
            # Check immediately after the first hint; if many follow each other, twice
            # per settle time.
            due = min(due, max(self._hinted, self._checked + self._settle / 2))
        if self._first is not None:
            due = min(due, self._settled_at(self._first))
        if self._final_at is not None:
            # The other file may appear on a file system without events.
            due = min(due, self._final_at, self._checked + self._settle)
        return due

    def hint(self, now: float) -> None:
        """Note an event at time `now`: the files may have changed."""
        self._hinted = now

    def trigger(self) -> None:
        """Make a check due now, and make it lead to a try even without a change."""
        self._triggered = True

    def postpone(self, now: float) -> None:
        """Check again later: the contents could not be read.

        A hint or a trigger is not lost, and neither is the step of the last check.
        """
        self._not_before = now + POSTPONED_FOR

    def advance(self, now: float, content: object) -> DebounceStep:
        """Return the next step, given the contents that were read after time `now`."""
        if content != self._content:
            # The change came after the previous check; if there were hints, the last
            # of them is the time of it.
            self._since = now if self._hinted is None else self._hinted
            self._content = content
        self._checked = now
        self._hinted = None
        self._step = self._next_step(now)
        return self._step

    def tried(self, now: float, outcome: AttemptOutcome) -> None:
        """Note the outcome of trying the contents of the last check."""
        self._tried = self._content
        self._first = None
        self._triggered = False
        if outcome is AttemptOutcome.SETTLED or self._step is DebounceStep.LAST_TRY:
            self._final_at = None
        elif self._final_at is None:
            self._final_at = now + INCOMPLETE_FOR

    def replace(self, now: float, seen: object) -> None:
        """Switch to another set of files, whose contents `seen` were tried already."""
        self._tried = self._content = seen
        self._first = None
        self._hinted = now

    def _next_step(self, now: float) -> DebounceStep:
        if self._final_at is not None and now >= self._final_at:
            return DebounceStep.LAST_TRY
        if self._triggered:
            return DebounceStep.TRY
        if self._content == self._tried:
            self._first = None
            return DebounceStep.NOTHING
        if self._first is None:
            self._first = self._since
        return (
            DebounceStep.TRY
            if now >= self._settled_at(self._first)
            else DebounceStep.NOTHING
        )

    def _settled_at(self, first: float) -> float:
        return min(self._since + self._settle, first + self._settle_at_most)
