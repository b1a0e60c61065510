"""The command `grpcsecure`: runs the command line and maps errors to exit codes.

The only module that exits the process. Users never see a traceback unless they ask. It
imports late, because as PID 1 the process stays small: see `container_init`.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with one of `ExitCode`.

    Args:
        arguments: the command line; by default that of the process.
    """
    if arguments is None:
        arguments = sys.argv[1:]
        _open_closed_streams()
        if os.getpid() == 1:
            _leave_init()
        # Nearly all that a command loads stays until it ends: repeated collections take
        # 6 % of its time. `serve` collects as soon as it has loaded; others never.
        gc.disable()
    try:
        code, stuck = _run(arguments)
    except KeyboardInterrupt:  # during the imports
        _write_error("interrupted")
        code, stuck = 2, False
    except OSError as error:  # likewise: no descriptors, no memory
        _write_error(f"error: {(error.strerror or str(error)).lower()}")
        code, stuck = 2, False
    _ignore_late_signals()
    if stuck:
        # The handler of a cut call may never return, and the interpreter waits for it.
        os._exit(code)
    if not gc.isenabled():
        gc.freeze()  # the interpreter collects once more when it ends
    sys.exit(code)


def _open_closed_streams() -> None:
    """Open the null device in place of standard streams that are closed.

    A socket would otherwise take their number, and gRPC core writes lines to number 2.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            with suppress(OSError):
                os.open(os.devnull, os.O_RDWR)  # takes the lowest free number


def _leave_init() -> None:
    """Return in a child process; this process passes signals on, and ends in here."""
    from grpcsecure.cli.container_init import run_in_child

    try:
        code = run_in_child(_end_start)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        _write_error(f"error: cannot start a child process: {reason}")
        os._exit(3)
    if code is not None:
        os._exit(code)


def _end_start(_number: int, _frame: object) -> None:
    """Handle a signal in the child of the init, where nothing has started yet."""
    _write_error("interrupted")
    os._exit(2)


def _write_error(message: str) -> None:
    """Write to stderr without the console, whose imports are not there."""
    with suppress(OSError):
        os.write(2, f"{message}\n".encode())


def _ignore_late_signals() -> None:
    """Keep the exit code, if a signal comes again while the child of the init exits."""
    for number in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(number) is _end_start:
            signal.signal(number, signal.SIG_IGN)


def _run(arguments: Sequence[str]) -> tuple[int, bool]:
    """Return the exit code, and whether user threads may still be running.

    Raises:
        KeyboardInterrupt: a signal came before the command line was there to report it.
        OSError: the modules of the command line cannot be read.
    """
    import click

    from grpcsecure.cli.commands import Session, cli
    from grpcsecure.errors import ExitCode, GrpcSecureError

    session = Session()
    try:
        result: Any = cli.main(
            list(arguments), prog_name="grpcsecure", standalone_mode=False, obj=session
        )
    except click.ClickException as error:
        error.show()
        return ExitCode.CANNOT, False
    except (click.Abort, KeyboardInterrupt):
        session.console.error("interrupted")
        return ExitCode.CANNOT, False
    except GrpcSecureError as error:
        session.console.error(f"error: {error}")
        return error.exit_code, False
    except Exception as error:  # noqa: BLE001 - the last line of defence: no traceback for users
        from grpcsecure.cli.shortages import describe_shortage

        shortage = describe_shortage(error)
        if shortage is not None:
            session.console.error(f"error: {shortage}")
            is_start = session.command == "serve"
            return ExitCode.STARTUP if is_start else ExitCode.CANNOT, False
        session.console.internal_error(error)
        return ExitCode.CANNOT, False
    code = result if isinstance(result, int) else ExitCode.OK
    session.console.flush()
    return code, session.has_cut
