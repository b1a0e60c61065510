"""The thread that watches: looks when something hints at a change, and every interval.

Joins events, digests and `Debounce`; what a reload is, it does not know. Invariant:
whatever goes wrong while watching or trying, the thread lives and goes on polling.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Protocol

from grpcsecure.watch.debounce import SETTLE, AttemptOutcome, Debounce, DebounceStep
from grpcsecure.watch.digest import digest
from grpcsecure.watch.directories import directories

if TYPE_CHECKING:
    from collections.abc import Callable

    from grpcsecure.watch.digest import Digest
    from grpcsecure.watch.events import DirectoryEvents

__all__ = ["ReloadAttempt", "Watcher"]

_LOGGER = logging.getLogger("grpcsecure.reload")

#: How often watches are planned anew when each plan finds the links changed again.
_MAX_PLANS = 3

#: Seconds that `stop` waits for an attempt that is running.
_STOP_TIMEOUT = 5.0


class ReloadAttempt(Protocol):
    """Reads the files and puts them in force, or not; may call `Watcher.replace`."""

    def __call__(self, *, last: bool) -> AttemptOutcome:
        """Try, on the watcher's thread.

        Args:
            last: what is incomplete now is not waited for any longer: it is rejected.
        """


class Watcher:
    """Calls `attempt` once for each change of the files that `seen` is a digest of.

    Methods may be called from any thread, `poke` from a signal handler too.

    Args:
        seen: `digest` of the files in force, taken before they were read.
        attempt: tries a reload.
        interval: seconds within which a change is found that no event tells of.
        events: whether to use events, or polling only.
        settle: seconds without a further change after which a reload is tried.
        on_polling: is told, on the watcher's thread, why there are no events after
            all: one line. At most once.
    """

    def __init__(  # noqa: PLR0913 - most are settings, and named
        self,
        seen: Digest,
        attempt: ReloadAttempt,
        *,
        interval: float,
        events: bool,
        settle: float = SETTLE,
        on_polling: Callable[[str], None] | None = None,
    ) -> None:
        self._attempt = attempt
        self._on_polling = on_polling
        self._watch = seen.watch
        self._debounce = Debounce(
            seen, now=time.monotonic(), interval=interval, settle=settle
        )
        self._polling_reason = None if events else "events are off"
        self._events: DirectoryEvents | None = None
        # A SimpleQueue may be filled from a signal handler: its put is reentrant. The
        # news is in these attributes, each written by others and taken by the thread.
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._hinted_at: float | None = None
        self._poked = False
        self._replacement: Digest | None = None
        self._stopping = False
        self._thread = threading.Thread(
            target=self._run, name="grpcsecure-reload", daemon=True
        )

    @property
    def polling_reason(self) -> str | None:
        """Why changes are found by polling only, all or some; None: events tell."""
        return self._polling_reason

    def start(self) -> None:
        """Start watching; a change since `seen` is found at once."""
        self._thread.start()

    def stop(self) -> bool:
        """Watch no longer; return False if an attempt still runs after some seconds.

        No further attempt is made. May be called by an attempt, and before `start`.
        """
        self._stopping = True
        self._wake.put(None)
        if self._thread is threading.current_thread() or self._thread.ident is None:
            return True
        self._thread.join(_STOP_TIMEOUT)
        return not self._thread.is_alive()

    def trigger(self) -> None:
        """Have an attempt made now, changed or not."""
        self._poked = True
        self._wake.put(None)

    def replace(self, seen: Digest) -> None:
        """Watch the files of another digest from now on, taken before they were read.

        Called by an attempt whose config names other files: on success with those, on
        failure with both (`WatchSet.joined`), as mending either is worth an attempt.
        """
        self._replacement = seen
        self._wake.put(None)

    def _hint(self) -> None:
        self._hinted_at = time.monotonic()
        if self._wake.empty():  # a storm of events needs one awakening
            self._wake.put(None)

    def _run(self) -> None:
        # Not before it runs: watchdog takes a while to import, and `start` none.
        if self._polling_reason is None:
            self._open_events()
        try:
            while not self._stopping:
                self._take_news()
                now = time.monotonic()
                if now >= self._debounce.due:
                    self._check(now)
                else:
                    self._sleep(self._debounce.due - now)
        finally:
            self._close_events()

    def _take_news(self) -> None:
        hinted_at, self._hinted_at = self._hinted_at, None
        if hinted_at is not None:
            self._debounce.hint(hinted_at)
        if self._poked:
            self._poked = False
            self._debounce.trigger()
        replacement, self._replacement = self._replacement, None
        if replacement is not None:
            self._watch = replacement.watch
            self._debounce.replace(time.monotonic(), replacement)

    def _sleep(self, seconds: float) -> None:
        with suppress(Empty):
            self._wake.get(timeout=seconds)
            while True:
                self._wake.get_nowait()

    def _check(self, now: float) -> None:
        # Watch first, then read: what changes after that is heard.
        self._plan()
        step = self._debounce.advance(now, digest(self._watch))
        if step is DebounceStep.NOTHING or self._stopping:
            return
        outcome = AttemptOutcome.SETTLED
        try:
            outcome = self._attempt(last=step is DebounceStep.LAST_TRY)
        except Exception:
            _LOGGER.exception("reload.crashed")
        self._debounce.tried(time.monotonic(), outcome)

    def _open_events(self) -> None:
        try:
            from grpcsecure.watch.events import DirectoryEvents

            self._events = DirectoryEvents(self._hint)
        except Exception as error:  # noqa: BLE001 - no failure of events is one of ours
            self._fall_back(error)

    def _plan(self) -> None:
        if self._events is None:
            return
        try:
            for _ in range(_MAX_PLANS):
                if not self._events.watch(directories(self._watch)):
                    break
        except Exception as error:  # noqa: BLE001 - no failure of events is one of ours
            self._fall_back(error)
            return
        if self._polling_reason is None and (reason := self._events.unheard()):
            self._log(reason)

    def _fall_back(self, error: Exception) -> None:
        """Do without events for good: what is short is better not asked for again."""
        self._close_events()
        if self._polling_reason is None:
            self._log(getattr(error, "strerror", None) or str(error))

    def _close_events(self) -> None:
        events, self._events = self._events, None
        if events is not None:
            with suppress(Exception):
                events.stop()

    def _log(self, reason: str) -> None:
        self._polling_reason = reason
        if self._on_polling is not None:
            try:
                self._on_polling(reason)
            except Exception:
                _LOGGER.exception("reload.polling_untold", extra={"reason": reason})
