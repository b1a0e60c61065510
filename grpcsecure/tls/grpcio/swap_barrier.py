"""Barrier for swapping dynamic server credentials (works around grpc/grpc#36693).

A swap of credentials can end the process. gRPC asks for new credentials before each
handshake, one thread at a time. The thread that is to swap them waits here until all
threads that asked before have passed the code in which a swap would be dangerous. Can
go when that issue is fixed in the oldest grpcio that pyproject.toml allows.
"""

from __future__ import annotations

import time
from pathlib import Path
from threading import get_native_id

__all__ = ["SwapBarrier"]

_TASKS = Path("/proc/self/task")

#: Nanoseconds of CPU time after which a thread has passed: the dangerous code needs
#: 50,000, and the kernel's count may lag by a tick, usually at most 10,000,000.
_CPU_TO_PASS = 20_000_000

#: Thread states in /proc that mean sleeping or ended (proc_pid_stat(5)).
_SLEEPING = frozenset("SIZX")

#: Seconds that a thread has to sleep to have passed. In the dangerous code it can sleep
#: only on a lock of the allocator, for as long as another thread holds that.
_SLEEP_TO_PASS = 0.005

#: Seconds to wait for all threads if their state cannot be read from /proc.
_BLIND_WAIT = 0.1

#: Seconds after which the wait is given up, and between two checks.
_TIMEOUT = 1.0
_PAUSE = 0.0005

#: How many threads are remembered; if there are more, those of the last minute.
_MAX_THREADS = 512
_RECENT = 60.0


class SwapBarrier:
    """Remembers the threads that may be in the dangerous code.

    All methods are called by the entering thread: one at a time, except while a new
    server replaces an old one.
    """

    def __init__(self) -> None:
        self._entered: dict[int, float] = {}

    def enter(self) -> None:
        """Record that this thread enters the dangerous code now."""
        now = time.monotonic()
        self._entered[get_native_id()] = now
        if len(self._entered) > _MAX_THREADS:
            self._entered = {
                thread: entered
                for thread, entered in [*self._entered.items()]
                if now - entered < _RECENT
            }

    def wait(self) -> bool:
        """Wait until all threads that entered have passed; return whether they have."""
        try:
            if _nanoseconds(get_native_id()):
                return self._wait()
        except OSError:  # no descriptor may be left for reading /proc
            pass
        # There is no /proc, or it is of another PID namespace, or the kernel does not
        # count CPU time.
        time.sleep(_BLIND_WAIT)
        return True

    def _wait(self) -> bool:
        own = get_native_id()
        threads = [_Entered(thread) for thread in [*self._entered] if thread != own]
        deadline = time.monotonic() + _TIMEOUT
        while threads := [thread for thread in threads if not thread.has_passed()]:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_PAUSE)
        return True


class _Entered:
    """A thread that entered the dangerous code, observed from now on."""

    def __init__(self, thread: int) -> None:
        self._thread = thread
        self._before = _nanoseconds(thread)
        self._sleeps_since: float | None = None

    def has_passed(self) -> bool:
        """Whether the thread has left: it has ended, has run for long, or sleeps."""
        ran = _nanoseconds(self._thread)
        if self._before is None or ran is None or ran - self._before > _CPU_TO_PASS:
            return True
        text = _read(self._thread, "stat")  # "PID (any name at all) S ..."
        if text is None:
            return True
        now = time.monotonic()
        if text.rpartition(")")[2].split()[0] not in _SLEEPING:
            self._sleeps_since = None
        elif self._sleeps_since is None:
            self._sleeps_since = now
        # Once is not enough: it may have been woken and be waiting for a core.
        return (
            self._sleeps_since is not None
            and now - self._sleeps_since >= _SLEEP_TO_PASS
        )


def _nanoseconds(thread: int) -> int | None:
    """Return the CPU time of a thread; None if there is no such thread."""
    text = _read(thread, "schedstat")
    return None if text is None else int(text.split()[0])


def _read(thread: int, name: str) -> str | None:
    try:
        return (_TASKS / str(thread) / name).read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
