"""Helpers for building the model from a tree: typed access to keys, values, parsers.

Knows the tree and turns a parser's error into a finding; knows no key of the config.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grpcsecure.config.tree import Mapping, Node, Scalar, Sequence
from grpcsecure.config.wording import invalid_value, is_unknown, remark
from grpcsecure.diagnostics.catalog import syntax_kinds as kinds

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Callable, Iterator
    from collections.abc import Mapping as AbcMapping
    from typing import TypeVar

    from grpcsecure.config.tree import Path
    from grpcsecure.diagnostics.findings import Finding

    T = TypeVar("T")

__all__ = ["Part", "Reader", "items_of", "texts_of", "value_of"]


class Part:
    """A mapping of the tree with its path; gives access to the values by key."""

    def __init__(self, node: Node, path: Path) -> None:
        self.path = path
        self._entries = node.entries if isinstance(node, Mapping) else {}

    def node(self, key: str) -> Node | None:
        """Return the value of a key, or None if the key is absent."""
        entry = self._entries.get(key)
        return entry.value if entry else None

    def items(self) -> Iterator[tuple[str, Node]]:
        """Yield the keys and their values, in file order."""
        for key, entry in self._entries.items():
            yield key, entry.value

    def part(self, key: str) -> Part | None:
        """Return the mapping under a key, or None if the key is absent."""
        node = self.node(key)
        return None if node is None else Part(node, (*self.path, key))

    def parts(self, key: str) -> Iterator[tuple[str, Part]]:
        """Yield name and value of each mapping under a key; none if it is absent."""
        part = self.part(key)
        for name, node in part.items() if part else ():
            yield name, Part(node, (*self.path, key, name))


class Reader:
    """Parses values, and collects a finding for each value that does not parse.

    `directories` has the base of relative paths for each file of the config, by its
    name: a path is relative to the file that has it.
    """

    def __init__(self, directories: AbcMapping[str, pathlib.Path]) -> None:
        self.findings: list[Finding] = []
        self._directories = directories

    def directory_of(self, node: Node) -> pathlib.Path:
        """Return the base of a relative path."""
        return self._directories[node.span.file]

    def path(self, node: Node) -> pathlib.Path:
        """Return the absolute form of a path."""
        return self.directory_of(node) / str(value_of(node))

    def paths(self, node: Node | None) -> tuple[pathlib.Path, ...]:
        """Return the absolute forms of the paths in a list."""
        return tuple(map(self.path, items_of(node)))

    def given_paths(self, part: Part, *keys: str) -> dict[str, Any]:
        """Return the absolute forms of the paths at the keys that are present."""
        nodes = ((key, part.node(key)) for key in keys)
        return {key: self.path(node) for key, node in nodes if node is not None}

    def given(self, part: Part, **parsers: Callable[[Any], object]) -> dict[str, Any]:
        """Parse the keys that are known; the model has the defaults of the others.

        A value that does not parse becomes a finding and None; a model with such a None
        is dropped by `build_config`.
        """
        given: dict[str, Any] = {}
        for key, parse in parsers.items():
            node = part.node(key)
            if node is not None and not is_unknown(node):
                given[key] = self.parsed(node, (*part.path, key), parse)
        return given

    def parsed(self, node: Node, path: Path, parse: Callable[[Any], T]) -> T | None:
        """Parse a scalar with `parse`; on ValueError, add a finding and return None.

        A value that is not known is not parsed.
        """
        if is_unknown(node):
            return None
        try:
            return parse(value_of(node))
        except ValueError as error:
            self._report(path, node, error)
            return None

    def _report(self, path: Path, node: Node, error: ValueError) -> None:
        # Only errors of this package's parsers (they begin with "expected") are shown;
        # texts of the standard library would repeat the value.
        from grpcsecure.config.value_advice import advise_value

        text = str(error)
        label, advice = advise_value(path, node, "") or (
            "",
            "write " + text.removeprefix("expected ")
            if text.startswith("expected")
            else None,
        )
        self.findings.append(
            kinds.INVALID_VALUE(
                invalid_value(node, path),
                span=node.span,
                label=remark(node, label),
                help=advice,
            )
        )


def value_of(node: Node | None) -> object:
    """Return the value of a scalar, or None for any other node."""
    return node.value if isinstance(node, Scalar) else None


def items_of(node: Node | None) -> tuple[Node, ...]:
    """Return the items of a list, or an empty tuple for any other node."""
    return node.items if isinstance(node, Sequence) else ()


def texts_of(node: Node | None) -> tuple[str, ...]:
    """Return the items of a list as text."""
    return tuple(str(value_of(item)) for item in items_of(node))
