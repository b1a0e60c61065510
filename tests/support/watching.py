"""A watcher that records its attempts: when, and the contents of the files then."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue

from grpcsecure.watch.debounce import AttemptOutcome
from grpcsecure.watch.digest import digest
from grpcsecure.watch.watcher import AttemptResult, Watcher

__all__ = ["PATIENCE", "Attempt", "RecordingWatcher", "resources"]

PATIENCE = 30

#: Seconds without an attempt after which none is to be expected: longer than any
#: settle time.
_QUIET = 0.4


@dataclass(frozen=True)
class Attempt:
    """An attempt: its time, the contents (None: unreadable), and was it the last."""

    at: float
    contents: dict[str, str | None]
    is_last: bool


class RecordingWatcher:
    """Runs a `Watcher` and records its attempts.

    An attempt succeeds, or has the outcome that `answers` returns for it, also with the
    digest of the files to watch next.
    """

    def __init__(self, watch, *, interval, events, settle=0.2, answers=None):
        self.watch = watch
        self.answers = answers or (lambda attempt: AttemptOutcome.SETTLED)
        self.fallbacks = SimpleQueue()
        self._attempts = SimpleQueue()
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

    def next(self):
        """Return the next attempt; fail if there is none in time."""
        try:
            return self._attempts.get(timeout=PATIENCE)
        except Empty:
            reason = self.watcher.polling_reason
            raise AssertionError(f"no attempt within {PATIENCE} s ({reason})") from None

    def expect_quiet(self, seconds=_QUIET):
        """Fail if there is an attempt."""
        try:
            attempt = self._attempts.get(timeout=seconds)
        except Empty:
            return
        raise AssertionError(f"unexpected attempt: {attempt}")

    def wait_until_ready(self):
        """Return once the watcher sleeps, with its watches in place."""
        self.watcher.trigger()
        self.next()

    def _attempt(self, *, last):
        contents = {str(path): _read(path) for path in digest(self.watch).states}
        attempt = Attempt(time.monotonic(), contents, last)
        self._attempts.put(attempt)
        answer = self.answers(attempt)
        return AttemptResult(*answer if isinstance(answer, tuple) else (answer,))


def _read(path):
    try:
        return path.read_text()
    except OSError:
        return None


def resources():
    """Return how many threads, descriptors and inotify watches the process has."""
    watches = 0
    for descriptor in Path("/proc/self/fdinfo").iterdir():
        watches += (_read(descriptor) or "").count("inotify wd:")
    return threading.active_count(), len(list(Path("/proc/self/fd").iterdir())), watches
