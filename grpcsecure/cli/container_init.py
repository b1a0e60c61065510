"""The init of a container: PID 1 passes signals on and reaps, its only child serves.

PID 1 inherits the orphans of the whole container and has to reap them. In a process
that runs servicers, `waitpid(-1)` would also take the exit codes of their own
subprocesses. So PID 1 forks before it imports anything else: the child runs the
command, and the init stays small.

Each signal reaches the child once. The child has a process group of its own, which is
the foreground group if that of the init was, so that Ctrl+C does not reach the init.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Handler = Callable[[int, object], None]

__all__ = ["run_in_child"]

#: Signals that report a fault of the process itself, and are not held back for that.
_FAULTS = {
    signal.SIGABRT,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGSEGV,
    signal.SIGSYS,
    signal.SIGTRAP,
}

#: Stop signals of a terminal. A container has no shell that could continue the child.
_STOPS = {signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}

_UNCATCHABLE = {signal.SIGKILL, signal.SIGSTOP}

_HELD = signal.valid_signals() - _FAULTS - _UNCATCHABLE

#: `si_code` of a signal that the kernel sent, such as a terminal's Ctrl+C.
_FROM_KERNEL = 0x80

#: Variables that name the process that a service manager has started.
_PID_VARIABLES = ("LISTEN_PID", "WATCHDOG_PID")


def run_in_child(end: Handler) -> int | None:
    """Fork; return None in the child, and in the init the exit code for the process.

    The init returns when the child has ended. The kernel kills what is left of the
    container when the init exits.

    Args:
        end: handles SIGTERM and SIGINT in the child until the server handles them.

    Raises:
        OSError: no child process can be started.
    """
    # If the parent ignored SIGCHLD, the kernel would discard the child's exit code.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
    # A group of another namespace (`unshare` from a shell) is shown as 0. Its shell
    # gives and takes the terminal, so the child stays in it.
    shares_group = os.getpgrp() == 0 and _open_terminal(close=True) is not None
    try:
        child = os.fork()
    except OSError:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        raise
    if child == 0:
        _become_child(mask, end, shares_group=shares_group)
        return None
    _close_inherited()
    return _look_after(child, shares_group=shares_group)


def _become_child(
    mask: set[int | signal.Signals], end: Handler, *, shares_group: bool
) -> None:
    """Give the child its group, its terminal, its variables and its signals."""
    if not shares_group:
        _take_foreground()
    for name in _PID_VARIABLES:
        if os.environ.get(name) == str(os.getppid()):
            os.environ[name] = str(os.getpid())
    # Until the server has handlers of its own: SIGTERM and SIGINT end the start with a
    # message, and SIGHUP, which asks for a reload, does not end it. An exception would
    # not do: one that is raised in a callback of the import system is only printed.
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGHUP, _do_nothing)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _do_nothing(_number: int, _frame: object) -> None:
    """Handle a signal; unlike SIG_IGN this is not inherited by a subprocess."""


def _take_foreground() -> None:
    before = os.getpgrp()
    os.setpgid(0, 0)
    terminal = _open_terminal()
    if terminal is None:
        return
    try:
        if os.tcgetpgrp(terminal) == before:
            os.tcsetpgrp(terminal, os.getpgrp())  # SIGTTOU is blocked
    except OSError:
        return  # the terminal is gone: there is no foreground either
    finally:
        os.close(terminal)


def _open_terminal(*, close: bool = False) -> int | None:
    """Open the controlling terminal; None if there is none."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return None
    if close:
        os.close(terminal)
    return terminal


def _close_inherited() -> None:
    """Close all descriptors but the standard streams: they belong to the child.

    A listening socket would otherwise stay open when the child has closed it.
    """
    try:
        descriptors = [int(name) for name in os.listdir("/dev/fd")]  # noqa: PTH208 - light
    except OSError:
        return
    for descriptor in descriptors:
        if descriptor > 2:  # noqa: PLR2004 - stderr
            try:
                os.close(descriptor)
            except OSError:
                continue  # that of the listing itself


def _look_after(child: int, *, shares_group: bool) -> int:
    """Pass signals on and reap until the child has ended; return its exit code."""
    while True:
        received = signal.sigwaitinfo(_HELD)
        number = received.si_signo
        if number == signal.SIGCHLD:
            code = _reap(child)
            if code is not None:
                return code
        elif number in _STOPS:
            continue
        elif not (shares_group and received.si_code == _FROM_KERNEL):
            # In a shared group the terminal has sent it to the child as well.
            os.kill(child, number)


def _reap(child: int) -> int | None:
    """Reap all processes that have ended; return the exit code of the child."""
    code = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
        except ChildProcessError:
            return code
        if pid == 0:
            return code
        if os.WIFSTOPPED(status):
            if pid == child and os.WSTOPSIG(status) in _STOPS:
                os.kill(child, signal.SIGCONT)
        elif pid == child:
            code = os.waitstatus_to_exitcode(status)
            code = code if code >= 0 else 128 - code
