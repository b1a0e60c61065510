"""The bridge's own process: `python -m grpcsecure.tls.bridge DESCRIPTOR PARENT`.

Imports neither gRPC nor anything of the user's. Ends when the control channel does,
which is when the launcher ends, however that happens.
"""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import signal
import socket
import sys
import time
from contextlib import suppress

from grpcsecure.errors import GrpcSecureError
from grpcsecure.tls.bridge.child.event_loop import BridgeLoop
from grpcsecure.tls.bridge.heap_trimmer import find_malloc_trim
from grpcsecure.tls.bridge.ipc import messages
from grpcsecure.tls.bridge.ipc.framing import Channel
from grpcsecure.tls.bridge.ipc.socket_files import remove_directory

_PR_SET_PDEATHSIG = 1

#: Seconds from a launcher's last descriptor to its end.
_DEATH = 0.5

#: A terminal and a service manager signal the whole group; when to end is the
#: launcher's to say, who drains first.
_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def main(arguments: list[str]) -> int:
    """Serve on the control socket whose descriptor is given."""
    control = socket.socket(fileno=int(arguments[0]))
    parent = int(arguments[1])
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    _end_with(parent, control)
    _raise_descriptor_limit()
    # What is loaded now stays; the rest dies by reference counts, so that looking for
    # cycles can wait until there are many more new objects than by default.
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    failure_channel = Channel(control.dup())
    try:
        loop = BridgeLoop(control, trim_heap=find_malloc_trim())
        was_stopped = loop.run()
    except Exception as error:  # noqa: BLE001 - the process ends here; the launcher must hear why
        _report_failure(failure_channel, error)
        return 1
    if not was_stopped and _outlives(parent):
        # Nobody else is left to do it. All sockets are in one private directory.
        for directory in {os.path.dirname(p) for p in loop.upstream_paths}:  # noqa: PTH120 - str in, str out
            remove_directory(directory)
    return 0


def _outlives(parent: int) -> bool:
    """Whether the launcher is dead, and has not only hung up: then it still serves.

    It is awaited for a moment: a process that dies closes its descriptors first.
    """
    end = time.monotonic() + _DEATH
    while os.getppid() == parent:
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


def _report_failure(channel: Channel, error: Exception) -> None:
    import traceback

    if isinstance(error, GrpcSecureError):
        reason = str(error)
    else:
        where = traceback.extract_tb(error.__traceback__)[-1]
        reason = f"{type(error).__name__}: {error} ({where.name}, line {where.lineno})"
    with suppress(OSError):  # nobody listens
        channel.send(messages.write_failed(reason))


def _end_with(parent: int, control: socket.socket) -> None:
    """End when the launcher does, even if a fork of it keeps the control channel.

    Nothing is raised by the signal, which may come at any moment, also while the loop
    ends already: it is as if the other side had hung up.
    """
    if sys.platform != "linux":
        return

    def on_parent_death(*_: object) -> None:
        if os.getppid() == parent:
            return  # it lives: somebody else has sent the signal
        with suppress(OSError):  # closed already
            control.shutdown(socket.SHUT_RDWR)

    signal.signal(signal.SIGUSR1, on_parent_death)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGUSR1), 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit(0)  # it died before the line above


def _raise_descriptor_limit() -> None:
    """Two descriptors per client: take what the system gives."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Some systems have a limit below the hard one.
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
