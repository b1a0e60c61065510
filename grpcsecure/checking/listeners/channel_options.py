"""Checks of `server.channel_options` against the names and types of gRPC core."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from grpcsecure.diagnostics.catalog import listener_kinds as kinds
from grpcsecure.diagnostics.suggest import did_you_mean
from grpcsecure.model.channel_arguments import (
    CLIENT_ARGUMENTS,
    INTEGERS,
    OBJECTS,
    TEXTS,
)
from grpcsecure.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grpcsecure.config.document import Document
    from grpcsecure.diagnostics.findings import Finding

__all__ = ["check_channel_options"]

_KEY = ("server", "channel_options")
_UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def check_channel_options(document: Document) -> Iterator[Finding]:
    """Find options that gRPC core does not know, or whose values it would ignore."""
    for name, value in document.config.server.channel_options:
        if name in CLIENT_ARGUMENTS:
            yield kinds.UNKNOWN_CHANNEL_OPTION(
                f"the channel option {quote(name)} is for clients",
                span=document.key(*_KEY, name),
                label="has no effect on a server",
                help="remove it",
            )
        elif name in INTEGERS | TEXTS | OBJECTS:
            yield from _check_type(document, name, value)
        else:
            yield _unknown(document, name)


def _unknown(document: Document, name: str) -> Finding:
    known = sorted(INTEGERS | TEXTS)
    return kinds.UNKNOWN_CHANNEL_OPTION(
        f"gRPC core knows no channel option {quote(name)}",
        span=document.key(*_KEY, name),
        label=f"did you mean `grpc.{name}`?"
        if f"grpc.{name}" in known
        else did_you_mean(name, known) or "would be ignored",
        help="write one of the names in gRPC's `channel_arg_names.h`",
    )


def _check_type(document: Document, name: str, value: int | str) -> Iterator[Finding]:
    if name in OBJECTS:
        yield kinds.WRONG_CHANNEL_OPTION(
            f"the channel option {quote(name)} takes an object of C",
            span=document.key(*_KEY, name),
            label="no config can hold it",
            help="remove it",
        )
    elif name in INTEGERS and isinstance(value, str):
        yield kinds.WRONG_CHANNEL_OPTION(
            f"the channel option {quote(name)} takes a whole number",
            span=document.place(*_KEY, name),
            label="text, which gRPC core ignores",
            help=f"write `{_as_number(value)}`",
        )
    elif name in TEXTS and not isinstance(value, str):
        yield kinds.WRONG_CHANNEL_OPTION(
            f"the channel option {quote(name)} takes text",
            span=document.place(*_KEY, name),
            label="a number, which gRPC core ignores",
            help="quote it",
        )


def _as_number(text: str) -> str:
    """Return the number that a text stands for, such as `16MB`, or an example."""
    match = re.fullmatch(r"([0-9]{1,9}) ?(?:([kmg])i?b?)?", text, re.IGNORECASE)
    if match is None:
        return "1000"
    return str(int(match[1]) * _UNITS.get((match[2] or "").lower(), 1))
