"""How a finding names a place in a config, and which values it may show.

Invariant: a value that came from a variable, or stands where key material might, is
never shown. Names of methods, listeners, rules and identities are no values here: they
are in every log, and are shown wherever they came from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.config.tree import Mapping, Node, Scalar, Sequence, find
from grpcsecure.diagnostics.model import Span
from grpcsecure.quoting import quote

if TYPE_CHECKING:
    from grpcsecure.config.tree import Path

__all__ = [
    "at",
    "dotted",
    "first_place",
    "invalid_value",
    "is_from_variable",
    "key_place",
    "node_at",
    "remark",
    "shown",
]

#: Longer values are shown nowhere: a path or an address is shorter, a key is not.
_MAX_SHOWN = 200


def dotted(path: Path) -> str:
    """Return a path as people write it: `services[0].servicer`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
    return text


def at(path: Path) -> str:
    """Return where `path` is, for the end of a message."""
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
    """Whether a value came from a variable, all of it or a part."""
    return isinstance(node, Scalar) and node.from_variable


def shown(node: Node | None) -> str | None:
    """Return a scalar in backticks, or None where it is not to be shown."""
    if not isinstance(node, Scalar) or is_from_variable(node):
        return None
    if not node.text:
        return '`""`'
    return quote(node.text) if len(node.text) <= _MAX_SHOWN else None


def remark(node: Node | None, text: str = "") -> str:
    """Return a label for a value: `text`, or why the value is not shown."""
    if is_from_variable(node):
        return "comes from a variable"
    return text


def invalid_value(node: Node | None, path: Path) -> str:
    """Return a message that the value at `path` is not a good one."""
    text = shown(node) if path[-1] != "private_key" else None
    return f"invalid value {text or ''}".rstrip() + f" for {quote(dotted(path))}"


def first_place(span: Span) -> Span:
    """Return the first character of a span, for values that fill many lines."""
    return Span(span.file, span.line, span.column, span.line, span.column + 1)


def key_place(root: Node, path: Path) -> Span:
    """Return the place of a key; of a list item or the whole config, its beginning."""
    span, _ = find(root, path)
    return span if path and isinstance(path[-1], str) else first_place(span)
