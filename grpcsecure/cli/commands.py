"""The command tree: global options, and the sub-commands by name.

A sub-command is imported when it is called, so that no command waits for another's
imports.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module

import click

from grpcsecure import __version__
from grpcsecure.cli.console import Console

__all__ = ["SESSION", "Session", "cli"]

#: The key of the session in click's `Context.meta`.
SESSION = "grpcsecure.session"

_COMMANDS = {
    "certs": "grpcsecure.cli.certs:certs",
    "explain": "grpcsecure.cli.explain:explain",
    "schema": "grpcsecure.cli.schema:schema",
    "serve": "grpcsecure.cli.serve:serve",
    "validate": "grpcsecure.cli.validate:validate",
}


@dataclass
class Session:
    """State that one run of the command line shares with its sub-command.

    Attributes:
        console: the output streams, as the global options configure them.
        command: the name of the sub-command.
        has_cut: whether calls were cut; their handlers may never return.
    """

    console: Console = field(default_factory=Console)
    command: str | None = None
    has_cut: bool = False


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
    epilog="Exit codes: 0 success, 1 the check failed, 2 could not do the job;"
    " `serve` adds 3 start-up failed and 4 calls were cut.",
)
@click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    help="Colour the output; auto: on a terminal. [env: NO_COLOR, FORCE_COLOR]",
)
@click.option("-q", "--quiet", is_flag=True, help="Print only the result and errors.")
@click.option(
    "-v", "--verbose", is_flag=True, help="Show the traceback of an internal error."
)
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context, *, color: str, quiet: bool, verbose: bool) -> None:
    """Secure gRPC servers in Python from one config file."""
    session = context.ensure_object(Session)
    session.console = Console(color=color, quiet=quiet, verbose=verbose)
    session.command = context.invoked_subcommand
    context.meta[SESSION] = session
    context.obj = session.console
