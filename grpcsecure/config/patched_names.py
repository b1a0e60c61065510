"""Finds names in a patch that its target does not have: most are misspelled.

With `pubic` for `public`, a profile would add a listener, or remove none, in silence;
so would a file over what it includes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.config.profiles import is_null
from grpcsecure.config.schema_file import item_of, load_schema, part_below
from grpcsecure.config.tree import Mapping
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


def check_patched_names(subject: str, patch: Node, base: Node) -> Iterator[Finding]:
    """Find names that a patch adds or removes by mistake.

    Args:
        subject: what the patch is called: "the profile `dev`".
        patch: its keys.
        base: what it is applied to.
    """
    yield from _check(subject, patch, base, load_schema(), ())


def _check(
    subject: str, patch: Node, base: Node | None, part: Schema, path: Path
) -> Iterator[Finding]:
    if not isinstance(patch, Mapping):
        return
    entries = base.entries if isinstance(base, Mapping) else {}
    item = item_of(part)
    for key, entry in patch.entries.items():
        old = entries.get(key)
        if old is not None or key in part.get("properties", {}):
            below, value = part_below(part, key), None if old is None else old.value
            yield from _check(subject, entry.value, value, below, (*path, key))
        elif item is not None:
            yield from _check_name(subject, key, entry, [*entries], item, path)
        elif is_null(entry.value) and part.get("additionalProperties") is False:
            yield from _check_key(key, entry, part, path)


def _check_name(  # noqa: PLR0913, PLR0917 - a name, where it is, and what is there
    subject: str, key: str, entry: Entry, names: list[str], item: Schema, path: Path
) -> Iterator[Finding]:
    guess = did_you_mean(key, names)
    if is_null(entry.value):
        yield kinds.UNKNOWN_PATCHED_NAME(
            f"{subject} removes {quote(dotted((*path, key)))}, which is not there",
            span=entry.key,
            label=guess or "removes nothing",
            help="correct the name, or remove the line",
        )
    elif guess and not _is_complete(entry.value, item):
        yield kinds.UNKNOWN_PATCHED_NAME(
            f"{subject} changes {quote(dotted((*path, key)))}, which is not there",
            span=entry.key,
            label=guess,
            help="correct the name, or write all keys that a new one needs",
        )
    elif guess:
        yield kinds.SIMILAR_NEW_NAME(
            f"{subject} adds {quote(key)} {at(path)}",
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
