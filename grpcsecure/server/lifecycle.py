"""Lifecycle of a serving process: start, ready, drain on a signal, cut on the second.

Owns the process's signal handlers while the server runs; SIGHUP reloads the config.
"""

from __future__ import annotations

import signal
import threading
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, TypeVar

from grpcsecure.errors import ExitCode
from grpcsecure.server.service_manager import ServiceManager

if TYPE_CHECKING:
    from collections.abc import Callable

    from grpcsecure.server.app import Server

__all__ = ["run"]

_SIGNALS = (signal.SIGTERM, signal.SIGINT)

_T = TypeVar("_T")

#: Seconds after which a pending signal is handled at the latest.
_SIGNAL_CHECK_INTERVAL = 0.5


def run(
    server: Server,
    *,
    on_ready: Callable[[], None],
    on_drain: Callable[[str], None],
    on_cut: Callable[[str], None],
) -> ExitCode:
    """Serve until a signal, then drain; return OK, or CUT if calls were cut.

    A server that can no longer serve all of its listeners drains too; then the result
    is CANNOT, whether calls were cut or not. `on_drain` gets the name of the signal or
    the reason of the failure, `on_cut` the reason why running calls end early.

    Raises:
        StartupError: the server could not start.
        KeyboardInterrupt: a second signal came while it was starting.
    """
    # A SimpleQueue may be filled from a signal handler: its `put` is reentrant. A text
    # is the reason of a failure; None means that the drain is over.
    received: SimpleQueue[signal.Signals | str | None] = SimpleQueue()
    server.on_failure = received.put
    manager = ServiceManager(server.has_pulse)
    server.reload_observer = manager
    is_starting = True

    def note(number: int, _frame: object) -> None:
        # The only way to end a servicer that hangs while it is created.
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
        manager.ready(f"serving, generation {server.generation}")
        server.look_after()
        first = _next(received)
        assert first is not None  # noqa: S101 - the drain has not begun
        failed = isinstance(first, str)
        reason = first if isinstance(first, str) else first.name
        on_drain(reason)
        manager.stopping(f"draining ({reason})")
        code = _drain(server, received, on_cut)
        return ExitCode.CANNOT if failed else code
    finally:
        manager.close()
        for number, handler in before.items():
            signal.signal(number, handler)


def _drain(
    server: Server,
    received: SimpleQueue[signal.Signals | str | None],
    on_cut: Callable[[str], None],
) -> ExitCode:
    """Stop in another thread, so that this one can react to the second signal."""
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

    Signal handlers run only in this thread, between two Python instructions. A signal
    that was delivered to another thread, or to this one just before it began to wait,
    does not interrupt the wait: without a timeout its handler would not run until the
    next signal.
    """
    while True:
        try:
            return received.get(timeout=_SIGNAL_CHECK_INTERVAL)
        except Empty:
            continue
