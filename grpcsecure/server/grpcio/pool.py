"""The threads that run the handlers of grpcio's sync servers.

Of a future, grpcio wants to be called when the work is over and nothing else, so there
is less to do for each call here than in a `ThreadPoolExecutor`. Threads are woken one
after the other, the one that became idle last first: all that are awake at a time take
turns at the interpreter, and each turn costs.
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
    """Something to do, which a pool was given."""

    __slots__ = ("_arguments", "_callbacks", "_function", "_is_done")

    def __init__(
        self, function: Callable[..., object], arguments: tuple[object, ...]
    ) -> None:
        self._function = function
        self._arguments = arguments
        self._callbacks: list[Callable[[Work], object]] = []
        self._is_done = False

    def add_done_callback(self, callback: Callable[[Work], object]) -> None:
        """Call `callback` when the work is over, or now if it is."""
        self._callbacks.append(callback)
        if self._is_done:
            self._call_back()

    def run(self) -> None:
        """Do it; whatever it raises ends here."""
        try:
            self._function(*self._arguments)
        except BaseException:
            # grpcio logs exceptions; this is a SystemExit, or grpcio's own.
            _LOGGER.exception("server.handler_failed")
        self.drop()

    def drop(self) -> None:
        """Let it be over, done or not."""
        self._is_done = True
        self._call_back()

    def _call_back(self) -> None:
        # Both of the above may be here at a time: `pop` gives each to one of them.
        while self._callbacks:
            try:
                callback = self._callbacks.pop()
            except IndexError:
                return
            callback(self)


class Pool:
    """At most `size` threads, started when they are needed first.

    Like those of a `ThreadPoolExecutor`, they finish what they do before the
    interpreter ends. Invariant: where work waits and a thread could take it, one is on
    its way; it sends the next one, if there is still work, when it has arrived.
    """

    def __init__(self, size: int, name: str) -> None:
        self._size = size
        self._name = name
        self._lock = threading.Lock()
        self._has_changed = threading.Condition(self._lock)
        self._threads: list[threading.Thread] = []
        #: How many of them have something to do.
        self._busy = 0
        #: What the idle threads sleep on, the one that came last at the end.
        self._idle: list[threading.Lock] = []
        self._waiting: deque[Work] = deque()
        self._is_one_coming = False
        self._is_closed = False
        self._is_left = False
        _POOLS.add(self)

    def submit(self, function: Callable[..., object], /, *arguments: object) -> Work:
        """Have a thread call `function` with `arguments`.

        Raises:
            RuntimeError: the pool is shut down, or the system gives it no thread.
        """
        work = Work(function, arguments)
        self.take(work)
        return work

    def take(self, work: Work) -> None:
        """Have a thread do `work`.

        Raises:
            RuntimeError: as `submit`.
        """
        with self._lock:
            if self._is_closed:
                raise RuntimeError("the pool is shut down")
            if not self._is_one_coming:
                self._send_one()
            self._waiting.append(work)

    def _send_one(self) -> None:
        """Have one more thread look for work, if there is one; the lock is held."""
        if self._idle:
            self._idle.pop().release()
        elif len(self._threads) == self._size or not self._start():
            return
        self._is_one_coming = True

    def _start(self) -> bool:
        thread = threading.Thread(
            target=self._run,
            name=f"{self._name}_{len(self._threads)}",
            daemon=True,  # waited for at the end, but idle ones are not
        )
        try:
            thread.start()
        except RuntimeError:  # the system's limit: those that are there get to it
            if not self._threads:
                raise
            return False
        self._threads.append(thread)
        return True

    def _run(self) -> None:
        bed = threading.Lock()
        bed.acquire()
        is_new = True
        work = None
        while True:
            with self._lock:
                if is_new:
                    self._is_one_coming = is_new = False
                if work is not None:
                    self._busy -= 1
                    work = None
                if self._waiting:
                    work = self._waiting.popleft()
                    self._busy += 1
                    if self._waiting and not self._is_one_coming:
                        self._send_one()
                elif self._is_closed:
                    self._has_changed.notify_all()
                    return
                else:
                    self._idle.append(bed)
            if work is not None:
                work.run()
            else:
                bed.acquire()
                is_new = True

    def shutdown(self) -> None:
        """Take no more work; what was taken is done. Does not wait, harmless twice."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for bed in idle:
            bed.release()

    def wait(self, seconds: float, *, at_least: float = 0.0) -> bool:
        """Wait until the work of a pool that was shut down is done.

        Returns whether it is; `leave`, from another thread, ends the wait, but not
        before `at_least` seconds.
        """
        with self._has_changed:
            self._has_changed.wait_for(self._is_done, at_least)
            self._has_changed.wait_for(
                lambda: self._is_left or self._is_done(), max(0.0, seconds - at_least)
            )
            return self._is_done()

    def _is_done(self) -> bool:
        return not (self._busy or self._waiting)

    def cancel_wait(self) -> None:
        """Have nobody `wait` any more, now or later."""
        with self._has_changed:
            self._is_left = True
            self._has_changed.notify_all()

    def join(self) -> None:
        """Wait until the threads of a pool that was shut down have ended."""
        for thread in self._threads:
            thread.join()


def _finish() -> None:
    """Let running handlers finish before the interpreter takes things away."""
    pools = [*_POOLS]
    for pool in pools:
        pool.shutdown()
    for pool in pools:
        pool.join()


atexit.register(_finish)
