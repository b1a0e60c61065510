"""The command `grpcsecure`: dispatch, exit codes, and nothing shown as a traceback.

The only module that exits. Sub-commands load when they are called, so that one
command does not pay for another's imports.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from grpcsecure import __version__
from grpcsecure.cli.console import Console
from grpcsecure.errors import ExitCode, GrpcSecureError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["cli", "main"]

_COMMANDS = {
    "certs": "grpcsecure.cli.certs:certs",
    "schema": "grpcsecure.cli.schema:schema",
    "serve": "grpcsecure.cli.serve:serve",
    "validate": "grpcsecure.cli.validate:validate",
}


class _LazyGroup(click.Group):
    """A group whose commands are imported when one of them is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            ctx.fail(_no_such_command(cmd_name))
        module, _, name = _COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command


def _no_such_command(name: str) -> str:
    from grpcsecure.diagnostics.suggest import did_you_mean

    hint = did_you_mean(name, sorted(_COMMANDS))
    return f"no command `{name}`" + (f", {hint}" if hint else "")


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 88},
    epilog="Exit codes: 0 good, 1 what was checked is bad, 2 could not do the job;"
    " `serve` adds 3 start-up failed and 4 calls were cut.",
)
@click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    help="Colour the output; auto: on a terminal. [env: NO_COLOR, FORCE_COLOR]",
)
@click.option(
    "-q", "--quiet", is_flag=True, help="Say nothing but the result and errors."
)
@click.option(
    "-v", "--verbose", is_flag=True, help="Show the traceback of an internal error."
)
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context, *, color: str, quiet: bool, verbose: bool) -> None:
    """Secure gRPC servers in Python from one config file."""
    context.obj = Console(color=color, quiet=quiet, verbose=verbose)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with one of `ExitCode`."""
    arguments = sys.argv[1:] if arguments is None else arguments
    code, stuck = _run(arguments)
    if stuck:
        # A cut call whose handler does not return would hold the interpreter open.
        os._exit(code)
    sys.exit(code)


def _run(arguments: Sequence[str]) -> tuple[int, bool]:
    """Return the exit code, and whether user threads may still be running."""
    console = Console(
        color="auto", quiet=False, verbose="-v" in arguments or "--verbose" in arguments
    )
    try:
        result: Any = cli.main(
            list(arguments), prog_name="grpcsecure", standalone_mode=False
        )
    except click.ClickException as error:
        error.show()
        return ExitCode.CANNOT, False
    except (click.Abort, KeyboardInterrupt):
        console.error("interrupted")
        return ExitCode.CANNOT, False
    except GrpcSecureError as error:
        console.error(f"error: {error}")
        return error.exit_code, False
    except Exception as error:  # noqa: BLE001 - the last line of defence: no traceback for users
        console.internal_error(error)
        return ExitCode.CANNOT, False
    code = result if isinstance(result, int) else ExitCode.OK
    console.flush()
    return code, code == ExitCode.CUT
