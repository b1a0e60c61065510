"""Findings about `include`: one function for each kind.

Knows texts and places, but reads no file and merges nothing.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from grpcsecure.config.tree import Mapping, Scalar, Sequence
from grpcsecure.config.wording import dotted, first_place
from grpcsecure.diagnostics.catalog import include_kinds as kinds
from grpcsecure.diagnostics.catalog import syntax_kinds
from grpcsecure.diagnostics.findings import Label
from grpcsecure.diagnostics.nearby import find_nearby
from grpcsecure.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from grpcsecure.config.profiles import ReplacedList
    from grpcsecure.config.tree import Entry, Node
    from grpcsecure.config.tree import Path as KeyPath
    from grpcsecure.diagnostics.findings import Finding, Span

__all__ = [
    "circle",
    "empty_list",
    "foreign_version",
    "misplaced_key",
    "not_a_list",
    "not_a_path",
    "not_text",
    "null_key",
    "replaced_list",
    "too_large",
    "too_many",
    "unreadable",
    "value_of_file",
]

_ONE_PATH = "write the path of a file, such as `shared/identities.yaml`"


def not_a_list(include: Entry) -> Finding:
    """Report an `include` that is a single path, a mapping or empty."""
    node = include.value
    path = node.text if isinstance(node, Scalar) and not node.from_variable else ""
    example = path if path.isprintable() and 0 < len(path) < 60 else "shared/base.yaml"  # noqa: PLR2004 - fits a line
    return syntax_kinds.WRONG_TYPE(
        f"`include` is {_describe(node)}; a list is expected",
        span=include.key,
        help=f"write `include: [{example}]`",
    )


def empty_list(include: Entry) -> Finding:
    """Report `include: []`."""
    return syntax_kinds.EMPTY_VALUE(
        "`include` is empty",
        span=include.key,
        label="at least one entry is needed",
        help="add the path of a file, or remove the line",
    )


def not_text(index: int, node: Node) -> Finding:
    """Report an item that is a number, a list, a mapping or empty."""
    return syntax_kinds.WRONG_TYPE(
        f"`include[{index}]` is {_describe(node)}; a path is expected",
        span=first_place(node.span),
        help=_ONE_PATH,
    )


def not_a_path(index: int, node: Node) -> Finding:
    """Report text that is no path, such as the content of a file."""
    return syntax_kinds.INVALID_VALUE(
        f"invalid value for `include[{index}]`",
        span=first_place(node.span),
        help=_ONE_PATH,
    )


def value_of_file(index: int, node: Node) -> Finding:
    """Report `${file:…}` in a path."""
    return kinds.SHOWN_FILE_VALUE(
        f"`include[{index}]` cannot come from a file",
        span=node.span,
        label="its path is shown in findings",
        help="write the path, or a variable: `${VAR}`",
    )


def unreadable(item: Scalar, path: Path, reason: str) -> Finding:
    """Report a file that is missing, or cannot be read for another reason."""
    if item.from_variable:
        return kinds.UNREADABLE_INCLUDE(
            f"cannot include a file: {reason}",
            span=item.span,
            label="comes from a variable",
            help="correct the variable",
        )
    meant = find_nearby(str(path)) if reason.startswith("no such file") else None
    folder, _ = os.path.split(item.text)
    return kinds.UNREADABLE_INCLUDE(
        f"cannot include {quote(item.text)}: {reason}",
        span=item.span,
        label=f"looked for {path}",
        help="write a path that starts at the directory of this file"
        if meant is None
        else f"did you mean {quote(os.path.join(folder, os.path.basename(meant)))}?",  # noqa: PTH118, PTH119 - as written
    )


def circle(place: Span, names: Iterable[str]) -> Finding:
    """Report files that include one another; `names` is the chain of them."""
    return kinds.CIRCULAR_INCLUDE(
        f"a file includes itself: {' -> '.join(map(quote, names))}",
        span=place,
        label="closes the circle",
        help="remove one of these includes; put what both files need into a third one",
    )


def too_many(place: Span, problem: str) -> Finding:
    """Report too many files, or too many in a chain."""
    return kinds.TOO_MANY_INCLUDES(
        problem, span=place, label="this one is not read", help="include fewer files"
    )


def too_large(place: Span) -> Finding:
    """Report files that are larger in all than one config may be."""
    return syntax_kinds.OVERSIZED_CONFIG(
        "the included files are larger than 8 MiB in all",
        span=place,
        label="exceeds the limit",
        help="include fewer or smaller files",
    )


def misplaced_key(key: str, place: Span, name: str) -> Finding:
    """Report `profiles` or `production` in an included file."""
    return kinds.MISPLACED_INCLUDED_KEY(
        f"the included file {quote(name)} has `{key}`",
        span=place,
        label="only the config of a server has this key",
        help="move it to the config that includes this file",
    )


def foreign_version(place: Span) -> Finding:
    """Report a `version` other than 1 in an included file."""
    return syntax_kinds.UNKNOWN_VALUE(
        "unknown value for `version`",
        span=place,
        label="not a value of `version`",
        help="valid values: 1",
    )


def null_key(path: KeyPath, place: Span) -> Finding:
    """Report a null in an included file."""
    return kinds.NULL_IN_INCLUDE(
        f"{quote(dotted(path))} is null in an included file",
        span=place,
        label="an included file removes nothing",
        help="write its value, or remove the line",
    )


def replaced_list(one: ReplacedList) -> Finding:
    """Report a value in the place of an included list."""
    return kinds.REPLACED_LIST(
        f"{quote(dotted(one.path))} replaces the included list",
        span=one.new.key,
        label="lists are not merged",
        secondary=[Label(span=one.old.key, text="its items are gone")],
        help="repeat the items that are still wanted, or keep the list in one file",
    )


def _describe(node: Node) -> str:
    if isinstance(node, Mapping):
        return "a mapping"
    if isinstance(node, Sequence):
        return "a list"
    if node.value is None:
        return "empty"
    if isinstance(node.value, bool):
        return "a boolean"
    return "text" if isinstance(node.value, str) else "a number"
