"""The threads that run the handlers of grpcio's sync servers.

Of a future, grpcio wants to be called when the work is over and nothing else, so there
is less to do for each call here than in a `ThreadPoolExecutor`. Work goes to the thread
that became idle last, so that no more of them than needed take turns.
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
            # grpcio answers for exceptions; this is a SystemExit, or grpcio's own.
            _LOGGER.exception("server.handler_failed")
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


class _Sleeper:
    """What a thread sleeps on, and what it finds when it wakes; None ends it."""

    __slots__ = ("wake", "work")

    def __init__(self, work: Work) -> None:
        self.work: Work | None = work
        self.wake = threading.Lock()
        self.wake.acquire()


class Pool:
    """At most `size` threads, started when they are needed first.

    Like those of a `ThreadPoolExecutor`, they finish what they do before the
    interpreter ends.
    """

    def __init__(self, size: int, name: str) -> None:
        self._size = size
        self._name = name
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._idle: list[_Sleeper] = []
        self._waiting: deque[Work] = deque()
        self._is_closed = False
        _POOLS.add(self)

    def submit(self, function: Callable[..., object], /, *arguments: object) -> Work:
        """Have a thread call `function` with `arguments`.

        Raises:
            RuntimeError: the pool is shut down.
        """
        work = Work(function, arguments)
        with self._lock:
            if self._is_closed:
                raise RuntimeError("the pool is shut down")
            if self._idle:
                sleeper = self._idle.pop()
                sleeper.work = work
                sleeper.wake.release()
            elif len(self._threads) == self._size:
                self._waiting.append(work)
            else:
                self._start(work)
        return work

    def _start(self, work: Work) -> None:
        thread = threading.Thread(
            target=self._run,
            args=(_Sleeper(work),),
            name=f"{self._name}_{len(self._threads)}",
            daemon=True,  # waited for at the end, but idle ones are not
        )
        thread.start()
        self._threads.append(thread)

    def _run(self, sleeper: _Sleeper) -> None:
        while (work := sleeper.work) is not None:
            work.run()
            # What it holds on to is free while this thread sleeps.
            work = sleeper.work = None
            with self._lock:
                if self._waiting:
                    sleeper.work = self._waiting.popleft()
                    continue
                if self._is_closed:
                    return
                self._idle.append(sleeper)
            sleeper.wake.acquire()

    def shutdown(self) -> None:
        """Take no more work; what was taken is done. Does not wait, harmless twice."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for sleeper in idle:
            sleeper.wake.release()

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
