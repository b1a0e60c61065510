"""Texts of findings: how they name a place in a config, and which values they may show.

Invariant: a value that came from a variable or a file, or that may be key material, is
never shown. This does not include the names of methods, listeners, rules and
identities: they are in every log, and are shown even if they came from a variable. No
name comes from a file (GS145).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.config.tree import Mapping, Node, Scalar, Sequence, find
from grpcsecure.diagnostics.findings import Span
from grpcsecure.quoting import quote

if TYPE_CHECKING:
    from grpcsecure.config.tree import Path

__all__ = [
    "at",
    "dotted",
    "first_place",
    "invalid_value",
    "is_from_file",
    "is_from_variable",
    "is_unknown",
    "key_place",
    "node_at",
    "remark",
    "shown",
]

#: Longer values are never shown: paths and addresses are shorter, key material is not.
_MAX_SHOWN = 200


def dotted(path: Path) -> str:
    """Return a path in dotted form: `services[0].servicer`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
    return text


def at(path: Path) -> str:
    """Return a phrase with the path for the end of a message: "in `server`"."""
    return f"in {quote(dotted(path))}" if path else "at the top level"


def node_at(root: Node, path: Path) -> Node | None:
    """Return the node at `path`, or None."""
    node = root
    for step in path:
        if isinstance(node, Mapping) and step in node.entries:
            node = node.entries[str(step)].value
        elif isinstance(node, Sequence) and isinstance(step, int):
            node = node.items[step]
        else:
            return None
    return node


def is_from_variable(node: Node | None) -> bool:
    """Whether a value came from a variable or a file, entirely or in part."""
    return isinstance(node, Scalar) and node.from_variable


def is_from_file(node: Node | None) -> bool:
    """Whether a value came from a file, entirely or in part."""
    return isinstance(node, Scalar) and node.from_file


def is_unknown(node: Node | None) -> bool:
    """Whether a value comes from a file that was not read."""
    return isinstance(node, Scalar) and node.is_unknown


def shown(node: Node | None) -> str | None:
    """Return a scalar in backticks, or None if it must not be shown."""
    if not isinstance(node, Scalar) or is_from_variable(node):
        return None
    if not node.text:
        return '`""`'
    return quote(node.text) if len(node.text) <= _MAX_SHOWN else None


def remark(node: Node | None, text: str = "") -> str:
    """Return a label for a value: `text`, or the reason why it is not shown."""
    if isinstance(node, Scalar) and node.from_variable:
        return "comes from a file" if node.from_file else "comes from a variable"
    return text


def invalid_value(node: Node | None, path: Path) -> str:
    """Return the message that the value at `path` is invalid."""
    text = shown(node) if path[-1] != "private_key" else None
    return f"invalid value {text or ''}".rstrip() + f" for {quote(dotted(path))}"


def first_place(span: Span) -> Span:
    """Return the span of the first character, for values of many lines."""
    return Span(span.file, span.line, span.column, span.line, span.column + 1)


def key_place(root: Node, path: Path) -> Span:
    """Return the place of a key, or the first character of a list item or the root."""
    span, _ = find(root, path)
    return span if path and isinstance(path[-1], str) else first_place(span)
