"""Keys of features that a later version has: refused, never accepted and ignored.

The schema marks them with `x-not-yet`, which names the feature; `x-available` lists
the values that mean the same without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grpcsecure.config.tree import Mapping, Scalar
from grpcsecure.diagnostics.catalog import tool as kinds

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Mapping as AbcMapping

    from grpcsecure.config.tree import Entry, Path
    from grpcsecure.diagnostics.model import Finding

__all__ = ["dereference", "find_unavailable"]

Schema = dict[str, Any]


def find_unavailable(root: Mapping, schema: Schema) -> Iterator[tuple[Path, Finding]]:
    """Find the keys in `root` that wait for a later version, with their paths."""
    yield from _walk(root, schema, schema, ())


def dereference(part: Schema, schema: Schema) -> Schema:
    """Return a part of `schema` with what its `$ref` says beneath its own words."""
    reference = part.get("$ref")
    if reference is None:
        return part
    name = reference.removeprefix("#/$defs/")
    return {**dereference(schema["$defs"][name], schema), **part}


def _walk(
    node: Mapping, part: Schema, schema: Schema, path: Path
) -> Iterator[tuple[Path, Finding]]:
    """Follow mappings only: no list in the schema has such keys in it."""
    properties: AbcMapping[str, Schema] = part.get("properties", {})
    others = part.get("additionalProperties")
    for key, entry in node.entries.items():
        below = properties.get(key, others)
        if not isinstance(below, dict):
            continue
        below = dereference(below, schema)
        here = (*path, key)
        if "x-not-yet" in below and not _is_available(entry, below):
            yield here, _refuse(here, entry, below)
        elif isinstance(entry.value, Mapping):
            yield from _walk(entry.value, below, schema, here)


def _is_available(entry: Entry, part: Schema) -> bool:
    value = entry.value
    return isinstance(value, Scalar) and value.value in part.get("x-available", ())


def _refuse(path: Path, entry: Entry, part: Schema) -> Finding:
    available: list[str] = part.get("x-available", [])
    key = path[-1]
    advice = f"remove `{key}`"
    if available:
        advice += f", or set it to `{available[0]}`"
    return kinds.NOT_AVAILABLE_YET(
        f"`{'.'.join(map(str, path))}` is not available in this version",
        span=entry.key,
        label=f"waits for {part['x-not-yet']}",
        notes=[
            "it is refused, because ignoring it would protect less than the file says"
        ],
        help=advice,
    )
