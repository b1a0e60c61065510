"""`${file:PATH}`: the text of a file as a value, and where such a value may stand.

Invariant: no finding has any of that text.
"""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING

from grpcsecure.config.schema_file import dereference, load_schema, part_below
from grpcsecure.config.tree import Mapping, Scalar, Sequence
from grpcsecure.config.wording import dotted
from grpcsecure.diagnostics.catalog import include_kinds as kinds
from grpcsecure.diagnostics.nearby import find_nearby
from grpcsecure.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from grpcsecure.config.referenced_files import ReferencedFiles
    from grpcsecure.config.schema_file import Schema
    from grpcsecure.config.tree import Node
    from grpcsecure.config.tree import Path as KeyPath
    from grpcsecure.diagnostics.findings import Finding, Span

__all__ = ["MAX_BYTES", "check_file_values", "placeholder", "read_file_value"]

#: Size limit of a file. Secrets and names are far smaller.
MAX_BYTES = 64 * 1024


def read_file_value(
    path: str, files: ReferencedFiles, *, directory: Path, span: Span
) -> str | Finding:
    """Return the text of a file without one newline at its end, or a finding.

    Args:
        path: the path as written.
        files: reads the file.
        directory: where relative paths start.
        span: the place of the reference.
    """
    data = files.read(directory / path, MAX_BYTES)
    if isinstance(data, str):
        return _unreadable(path, data, directory / path, span)
    if len(data) > MAX_BYTES:
        return _unusable(path, "is larger than 64 KiB", span)
    if b"\0" in data:
        return _unusable(path, "has a NUL byte", span)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return _unusable(path, "is not UTF-8 text", span)
    newline = "\r\n" if text.endswith("\r\n") else "\n"
    return text.removesuffix(newline)


def _unreadable(path: str, reason: str, whole: Path, span: Span) -> Finding:
    nearby = find_nearby(str(whole)) if reason.startswith("no such file") else None
    meant = None if nearby is None else _beside(path, nearby)
    return kinds.UNREADABLE_FILE_VALUE(
        f"cannot read {quote(path)} for a value: {reason}",
        span=span,
        label="" if str(whole) == path else f"looked for {whole}",
        help="write a path that starts at the directory of this file"
        if meant is None
        else f"did you mean {quote(meant)}?",
    )


def _beside(path: str, other: str) -> str:
    """Return the path of a file in the same directory, written as `path` is."""
    return os.path.join(os.path.split(path)[0], os.path.split(other)[1])  # noqa: PTH118 - as written


def _unusable(path: str, problem: str, span: Span) -> Finding:
    return kinds.UNREADABLE_FILE_VALUE(
        f"{quote(path)} {problem}, and cannot be a value",
        span=span,
        label="its text is the value",
        help="write the path of a text file of at most 64 KiB",
    )


def placeholder(node: Scalar) -> str:
    """Return the text that stands for a value that was not read.

    It is base64 and printable, as values of metadata have to be, and the same for the
    same reference alone.
    """
    return base64.b64encode(f"{node.span.file}:{node.text}".encode()).decode()


def check_file_values(root: Mapping) -> Iterator[Finding]:
    """Find values from files that the server would show in logs and findings."""
    for path, node in _values(root, ()):
        if node.from_file and not _may_stand_at(path):
            yield kinds.SHOWN_FILE_VALUE(
                f"{quote(dotted(path))} cannot come from a file",
                span=node.span,
                label="this value is shown in logs, that of a file never",
                help="write the value, or a variable: `${VAR}`",
            )


def _values(node: Node, path: KeyPath) -> Iterator[tuple[KeyPath, Scalar]]:
    if isinstance(node, Scalar):
        yield path, node
    elif isinstance(node, Sequence):
        for index, item in enumerate(node.items):
            yield from _values(item, (*path, index))
    else:
        for key, entry in node.entries.items():
            if (*path, key) != ("profiles",):
                yield from _values(entry.value, (*path, key))


def _may_stand_at(path: KeyPath) -> bool:
    """Whether a value is not shown, or is a duration, a size or a known word."""
    if path[:1] == ("services",) or path[:2] == ("server", "interceptors"):
        return "with" in path[2:4]
    if path[:1] == ("identities",):
        return path[-1] != "certificates"
    if path[:1] == ("authorization",) and path[3:4] == ("metadata",):
        return True
    part = _part_at(path)
    is_choice = "enum" in part and "default" in part
    return is_choice or str(part.get("$ref", "")).endswith(("duration", "size"))


def _part_at(path: KeyPath) -> Schema:
    part = load_schema()
    for step in path:
        below = part.get("items", {}) if isinstance(step, int) else None
        part = part_below(part, str(step)) if below is None else dereference(below)
    return part
