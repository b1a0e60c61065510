"""When to try a reload: pure, the clock and what was read are passed in.

Events are hints, differing contents the truth. Invariants: without a difference nothing
is tried, unless somebody asks for it; what was tried once is not tried again; two tries
for changes are at least one settle time apart.
"""

from __future__ import annotations

from enum import Enum, auto

__all__ = [
    "INCOMPLETE_FOR",
    "SETTLE",
    "SETTLE_AT_MOST",
    "AttemptOutcome",
    "Debounce",
    "DebounceStep",
]

#: Seconds without a further change after which one has settled; and after how many a
#: reload is tried while changes go on and on.
SETTLE = 0.2
SETTLE_AT_MOST = 1.0

#: Seconds that the other half of a pair gets to appear.
INCOMPLETE_FOR = 5.0


class AttemptOutcome(Enum):
    """What a try came to: a final answer, or a key and certificate not yet a pair."""

    SETTLED = auto()
    INCOMPLETE = auto()


class DebounceStep(Enum):
    """What to do after a look; after `LAST_TRY` an incomplete pair is final."""

    NOTHING = auto()
    TRY = auto()
    LAST_TRY = auto()


class Debounce:
    """Decides when to look at the files, and when to try a reload.

    Driven by one thread: `look` when it is `due`, `tried` when that said to try.

    Args:
        seen: the contents in force; contents of any kind are compared with `==`.
        now: seconds of a monotonic clock, here and everywhere.
        interval: seconds within which a change is tried that nothing hints at.
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
        self._looked = now - self._pause
        self._hinted: float | None = None
        self._poked = False
        self._step = DebounceStep.NOTHING
        self._final_at: float | None = None

    @property
    def due(self) -> float:
        """When to look next; at first, at once."""
        if self._poked:
            return self._looked
        due = self._looked + self._pause
        if self._hinted is not None:
            # The first hint gets a look at once, a storm of them two per settle time.
            due = min(due, max(self._hinted, self._looked + self._settle / 2))
        if self._first is not None:
            due = min(due, self._settled_at(self._first))
        if self._final_at is not None:
            # The other half may come where no events do.
            due = min(due, self._final_at, self._looked + self._settle)
        return due

    def hint(self, now: float) -> None:
        """Something happened near the files."""
        self._hinted = now

    def trigger(self) -> None:
        """Have the next look, which is due now, lead to a try in any case."""
        self._poked = True

    def advance(self, now: float, content: object) -> DebounceStep:
        """Take what the files hold, read after `now`, and say what to do."""
        if content != self._content:
            # It changed after the look before this one, and then the hints say when.
            self._since = now if self._hinted is None else self._hinted
            self._content = content
        self._looked = now
        self._hinted = None
        self._step = self._next_step(now)
        return self._step

    def tried(self, now: float, outcome: AttemptOutcome) -> None:
        """Take what came of trying the contents of the last look."""
        self._tried = self._content
        self._first = None
        self._poked = False
        if outcome is AttemptOutcome.SETTLED or self._step is DebounceStep.LAST_TRY:
            self._final_at = None
        elif self._final_at is None:
            self._final_at = now + INCOMPLETE_FOR

    def replace(self, now: float, seen: object) -> None:
        """Go on with other files, whose contents were `seen` and then tried."""
        self._tried = self._content = seen
        self._first = None
        self._hinted = now

    def _next_step(self, now: float) -> DebounceStep:
        if self._final_at is not None and now >= self._final_at:
            return DebounceStep.LAST_TRY
        if self._poked:
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
