"""The thread pool that runs the handlers of grpcio's sync servers.

Of a future, grpcio only uses the done callback, so there is less to do for each call
here than in a `ThreadPoolExecutor`. Threads are woken one after the other, the one that
became idle last first: all threads that are awake compete for the interpreter lock, and
each switch costs time.
"""

from __future__ import annotations

import atexit
import logging
import threading
from collections import deque
from typing import TYPE_CHECKING
from weakref import WeakSet

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Pool", "Work"]

_LOGGER = logging.getLogger("grpcsecure.server")

_POOLS: WeakSet[Pool] = WeakSet()


class Work:
    """A function call for a pool to run, with callbacks for its end."""

    __slots__ = ("_arguments", "_callbacks", "_function", "_is_done")

    def __init__(
        self, function: Callable[..., object], arguments: tuple[object, ...]
    ) -> None:
        self._function = function
        self._arguments = arguments
        self._callbacks: list[Callable[[Work], object]] = []
        self._is_done = False

    def add_done_callback(self, callback: Callable[[Work], object]) -> None:
        """Call `callback` when the work is over, or now if it is over already."""
        self._callbacks.append(callback)
        if self._is_done:
            self._call_back()

    def run(self) -> None:
        """Call the function; log an exception instead of raising it."""
        try:
            self._function(*self._arguments)
        except BaseException:
            # grpcio logs exceptions of handlers; this is a SystemExit or similar, or an
            # exception of grpcio itself.
            _LOGGER.exception("server.handler_failed")
        self.drop()

    def drop(self) -> None:
        """Mark the work as over, whether it was run or not."""
        self._is_done = True
        self._call_back()

    def _call_back(self) -> None:
        # Two threads may be here at the same time: `pop` gives each callback to one.
        while self._callbacks:
            try:
                callback = self._callbacks.pop()
            except IndexError:
                return
            callback(self)


class Pool:
    """A pool of at most `size` threads, started when they are first needed.

    As with a `ThreadPoolExecutor`, running work finishes before the interpreter exits.
    Invariant: if work waits and a thread is available, one thread has been woken or
    started. When that thread runs, it wakes the next one if there is still work.
    """

    def __init__(self, size: int, name: str) -> None:
        self._size = size
        self._name = name
        self._lock = threading.Lock()
        self._has_changed = threading.Condition(self._lock)
        self._threads: list[threading.Thread] = []
        #: The number of threads that run work.
        self._busy = 0
        #: One lock per idle thread, on which it sleeps; the latest is the last.
        self._idle: list[threading.Lock] = []
        self._waiting: deque[Work] = deque()
        #: Whether a thread was woken or started that does not run yet.
        self._is_waking = False
        self._is_closed = False
        self._is_wait_cancelled = False
        _POOLS.add(self)

    def submit(self, function: Callable[..., object], /, *arguments: object) -> Work:
        """Call `function` with `arguments` on a thread of the pool.

        Raises:
            RuntimeError: the pool is shut down, or the system has no thread left.
        """
        work = Work(function, arguments)
        self.take(work)
        return work

    def take(self, work: Work) -> None:
        """Run `work` on a thread of the pool.

        Raises:
            RuntimeError: as `submit`.
        """
        with self._lock:
            if self._is_closed:
                raise RuntimeError("the pool is shut down")
            if not self._is_waking:
                self._wake_one()
            self._waiting.append(work)

    def _wake_one(self) -> None:
        """Wake or start one more thread, if possible; the caller holds the lock."""
        if self._idle:
            self._idle.pop().release()
        elif len(self._threads) == self._size or not self._start():
            return
        self._is_waking = True

    def _start(self) -> bool:
        thread = threading.Thread(
            target=self._run,
            name=f"{self._name}_{len(self._threads)}",
            daemon=True,  # so that idle threads do not delay the exit; see `_finish`
        )
        try:
            thread.start()
        except RuntimeError:  # the system's limit: the existing threads do the work
            if not self._threads:
                raise
            return False
        self._threads.append(thread)
        return True

    def _run(self) -> None:
        sleep = threading.Lock()
        sleep.acquire()
        is_new = True
        work = None
        while True:
            with self._lock:
                if is_new:
                    self._is_waking = is_new = False
                if work is not None:
                    self._busy -= 1
                    work = None
                if self._waiting:
                    work = self._waiting.popleft()
                    self._busy += 1
                    if self._waiting and not self._is_waking:
                        self._wake_one()
                elif self._is_closed:
                    self._has_changed.notify_all()
                    return
                else:
                    self._idle.append(sleep)
            if work is not None:
                work.run()
            else:
                sleep.acquire()
                is_new = True

    def shutdown(self) -> None:
        """Take no more work; finish accepted work. Returns at once; callable twice."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for sleep in idle:
            sleep.release()

    def wait(self, seconds: float, *, at_least: float = 0.0) -> bool:
        """Wait until the work of a pool that was shut down is done.

        Returns whether it is. `cancel_wait`, from another thread, ends the wait, but
        not before `at_least` seconds.
        """
        with self._has_changed:
            self._has_changed.wait_for(self._is_done, at_least)
            self._has_changed.wait_for(
                lambda: self._is_wait_cancelled or self._is_done(),
                max(0.0, seconds - at_least),
            )
            return self._is_done()

    def _is_done(self) -> bool:
        return not (self._busy or self._waiting)

    def cancel_wait(self) -> None:
        """End every `wait`, running ones and later ones."""
        with self._has_changed:
            self._is_wait_cancelled = True
            self._has_changed.notify_all()

    def join(self) -> None:
        """Wait until the threads of a pool that was shut down have ended."""
        for thread in self._threads:
            thread.join()


def _finish() -> None:
    """Wait for running handlers before the interpreter shuts down."""
    pools = [*_POOLS]
    for pool in pools:
        pool.shutdown()
    for pool in pools:
        pool.join()


atexit.register(_finish)
