"""The JSON Schema of the config as text and as data.

Knows where the file is and how `$ref` works, but not the content of the schema.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "Schema",
    "dereference",
    "home_of",
    "item_of",
    "load_schema",
    "part_below",
    "schema_text",
]

Schema = dict[str, Any]

_FILE = Path("schemas") / "config.schema.json"


def schema_text() -> str:
    """Return the JSON Schema (2020-12) as text.

    It is package data in a wheel, and the checkout's `schemas/` in an editable install.
    """
    package = Path(__file__).parent.parent
    # The loader that imported this module reads the file, also from a zip archive.
    # importlib.resources would do the same, but its import takes longer than that of
    # this whole package.
    loader: Any = __spec__.loader
    try:
        data: bytes = loader.get_data(str(package / _FILE))
    except OSError:
        data = loader.get_data(str(package.parent / _FILE))
    return data.decode()


@functools.cache
def load_schema() -> Schema:
    """Return the JSON Schema as data. It is shared: callers must not change it."""
    schema: Schema = json.loads(schema_text())
    return schema


def dereference(part: Schema) -> Schema:
    """Return a part of the schema merged over the definition that its `$ref` names."""
    reference = part.get("$ref")
    if reference is None:
        return part
    name = reference.removeprefix("#/$defs/")
    return {**dereference(load_schema()["$defs"][name]), **part}


def part_below(part: Schema, key: str) -> Schema:
    """Return the schema of the value of a key; of an unknown one, that of any value."""
    below = part.get("properties", {}).get(key, part.get("additionalProperties"))
    return dereference(below) if isinstance(below, dict) else {}


def item_of(part: Schema) -> Schema | None:
    """Return the schema of the values of a mapping by name, or None for another one."""
    others = part.get("additionalProperties")
    if not isinstance(others, dict) or part.get("properties"):
        return None
    item = dereference(others)
    if item.get("title") == "Profile":
        return load_schema()
    if "$ref" in item.get("else", ()):  # an identity: one matcher, or a list of them
        item = dereference(item["else"])
    return item if item.get("properties") else None


def home_of(key: str) -> tuple[str, ...] | None:
    """Return the path of the mapping where `key` belongs, with `<name>` for any name.

    Returns:
        None if the schema has the key nowhere or in several places.
    """
    homes = [home for name, home in _known_keys() if name == key]
    return homes[0] if len(homes) == 1 else None


@functools.cache
def _known_keys() -> list[tuple[str, tuple[str, ...]]]:
    return list(_walk_keys(load_schema(), ()))


def _walk_keys(
    part: Schema, path: tuple[str, ...]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    for key, below in part.get("properties", {}).items():
        resolved = dereference(below)
        yield key, path
        yield from _walk_keys(resolved, (*path, key))
    others = part.get("additionalProperties")
    if isinstance(others, dict):
        yield from _walk_keys(dereference(others), (*path, "<name>"))
