"""The bridge process: `python -m grpcsecure.tls.bridge.child DESCRIPTOR PARENT`.

Imports neither gRPC nor any module of the user. Ends when the control channel is
closed, which the kernel does when the server process (the parent) ends for any reason.
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
from grpcsecure.tls.openssl import _bindings as openssl

_PR_SET_PDEATHSIG = 1

#: Seconds that a dying parent has to end after it has closed its descriptors.
_DEATH = 0.5

#: A terminal and a service manager signal the whole process group. The parent decides
#: when the bridge ends, since it drains first.
_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def main(arguments: list[str]) -> int:
    """Run the bridge with the control socket whose descriptor is given."""
    control = socket.socket(fileno=int(arguments[0]))
    parent = int(arguments[1])
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    _end_with(parent, control)
    _raise_descriptor_limit()
    # The objects loaded so far are permanent; most others are freed by their reference
    # counts. So the search for cycles can wait until there are many more new objects
    # than by default.
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    failure_channel = Channel(control.dup())
    try:
        openssl.require()
        loop = BridgeLoop(control, trim_heap=find_malloc_trim())
        was_stopped = loop.run()
    except Exception as error:  # noqa: BLE001 - the process ends here; the parent must get the reason
        _report_failure(failure_channel, error)
        return 1
    if not was_stopped and _outlives(parent):
        # The parent can no longer remove it. All sockets are in one private directory.
        for directory in {os.path.dirname(p) for p in loop.upstream_paths}:  # noqa: PTH120 - str in, str out
            remove_directory(directory)
    return 0


def _outlives(parent: int) -> bool:
    """Whether the parent is dead; if it only closed the channel, it still serves.

    Waits for a moment: a dying process closes its descriptors before it ends.
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
    with suppress(OSError):  # the parent is gone
        channel.send(messages.write_failed(reason))


def _end_with(parent: int, control: socket.socket) -> None:
    """End when the parent does, even if a fork of it keeps the control channel open.

    The signal handler raises nothing, since it may run at any moment, even while the
    loop is ending: it shuts down the channel, as if the parent had closed it.
    """
    if sys.platform != "linux":
        return

    def on_parent_death(*_: object) -> None:
        if os.getppid() == parent:
            return  # the parent lives: another process has sent the signal
        with suppress(OSError):  # closed already
            control.shutdown(socket.SHUT_RDWR)

    signal.signal(signal.SIGUSR1, on_parent_death)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGUSR1), 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit(0)  # the parent died before the line above


def _raise_descriptor_limit() -> None:
    """Raise the limit as far as possible: each client needs two descriptors."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Some systems refuse to raise it to the hard limit.
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
