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

__all__ = ["Passage"]

_TASKS = Path("/proc/self/task")

#: Nanoseconds of a core after which a thread is past: it needs 50,000 for the way, and
#: the kernel's count may be late by a tick, which is 10,000,000 at most.
_FAR = 20_000_000

#: What /proc says of a thread that sleeps or has ended (proc_pid_stat(5)). There is
#: nothing to sleep on on the way, but for another thread's moment in the allocator.
_AT_REST = frozenset("SIZX")

#: Seconds for such a moment.
_MOMENT = 0.005

#: Seconds for all of the way, where nobody says what a thread does.
_BLIND = 0.1

#: Seconds after which it is not waited any longer, and between two looks.
_PATIENCE = 2.0
_PAUSE = 0.0005

#: How many threads are remembered; of more, those of the last minute.
_MANY = 512
_RECENT = 60.0


class Passage:
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
            if _nanoseconds(get_native_id()) is not None:
                return self._wait()
        except OSError:  # there may be no descriptor left to read it by
            pass
        # No /proc, or one of other PIDs.
        time.sleep(_BLIND)
        return True

    def _wait(self) -> bool:
        own = get_native_id()
        ways = {
            thread: ran
            for thread in [*self._came]
            if thread != own and (ran := _nanoseconds(thread)) is not None
        }
        deadline = time.monotonic() + _PATIENCE
        while ways := {
            thread: ran for thread, ran in ways.items() if not _is_past(thread, ran)
        }:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_PAUSE)
        time.sleep(_MOMENT)
        return True


def _is_past(thread: int, before: int) -> bool:
    """Whether a thread that had run for so many nanoseconds has done its way."""
    ran = _nanoseconds(thread)
    if ran is None or ran - before > _FAR:
        return True
    text = _read(thread, "stat")  # "PID (any name at all) S ..."
    return text is None or text.rpartition(")")[2].split()[0] in _AT_REST


def _nanoseconds(thread: int) -> int | None:
    """Return for how long a thread has run; None if there is no such thread."""
    text = _read(thread, "schedstat")
    return None if text is None else int(text.split()[0])


def _read(thread: int, name: str) -> str | None:
    try:
        return (_TASKS / str(thread) / name).read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
