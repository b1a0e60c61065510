"""Options and arguments that several commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from grpcsecure.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["config_or_default", "profile_option"]

#: The config file of a command without a CONFIG argument.
DEFAULT_CONFIG = "grpcsecure.yaml"

_F = TypeVar("_F", bound="Callable[..., Any]")


def profile_option(function: _F) -> _F:
    """Add `--profile NAME`."""
    return click.option(
        "--profile",
        envvar="GRPCSECURE_PROFILE",
        show_envvar=True,
        metavar="NAME",
        help="Apply this profile of the config.",
    )(function)


def config_or_default(name: str | None) -> str:
    """Return the config to use: argument, `$GRPCSECURE_CONFIG`, or the default file.

    Raises:
        UsageError: none of them exists.
    """
    name = name or os.environ.get("GRPCSECURE_CONFIG")
    if name:
        return name
    if Path(DEFAULT_CONFIG).exists():
        return DEFAULT_CONFIG
    raise UsageError(
        "no config given: name a file, set $GRPCSECURE_CONFIG,"
        f" or create {DEFAULT_CONFIG} here"
    )
