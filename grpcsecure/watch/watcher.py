"""The watcher thread: checks the files after an event, and once per interval.

Combines events, digests and `Debounce`; knows nothing of what a reload does. Invariant:
no error while watching or trying ends the thread; it goes on polling.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, NamedTuple, Protocol

from grpcsecure.descriptor_reserve import RESERVE
from grpcsecure.watch.debounce import SETTLE, AttemptOutcome, Debounce, DebounceStep
from grpcsecure.watch.digest import digest
from grpcsecure.watch.directories import directories

if TYPE_CHECKING:
    from collections.abc import Callable

    from grpcsecure.watch.digest import Digest
    from grpcsecure.watch.events import DirectoryEvents

__all__ = ["AttemptResult", "ReloadAttempt", "Watcher"]

_LOGGER = logging.getLogger("grpcsecure.reload")

#: How often the directories to watch are determined again if links change meanwhile.
_MAX_PLANS = 3

#: Seconds that `stop` waits for a running attempt.
_STOP_TIMEOUT = 5.0

#: Descriptors for the modules of watchdog, and for its first ones of inotify.
_FOR_EVENTS = 8

#: The reason why files cannot be read now.
_SHORTAGE = os.strerror(errno.EMFILE).lower()


class AttemptResult(NamedTuple):
    """The outcome of an attempt, and which files to watch next.

    `watch` is the digest of files that a changed config names, taken before they were
    read: on success of those, on failure of both the old and the new ones
    (`WatchSet.joined`), because a fix of either is to be tried. None: the same files.
    """

    outcome: AttemptOutcome
    watch: Digest | None = None


class ReloadAttempt(Protocol):
    """Tries a reload: reads the files and applies them."""

    def __call__(self, *, last: bool) -> AttemptResult:
        """Try a reload, on the watcher's thread.

        Args:
            last: whether to reject an incomplete pair instead of waiting for the rest.
        """


class Watcher:
    """Calls `attempt` once for each change of the files in the digest `seen`.

    Methods may be called from any thread, `trigger` also from a signal handler.

    Args:
        seen: `digest` of the files in force, taken before they were read.
        attempt: tries a reload.
        interval: seconds within which a change is found if no event reports it.
        events: whether to use events, or polling only.
        settle: seconds without a further change after which a reload is tried.
        on_polling: called on the watcher's thread, at most once, if events turn out
            to be unavailable; its argument is the reason, one line.
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
        # `SimpleQueue.put` is reentrant, so a signal handler may call it. It only wakes
        # the thread: the requests are in the attributes below, which other threads set
        # and the watcher thread resets.
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._hinted_at: float | None = None
        self._triggered = False
        self._stopping = False
        self._is_postponed = False
        self._thread = threading.Thread(
            target=self._run, name="grpcsecure-reload", daemon=True
        )

    @property
    def polling_reason(self) -> str | None:
        """Why some or all changes are found by polling only; None if events work."""
        return self._polling_reason

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start watching; a change since `seen` is found immediately."""
        self._thread.start()

    def stop(self) -> bool:
        """Stop watching; return False if an attempt still runs after some seconds.

        No further attempt is made. May be called by an attempt, and before `start`.
        """
        self._stopping = True
        self._wake.put(None)
        if self._thread is threading.current_thread() or self._thread.ident is None:
            return True
        self._thread.join(_STOP_TIMEOUT)
        return not self._thread.is_alive()

    def trigger(self) -> None:
        """Request an attempt now, whether or not the files have changed."""
        self._triggered = True
        self._wake.put(None)

    def _hint(self) -> None:
        self._hinted_at = time.monotonic()
        if self._wake.empty():  # many events need only one wake-up
            self._wake.put(None)

    def _run(self) -> None:
        # Here and not in `start`, which must return at once: importing watchdog takes
        # a while.
        if self._polling_reason is None:
            self._open_events()
        try:
            while not self._stopping:
                self._take_requests()
                now = time.monotonic()
                if now >= self._debounce.due:
                    self._check(now)
                else:
                    self._sleep(self._debounce.due - now)
        finally:
            self._close_events()

    def _take_requests(self) -> None:
        hinted_at, self._hinted_at = self._hinted_at, None
        if hinted_at is not None:
            self._debounce.hint(hinted_at)
        if self._triggered:
            self._triggered = False
            self._debounce.trigger()

    def _sleep(self, seconds: float) -> None:
        with suppress(Empty):
            self._wake.get(timeout=seconds)
            while True:
                self._wake.get_nowait()

    def _check(self, now: float) -> None:
        # Watch first, then read: a later change then causes an event.
        shortages = RESERVE.shortages
        self._watch_directories()
        seen = digest(self._watch)
        if RESERVE.shortages != shortages:
            # Files that cannot be read now are not known to have changed.
            self._postpone(now)
            return
        step = self._debounce.advance(now, seen)
        if step is DebounceStep.NOTHING or self._stopping:
            self._is_postponed = False
            return
        result = AttemptResult(AttemptOutcome.SETTLED)
        try:
            result = self._attempt(last=step is DebounceStep.LAST_TRY)
        except Exception:
            _LOGGER.exception("reload.crashed")
        if result.outcome is AttemptOutcome.POSTPONED:
            self._postpone(time.monotonic())
            return
        self._is_postponed = False
        self._debounce.tried(time.monotonic(), result.outcome)
        if result.watch is not None:
            self._watch = result.watch.watch
            self._debounce.replace(time.monotonic(), result.watch)

    def _postpone(self, now: float) -> None:
        """Check again in a while; log that, once."""
        self._debounce.postpone(now)
        if not self._is_postponed:
            self._is_postponed = True
            with suppress(Exception):  # a filter or handler of the program's logging
                _LOGGER.error("reload.postponed", extra={"reason": _SHORTAGE})

    def _open_events(self) -> None:
        try:
            # Not by repeated attempts: watchdog loses a descriptor in each that fails.
            with RESERVE.lent(_FOR_EVENTS):
                self._events = self._make_events()
        except Exception as error:  # noqa: BLE001 - polling works without any events
            self._fall_back(error)

    def _make_events(self) -> DirectoryEvents:
        from grpcsecure.watch.events import DirectoryEvents

        return DirectoryEvents(self._hint)

    def _watch_directories(self) -> None:
        if self._events is None:
            return
        shortages = RESERVE.shortages
        try:
            for _ in range(_MAX_PLANS):
                wanted = directories(self._watch)
                if RESERVE.shortages != shortages:
                    return  # some are missing; the others must stay watched
                if not self._events.watch(wanted):
                    break
        except Exception as error:  # noqa: BLE001 - polling works without any events
            self._fall_back(error)
            return
        if self._polling_reason is None and (reason := self._events.polling_reason()):
            self._report_polling(reason)

    def _fall_back(self, error: Exception) -> None:
        """Poll from now on: a scarce resource is not requested a second time."""
        self._close_events()
        if self._polling_reason is None:
            self._report_polling(getattr(error, "strerror", None) or str(error))

    def _close_events(self) -> None:
        events, self._events = self._events, None
        if events is not None:
            with suppress(Exception):
                events.stop()

    def _report_polling(self, reason: str) -> None:
        self._polling_reason = reason
        if self._on_polling is not None:
            try:
                self._on_polling(reason)
            except Exception:
                _LOGGER.exception("reload.polling_untold", extra={"reason": reason})
