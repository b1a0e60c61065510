"""Makes relative paths of included files absolute, for the effective config.

That is one file: its relative paths start at the directory of the config itself.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from grpcsecure.config.tree import Entry, Mapping, Scalar, Sequence

if TYPE_CHECKING:
    import pathlib

    from grpcsecure.config.document import Document
    from grpcsecure.config.tree import Node

__all__ = ["PATH_KEYS", "with_absolute_paths"]

#: The keys whose values are paths, lists of them, or mappings with them.
PATH_KEYS = frozenset(
    {
        "audit_file",
        "certificate",
        "certificates",
        "client_ca",
        "crl",
        "import_paths",
        "private_key",
    }
)

_UNIX = "unix:"


def with_absolute_paths(root: Mapping, document: Document) -> Mapping:
    """Return the tree with paths that mean the same as in the file that has them."""
    moved = {
        name: source.directory
        for name, source in document.included.items()
        if source.directory != document.source.directory
    }
    # Arguments of servicers are no paths to grpcsecure.
    entries = {
        key: entry
        if key == "services"
        else Entry(entry.key, _convert(entry.value, key, moved))
        for key, entry in root.entries.items()
    }
    return Mapping(entries=entries, span=root.span)


def _convert(node: Node, key: str, moved: dict[str, pathlib.Path]) -> Node:
    """Return a node below a key; names, as of trust domains, are below their key."""
    if isinstance(node, Sequence):
        items = tuple(_convert(item, key, moved) for item in node.items)
        return Sequence(items=items, span=node.span)
    if isinstance(node, Mapping):
        entries = {
            name: Entry(
                entry.key,
                _convert(entry.value, key if key == "client_ca" else name, moved),
            )
            for name, entry in node.entries.items()
        }
        return Mapping(entries=entries, span=node.span)
    directory = moved.get(node.span.file)
    if directory is None or not isinstance(node.value, str):
        return node
    return _absolute(node, key, directory)


def _absolute(node: Scalar, key: str, directory: pathlib.Path) -> Scalar:
    text = str(node.value)
    if key in PATH_KEYS:
        return replace(node, value=str(directory / text))
    if key == "address" and text.startswith(_UNIX):
        path = directory / text.removeprefix(_UNIX)
        return replace(node, value=f"{_UNIX}{path}")
    return node
