"""The result of config loading: a config without errors, with the places of values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from grpcsecure.config.tree import Mapping, Sequence, find
from grpcsecure.config.wording import node_at

if TYPE_CHECKING:
    from collections.abc import Mapping as AbcMapping

    from grpcsecure.config.source import Source
    from grpcsecure.diagnostics.findings import Span
    from grpcsecure.model.server_config import ServerConfig

__all__ = ["Document"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A config without errors, with the place in a file of each value.

    `tree` is the effective config: variables replaced, files included, the profile
    applied. `included` are the included files, by name. `is_development` is whether the
    profile itself has `production: false`.
    """

    source: Source
    included: AbcMapping[str, Source] = field(default_factory=dict)
    tree: Mapping
    config: ServerConfig
    profile: str | None
    is_development: bool = False

    def place(self, *path: str | int) -> Span:
        """Return the place of the value at `path`, or of the nearest parent."""
        return find(self.tree, path)[1]

    def source_of(self, *path: str | int) -> Source:
        """Return the file where the value at `path`, or its nearest parent, is."""
        return self.included.get(self.place(*path).file, self.source)

    def is_list(self, *path: str | int) -> bool:
        """Whether there is a list at `path`."""
        return isinstance(node_at(self.tree, path), Sequence)

    def has(self, *path: str | int) -> bool:
        """Whether there is a value at `path`."""
        return node_at(self.tree, path) is not None

    def key(self, *path: str | int) -> Span:
        """Return the place of the key at `path`, or of the nearest parent."""
        return find(self.tree, path)[0]
