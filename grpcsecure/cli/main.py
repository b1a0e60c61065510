"""The command `grpcsecure`: exit codes, and nothing shown as a traceback.

The only module that exits. It imports next to nothing at first: what `serve` will
need is begun before the command line, whose library takes its time, is read.
"""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING, Any

from grpcsecure.cli.foresight import foresee
from grpcsecure.errors import ExitCode, GrpcSecureError
from grpcsecure.server.ahead import load_ahead

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grpcsecure.server.ahead import Ahead

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with one of `ExitCode`.

    Args:
        arguments: instead of those of the process, which is ours alone without them.
    """
    ahead = None
    if arguments is None:
        arguments = sys.argv[1:]
        foreseen = foresee(arguments, os.environ)
        if foreseen is not None:
            gc.disable()  # what is imported now stays: `serve` turns it on again
            ahead = load_ahead(*foreseen)
    try:
        code, stuck = _run(arguments, ahead)
    finally:
        if ahead is not None:
            ahead.discard()
    if stuck:
        # A cut call whose handler does not return would hold the interpreter open.
        os._exit(code)
    sys.exit(code)


def _run(arguments: Sequence[str], ahead: Ahead | None) -> tuple[int, bool]:
    """Return the exit code, and whether user threads may still be running."""
    import click

    from grpcsecure.cli.commands import Session, cli

    session = Session(ahead)
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
