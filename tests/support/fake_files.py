"""A life of some files against a clock that costs no time, for `Debounce`."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

from grpcsecure.watch.debounce import AttemptOutcome, Debounce, DebounceStep

__all__ = ["HINT", "POKE", "FakeFiles", "Try", "Write"]

HINT = "hint"
POKE = "poke"


@dataclass(frozen=True)
class Write:
    """The files hold other contents; `is_heard` says whether there is an event."""

    content: str
    is_heard: bool = True


@dataclass(frozen=True)
class Try:
    """A reload that was tried: when, on which contents, and why."""

    at: float
    content: str
    is_last: bool = False
    is_poked: bool = False


@dataclass
class FakeFiles:
    """Does to `Debounce` what the watcher does, and keeps what it tries.

    Contents in lower case are incomplete.
    """

    interval: float = 60.0
    settle: float = 0.2
    content: str = "A"
    now: float = 0.0
    looks: int = 0
    tries: list[Try] = field(default_factory=list)

    def live(self, events, until=None):
        """Let `events` happen, pairs of a time and what; return what was tried."""
        debounce = Debounce(
            self.content, now=self.now, interval=self.interval, settle=self.settle
        )
        ahead = sorted(events, key=lambda event: event[0])
        until = until or 20 + 2 * self.interval + max(
            (at for at, _ in ahead), default=0
        )
        poked = False
        while True:
            due = max(self.now, debounce.due)
            happens = ahead[0][0] if ahead else inf
            self.now = min(due, happens)
            if self.now > until:
                return self.tries
            if happens <= due:
                what = ahead.pop(0)[1]
                poked = poked or what == POKE
                self._happen(debounce, what)
            else:
                self._look(debounce, is_poked=poked)
                poked = False
                assert debounce.due > self.now, "it never sleeps"

    def _happen(self, debounce, what):
        if isinstance(what, Write):
            self.content = what.content
        if what == POKE:
            debounce.trigger()
        elif what == HINT or what.is_heard:
            debounce.hint(self.now)

    def _look(self, debounce, *, is_poked):
        self.looks += 1
        step = debounce.advance(self.now, self.content)
        if step is DebounceStep.NOTHING:
            return
        is_last = step is DebounceStep.LAST_TRY
        self.tries.append(Try(self.now, self.content, is_last, is_poked))
        is_complete = self.content.isupper()
        debounce.tried(
            self.now,
            AttemptOutcome.SETTLED if is_complete else AttemptOutcome.INCOMPLETE,
        )
