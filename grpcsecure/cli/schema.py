"""`grpcsecure schema`: the JSON Schema of the config file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from grpcsecure.config.schema_check import schema_text

if TYPE_CHECKING:
    from grpcsecure.cli.console import Console

__all__ = ["schema"]


@click.command(
    epilog="""\b
Examples:
  grpcsecure schema > grpcsecure.schema.json
  # first line of a config, for editors:
  # yaml-language-server: $schema=grpcsecure.schema.json

\b
Exit codes: 0.""",
)
@click.pass_obj
def schema(console: Console) -> None:
    """Print the JSON Schema of the config file."""
    console.result(schema_text())
