"""Where threads of gRPC pass, one of which must not go on before the others are past.

gRPC asks for new credentials under a lock before each handshake, and then, without the
lock, begins the handshake with those that it has. If another thread replaces them at
that moment they are freed while they are used, and the process dies (grpc/grpc#36693).
The thread that is to replace them holds the lock, so nobody comes after it: here it
waits until all who came before are past.
"""

from __future__ import annotations

import time
from pathlib import Path
from threading import get_native_id

__all__ = ["SwapBarrier"]

_TASKS = Path("/proc/self/task")

#: Nanoseconds of a core after which a thread is past: it needs 50,000 for the way, and
#: the kernel's count may be late by a tick, which is mostly 10,000,000 at most.
_FAR = 20_000_000

#: What /proc says of a thread that sleeps or has ended (proc_pid_stat(5)).
_AT_REST = frozenset("SIZX")

#: Seconds that a thread has to rest to be past. There is nothing to sleep on on the way
#: but a lock of the allocator, for as long as another thread is inside.
_MOMENT = 0.005

#: Seconds for all of the way, where nobody says what a thread does.
_BLIND = 0.1

#: Seconds after which it is not waited any longer, and between two looks.
_PATIENCE = 1.0
_PAUSE = 0.0005

#: How many threads are remembered; of more, those of the last minute.
_MANY = 512
_RECENT = 60.0


class SwapBarrier:
    """Who has come by. All is called by the thread that passes.

    That is one at a time, but for the moment in which a server takes another's place.
    """

    def __init__(self) -> None:
        self._came: dict[int, float] = {}

    def enter(self) -> None:
        """Note that this thread goes on now."""
        now = time.monotonic()
        self._came[get_native_id()] = now
        if len(self._came) > _MANY:
            self._came = {
                thread: came
                for thread, came in [*self._came.items()]
                if now - came < _RECENT
            }

    def wait(self) -> bool:
        """Wait until all who came before are past; return whether they are."""
        try:
            if _nanoseconds(get_native_id()):
                return self._wait()
        except OSError:  # there may be no descriptor left to read it by
            pass
        # No /proc, or one of other PIDs, or a kernel that does not count.
        time.sleep(_BLIND)
        return True

    def _wait(self) -> bool:
        own = get_native_id()
        ways = [_Way(thread) for thread in [*self._came] if thread != own]
        deadline = time.monotonic() + _PATIENCE
        while ways := [way for way in ways if not way.is_over()]:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_PAUSE)
        return True


class _Way:
    """What is seen of a thread from now on."""

    def __init__(self, thread: int) -> None:
        self._thread = thread
        self._before = _nanoseconds(thread)
        self._rests_since: float | None = None

    def is_over(self) -> bool:
        """Whether the thread is past: it has ended, has run on, or rests."""
        ran = _nanoseconds(self._thread)
        if self._before is None or ran is None or ran - self._before > _FAR:
            return True
        text = _read(self._thread, "stat")  # "PID (any name at all) S ..."
        if text is None:
            return True
        now = time.monotonic()
        if text.rpartition(")")[2].split()[0] not in _AT_REST:
            self._rests_since = None
        elif self._rests_since is None:
            self._rests_since = now
        # Once is not enough: it may have been woken, and wait for a core.
        return self._rests_since is not None and now - self._rests_since >= _MOMENT


def _nanoseconds(thread: int) -> int | None:
    """Return for how long a thread has run; None if there is no such thread."""
    text = _read(thread, "schedstat")
    return None if text is None else int(text.split()[0])


def _read(thread: int, name: str) -> str | None:
    try:
        return (_TASKS / str(thread) / name).read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
