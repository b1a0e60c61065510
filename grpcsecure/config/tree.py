"""Parsed YAML in which every key and every value knows its place.

The pipeline hands this tree on from YAML to variables to profiles, so that a finding
points into the file the value came from, whatever happened to it on the way.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Mapping as AbcMapping

    from grpcsecure.diagnostics.model import Span

__all__ = ["Entry", "Mapping", "Node", "Path", "Scalar", "Sequence", "find", "plain"]

#: Keys and indices from the root to a value.
Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    """A leaf. `text` is as written; `is_plain` says that it was not quoted.

    `from_variable` says that part of the value came from the environment, so that
    printing it may give a secret away.
    """

    value: str | int | float | bool | None = field(repr=False)
    text: str = field(repr=False)
    span: Span
    is_plain: bool = False
    from_variable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequence:
    """A list of nodes."""

    items: tuple[Node, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Entry:
    """A value in a mapping, and the place of its key."""

    key: Span
    value: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    """Named nodes, in file order."""

    entries: AbcMapping[str, Entry]
    span: Span


Node = Scalar | Sequence | Mapping


def plain(node: Node) -> object:
    """Return `node` without its places: dicts, lists and scalars, as JSON has them."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    return {key: plain(entry.value) for key, entry in node.entries.items()}


def find(root: Node, path: Path) -> tuple[Span, Span]:
    """Return the places of the key and of the value at `path`.

    A list item is its own key, and so is the root. Where the path leads past what is
    written (a default, a missing key), the places are those of the deepest part of it
    that is there.
    """
    key = span = root.span
    for step, node in _walk(root, path):
        span = node.span
        key = step or span
    return key, span


def _walk(node: Node, path: Path) -> Iterator[tuple[Span | None, Node]]:
    for step in path:
        if isinstance(node, Mapping) and isinstance(step, str) and step in node.entries:
            entry = node.entries[step]
            node = entry.value
            yield entry.key, node
        elif (
            isinstance(node, Sequence)
            and isinstance(step, int)
            and step < len(node.items)
        ):
            node = node.items[step]
            yield None, node
        else:
            return
