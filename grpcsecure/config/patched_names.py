"""Finds names in a profile that the file does not have: most are misspelled.

With `pubic` for `public`, a profile would add a listener, or remove none, in silence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.config.schema_file import item_of, load_schema, part_below
from grpcsecure.config.tree import Mapping, Scalar
from grpcsecure.config.wording import at, dotted
from grpcsecure.diagnostics.catalog import profile_kinds as kinds
from grpcsecure.diagnostics.catalog import syntax_kinds
from grpcsecure.diagnostics.suggest import did_you_mean
from grpcsecure.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grpcsecure.config.schema_file import Schema
    from grpcsecure.config.tree import Entry, Node, Path
    from grpcsecure.diagnostics.findings import Finding

__all__ = ["check_patched_names"]


def check_patched_names(name: str, patch: Node, base: Mapping) -> Iterator[Finding]:
    """Find names that a profile adds or removes by mistake.

    Args:
        name: the name of the profile.
        patch: its keys.
        base: the file without its profiles.
    """
    yield from _check(name, patch, base, load_schema(), ())


def _check(
    profile: str, patch: Node, base: Node | None, part: Schema, path: Path
) -> Iterator[Finding]:
    if not isinstance(patch, Mapping):
        return
    entries = base.entries if isinstance(base, Mapping) else {}
    item = item_of(part)
    for key, entry in patch.entries.items():
        old = entries.get(key)
        if old is not None or key in part.get("properties", {}):
            below, value = part_below(part, key), None if old is None else old.value
            yield from _check(profile, entry.value, value, below, (*path, key))
        elif item is not None:
            yield from _check_name(profile, key, entry, [*entries], item, path)
        elif _is_null(entry.value) and part.get("additionalProperties") is False:
            yield from _check_key(key, entry, part, path)


def _check_name(  # noqa: PLR0913, PLR0917 - a name, where it is, and what is there
    profile: str, key: str, entry: Entry, names: list[str], item: Schema, path: Path
) -> Iterator[Finding]:
    guess = did_you_mean(key, names)
    if _is_null(entry.value):
        yield kinds.UNKNOWN_PATCHED_NAME(
            f"the profile {quote(profile)} removes {quote(dotted((*path, key)))}, which"
            " is not there",
            span=entry.key,
            label=guess or "removes nothing",
            help="correct the name, or remove the line",
        )
    elif guess and not _is_complete(entry.value, item):
        yield kinds.UNKNOWN_PATCHED_NAME(
            f"the profile {quote(profile)} changes {quote(dotted((*path, key)))}, which"
            " is not there",
            span=entry.key,
            label=guess,
            help="correct the name, or write all keys that a new one needs",
        )
    elif guess:
        yield kinds.SIMILAR_NEW_NAME(
            f"the profile {quote(profile)} adds {quote(key)} {at(path)}",
            span=entry.key,
            label=guess,
            help="correct the name, or choose one that differs more",
        )


def _check_key(key: str, entry: Entry, part: Schema, path: Path) -> Iterator[Finding]:
    """Find a key that no config has; one that is only absent here may be removed."""
    known = sorted(part["properties"])
    if key not in known:
        yield syntax_kinds.UNKNOWN_KEY(
            f"unknown key {quote(key)} {at(path)}",
            span=entry.key,
            label=did_you_mean(key, known) or "removes nothing",
            help="correct the key, or remove the line",
        )


def _is_complete(value: Node, item: Schema) -> bool:
    """Whether a value has the keys that a new entry needs."""
    if not isinstance(value, Mapping):
        return True  # reported by the schema
    either = [
        key for part in ("if", "else") for key in item.get(part, {}).get("required", ())
    ]
    has_one = not either or any(key in value.entries for key in either)
    return has_one and all(key in value.entries for key in item.get("required", ()))


def _is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.value is None
