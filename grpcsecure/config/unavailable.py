"""Keys of features that a later version has: refused, never accepted and ignored.

The schema marks them with `x-not-yet`, which names the feature; `x-available` lists
the values that mean the same without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.config.schema_file import dereference, load_schema
from grpcsecure.config.tree import Mapping, Scalar
from grpcsecure.config.wording import dotted
from grpcsecure.diagnostics.catalog import tool as kinds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grpcsecure.config.schema_file import Schema
    from grpcsecure.config.tree import Entry, Path
    from grpcsecure.diagnostics.model import Finding

__all__ = ["find_unavailable"]


def find_unavailable(root: Mapping) -> Iterator[tuple[Path, Finding]]:
    """Find the keys in `root` that wait for a later version, with their paths."""
    yield from _walk(root, load_schema(), ())


def _walk(node: Mapping, part: Schema, path: Path) -> Iterator[tuple[Path, Finding]]:
    """Follow mappings only: no list in the schema has such keys in it."""
    properties = part.get("properties", {})
    others = part.get("additionalProperties")
    others = dereference(others) if isinstance(others, dict) else None
    for key, entry in node.entries.items():
        below = dereference(properties[key]) if key in properties else others
        if below is None:
            continue
        here = (*path, key)
        if "x-not-yet" in below and not _is_available(entry, below):
            yield here, _refuse(here, entry, below)
        elif isinstance(entry.value, Mapping):
            yield from _walk(entry.value, below, here)


def _is_available(entry: Entry, part: Schema) -> bool:
    value = entry.value
    return isinstance(value, Scalar) and value.value in part.get("x-available", ())


def _refuse(path: Path, entry: Entry, part: Schema) -> Finding:
    advice = f"remove `{path[-1]}`"
    if "x-available" in part:
        advice += f", or set it to `{part['x-available'][0]}`"
    return kinds.NOT_AVAILABLE_YET(
        f"`{dotted(path)}` is not available in this version",
        span=entry.key,
        label=f"waits for {part['x-not-yet']}",
        notes=["ignored, the server would protect less than the file says"],
        help=advice,
    )
