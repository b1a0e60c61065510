"""The life of a served process: start, ready, drain on a signal, cut on the second.

Owns the process's signal handlers while it runs; SIGHUP has it read its files anew. As
PID 1 a process has no default handlers, so SIGTERM is always caught here.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, TypeVar

from grpcsecure.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from grpcsecure.server.app import Server

__all__ = ["notify_systemd", "run"]

_SIGNALS = (signal.SIGTERM, signal.SIGINT)

_T = TypeVar("_T")

#: Seconds within which a signal is heard in any case.
_HEARING = 0.5


def run(
    server: Server,
    *,
    on_ready: Callable[[], None],
    on_drain: Callable[[str], None],
    on_cut: Callable[[str], None],
) -> ExitCode:
    """Serve until a signal, then drain; return OK, or CUT if calls were cut.

    A server that can no longer serve all of its listeners drains too, and CANNOT is
    returned, whether calls were cut or not. `on_drain` is told the signal's name, or
    what failed, and `on_cut` why running calls end early.

    Raises:
        StartupError: the server could not start.
        KeyboardInterrupt: a second signal came while it was starting.
    """
    # A SimpleQueue may be filled from a signal handler: its put is reentrant. Text is
    # what failed, None says that the drain is over.
    received: SimpleQueue[signal.Signals | str | None] = SimpleQueue()
    server.on_failure = received.put
    is_starting = True

    def note(number: int, _frame: object) -> None:
        # Nothing else ends a servicer that hangs while it is created.
        if is_starting and not received.empty():
            raise KeyboardInterrupt
        received.put(signal.Signals(number))

    def reload(_number: int, _frame: object) -> None:
        server.reload()

    before = {number: signal.signal(number, note) for number in _SIGNALS}
    before[signal.SIGHUP] = signal.signal(signal.SIGHUP, reload)
    try:
        server.begin()
        is_starting = False
        try:
            on_ready()
        except BaseException:
            server.stop(0)
            raise
        notify_systemd("READY=1")
        server.look_after()
        first = _next(received)
        assert first is not None  # noqa: S101 - the drain has not begun
        failed = isinstance(first, str)
        on_drain(first if isinstance(first, str) else first.name)
        notify_systemd("STOPPING=1")
        code = _drain(server, received, on_cut)
        return ExitCode.CANNOT if failed else code
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _drain(
    server: Server,
    received: SimpleQueue[signal.Signals | str | None],
    on_cut: Callable[[str], None],
) -> ExitCode:
    """Stop in a thread, so that this one hears the second signal."""
    finished: list[bool] = []

    def stop() -> None:
        try:
            finished.append(server.stop())
        finally:
            received.put(None)

    threading.Thread(target=stop, name="grpcsecure-drain", daemon=True).start()
    is_patient = True
    while (event := _next(received)) is not None:
        if isinstance(event, signal.Signals):
            is_patient = False
            on_cut("second signal")
            server.cut()
    if finished == [True]:
        return ExitCode.OK
    if is_patient:
        on_cut("grace is over")
    return ExitCode.CUT


def _next(received: SimpleQueue[_T]) -> _T:
    """Wait for the next event.

    Handlers run in this thread and between two instructions of Python only. A signal
    that another thread was interrupted by, or this one just before it begins to wait,
    ends no wait: without a timeout it would be heard with the next one.
    """
    while True:
        try:
            return received.get(timeout=_HEARING)
        except Empty:
            continue


def notify_systemd(state: str) -> None:
    """Tell the service manager, if there is one (sd_notify(3), a datagram)."""
    target = os.environ.get("NOTIFY_SOCKET", "")
    if not target.startswith(("/", "@")):
        return
    address = f"\0{target[1:]}" if target.startswith("@") else target
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.connect(address)
            channel.sendall(state.encode())
    except OSError:
        return  # nobody listens any more: not worth dying for
