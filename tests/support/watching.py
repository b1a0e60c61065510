"""A watcher that is watched: what it tries, when, and what the files held then."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue

from grpcsecure.watch.debounce import AttemptOutcome
from grpcsecure.watch.digest import digest
from grpcsecure.watch.watcher import Watcher

__all__ = ["PATIENCE", "Seen", "Witness", "resources"]

PATIENCE = 20

#: Longer than any settle time: what has not come by then does not come.
_QUIET = 0.4


@dataclass(frozen=True)
class Seen:
    """An attempt: its moment, the contents (None: unreadable), and was it the last."""

    at: float
    contents: dict[str, str | None]
    is_last: bool


class Witness:
    """Tries every reload with success, or with what `answers` says."""

    def __init__(self, watch, *, interval, events, settle=0.2, answers=None):
        self.watch = watch
        self.answers = answers or (lambda seen: AttemptOutcome.SETTLED)
        self.fallbacks = SimpleQueue()
        self._seen = SimpleQueue()
        self.watcher = Watcher(
            digest(watch),
            self._attempt,
            interval=interval,
            events=events,
            settle=settle,
            on_polling=self.fallbacks.put,
        )

    def __enter__(self):
        self.watcher.start()
        return self

    def __exit__(self, *_):
        assert self.watcher.stop()

    def next(self, within=PATIENCE):
        """Return the next attempt, which comes in time."""
        try:
            return self._seen.get(timeout=within)
        except Empty:
            raise AssertionError(f"no attempt within {within} s") from None

    def expect_quiet(self, seconds=_QUIET):
        """Fail when anything is tried."""
        try:
            seen = self._seen.get(timeout=seconds)
        except Empty:
            return
        raise AssertionError(f"tried without need: {seen}")

    def wait_until_armed(self):
        """Return once the watcher sleeps, with its watches in place."""
        self.watcher.trigger()
        self.next()

    def _attempt(self, *, last):
        contents = {str(path): _read(path) for path in digest(self.watch).states}
        seen = Seen(time.monotonic(), contents, last)
        self._seen.put(seen)
        return self.answers(seen)


def _read(path):
    try:
        return path.read_text()
    except OSError:
        return None


def resources():
    """Return how many threads, descriptors and inotify watches this process has."""
    watches = 0
    for descriptor in Path("/proc/self/fdinfo").iterdir():
        watches += (_read(descriptor) or "").count("inotify wd:")
    return threading.active_count(), len(list(Path("/proc/self/fd").iterdir())), watches
