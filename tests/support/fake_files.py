"""Simulated files and clock for tests of `Debounce`."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

from grpcsecure.watch.debounce import AttemptOutcome, Debounce, DebounceStep

__all__ = ["HINT", "TRIGGER", "FakeFiles", "Try", "Write"]

HINT = "hint"
TRIGGER = "trigger"


@dataclass(frozen=True)
class Write:
    """A write of new contents; `has_event` is false if no event reports it."""

    content: str
    has_event: bool = True


@dataclass(frozen=True)
class Try:
    """A reload that was tried: when, with which contents, and why."""

    at: float
    content: str
    is_last: bool = False
    is_triggered: bool = False


@dataclass
class FakeFiles:
    """Drives `Debounce` as the watcher does, and records the tries.

    Contents in lower case count as an incomplete pair.
    """

    interval: float = 60.0
    settle: float = 0.2
    content: str = "A"
    now: float = 0.0
    checks: int = 0
    tries: list[Try] = field(default_factory=list)

    def run(self, events, until=None):
        """Play `events`, pairs of a time and an action; return the tries."""
        debounce = Debounce(
            self.content, now=self.now, interval=self.interval, settle=self.settle
        )
        ahead = sorted(events, key=lambda event: event[0])
        until = until or 20 + 2 * self.interval + max(
            (at for at, _ in ahead), default=0
        )
        triggered = False
        while True:
            due = max(self.now, debounce.due)
            happens = ahead[0][0] if ahead else inf
            self.now = min(due, happens)
            if self.now > until:
                return self.tries
            if happens <= due:
                action = ahead.pop(0)[1]
                triggered = triggered or action == TRIGGER
                self._play(debounce, action)
            else:
                self._check(debounce, is_triggered=triggered)
                triggered = False
                assert debounce.due > self.now, "it never sleeps"

    def _play(self, debounce, action):
        if isinstance(action, Write):
            self.content = action.content
        if action == TRIGGER:
            debounce.trigger()
        elif action == HINT or action.has_event:
            debounce.hint(self.now)

    def _check(self, debounce, *, is_triggered):
        self.checks += 1
        step = debounce.advance(self.now, self.content)
        if step is DebounceStep.NOTHING:
            return
        is_last = step is DebounceStep.LAST_TRY
        self.tries.append(Try(self.now, self.content, is_last, is_triggered))
        is_complete = self.content.isupper()
        debounce.tried(
            self.now,
            AttemptOutcome.SETTLED if is_complete else AttemptOutcome.INCOMPLETE,
        )
