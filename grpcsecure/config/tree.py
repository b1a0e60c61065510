"""The tree of parsed YAML, in which every key and every value has its place.

The pipeline passes this tree from YAML to variables to profiles, so that a finding
about a changed value still points to the place where it was written.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Mapping as AbcMapping

    from grpcsecure.diagnostics.findings import Span

__all__ = ["Entry", "Mapping", "Node", "Path", "Scalar", "Sequence", "find", "plain"]

#: Keys and indices from the root to a value.
Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    """A leaf. `text` is as written; `is_plain` is true if it was not quoted.

    `from_variable` is true if part of the value came from the environment or from a
    file, so that printing it could reveal a secret. `from_file` is true if part of it
    came from a file: `text` is then as written, before `${file:…}` was replaced. If
    `is_unknown`, that file was not read, and `value` stands for any text.
    """

    value: str | int | float | bool | None = field(repr=False)
    text: str = field(repr=False)
    span: Span
    is_plain: bool = False
    from_variable: bool = False
    from_file: bool = False
    is_unknown: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequence:
    """A list of nodes."""

    items: tuple[Node, ...]
    span: Span


class Entry(NamedTuple):
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
    """Return `node` as plain dicts, lists and scalars, without places."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    return {key: plain(entry.value) for key, entry in node.entries.items()}


def find(root: Node, path: Path) -> tuple[Span, Span]:
    """Return the places of the key and of the value at `path`.

    A list item and the root have the same place for key and value. If a part of the
    path is not written (a default, a missing key), the places are those of its nearest
    existing parent.
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
