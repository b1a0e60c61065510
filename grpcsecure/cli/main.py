"""The command `grpcsecure`: runs the command line and maps errors to exit codes.

The only module that exits the process. Users never see a traceback unless they ask.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from grpcsecure.cli.commands import Session, cli
from grpcsecure.errors import ExitCode, GrpcSecureError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with one of `ExitCode`.

    Args:
        arguments: the command line; by default that of the process.
    """
    code, stuck = _run(sys.argv[1:] if arguments is None else arguments)
    if stuck:
        # The handler of a cut call may never return, and the interpreter waits for it.
        os._exit(code)
    sys.exit(code)


def _run(arguments: Sequence[str]) -> tuple[int, bool]:
    """Return the exit code, and whether user threads may still be running."""
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
        session.console.internal_error(error)
        return ExitCode.CANNOT, False
    code = result if isinstance(result, int) else ExitCode.OK
    session.console.flush()
    return code, session.has_cut
