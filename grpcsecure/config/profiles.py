"""Profiles: JSON Merge Patches (RFC 7396) that are applied to the rest of the file.

Files are merged over what they include in the same way.

Knows nodes only. Invariant: every value in the result is a node of the file or of the
patch, so that a finding about it points to the place where it was written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from grpcsecure.config.tree import Entry, Mapping, Node, Scalar, Sequence
from grpcsecure.diagnostics.catalog import syntax_kinds as kinds
from grpcsecure.diagnostics.suggest import nearest
from grpcsecure.errors import UsageError
from grpcsecure.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grpcsecure.config.tree import Path
    from grpcsecure.diagnostics.findings import Finding

__all__ = [
    "ReplacedList",
    "check_kept_keys",
    "check_patch",
    "find_profile",
    "is_null",
    "merge_patch",
    "profile_names",
    "sets_production",
]


@dataclass(frozen=True, slots=True)
class ReplacedList:
    """A list of the target in whose place the patch has another value."""

    path: Path
    old: Entry
    new: Entry


#: Keys that a profile cannot change: they are read before any profile is applied.
_FIXED = ("version", "profiles", "include")

#: Keys that no patch may remove: without them, a server is open or does not serve.
_KEPT = ("authorization", "listeners", "production")


def profile_names(root: Mapping) -> tuple[str, ...]:
    """Return the names of the profiles in the file, in its order."""
    profiles = root.entries.get("profiles")
    if profiles is None or not isinstance(profiles.value, Mapping):
        return ()
    return tuple(profiles.value.entries)


def find_profile(root: Mapping, name: str) -> Entry:
    """Return the profile called `name`.

    Raises:
        UsageError: no profile has this name; the text suggests the nearest name, or
            lists the first ten names.
    """
    profiles = root.entries.get("profiles")
    if profiles is not None and isinstance(profiles.value, Mapping):
        found = profiles.value.entries.get(name)
        if found is not None:
            return found
    names = profile_names(root)
    if not names:
        raise UsageError(f"no profile {quote(name)}: the config has no profiles")
    meant = nearest(name, names)
    if meant is not None:
        raise UsageError(f"no profile {quote(name)}; did you mean {quote(meant)}?")
    known = ", ".join(quote(known) for known in names[:10])
    raise UsageError(f"no profile {quote(name)}; the config has {known}")


def check_patch(name: str, profile: Entry) -> Iterator[Finding]:
    """Find errors of a profile that prevent its application."""
    patch = profile.value
    if not isinstance(patch, Mapping):
        yield kinds.WRONG_TYPE(
            f"the profile {quote(name)} is not a mapping",
            span=profile.key,
            label="keys of a config are expected under it",
            help="write the keys it changes, or `{}` if it changes none",
        )
        return
    for key in _FIXED:
        if key in patch.entries:
            yield kinds.UNPATCHABLE_KEY(
                f"the profile {quote(name)} changes `{key}`",
                span=patch.entries[key].key,
                label="a profile cannot change this key",
                help=f"remove `{key}` from the profile",
            )
    yield from check_kept_keys(f"the profile {quote(name)}", patch)


def check_kept_keys(subject: str, patch: Mapping) -> Iterator[Finding]:
    """Find keys that no patch may remove; `subject` is what the patch is called."""
    for key in _KEPT:
        if key in patch.entries and is_null(patch.entries[key].value):
            yield kinds.REMOVED_KEY(
                f"{subject} removes `{key}`",
                span=patch.entries[key].key,
                label="an empty value is null, which removes the key",
                help=f"write the value of `{key}`, or remove the line",
            )


def sets_production(profile: Entry) -> bool:
    """Whether a profile has a value for `production` of its own."""
    return isinstance(profile.value, Mapping) and "production" in profile.value.entries


def is_null(node: Node) -> bool:
    """Whether a value is null, or not written."""
    return isinstance(node, Scalar) and node.value is None


def merge_patch(
    target: Node | None,
    patch: Node,
    *,
    path: Path = (),
    replaced: list[ReplacedList] | None = None,
    keeps_idle_nulls: bool = False,
) -> Node:
    """Return `target` with `patch` applied, as in RFC 7396, section 2.

    A null in the patch removes the key; mappings are merged; any other value replaces
    the old one.

    Args:
        target: what the patch is applied to.
        patch: the patch.
        path: where both are in the config.
        replaced: lists in the target that the patch replaces are added to it.
        keeps_idle_nulls: whether a null stays that removes nothing. The schema reports
            it: without the target, it would be an empty key.
    """
    if not isinstance(patch, Mapping):
        return patch
    is_mapping = isinstance(target, Mapping)
    entries = dict(target.entries) if isinstance(target, Mapping) else {}
    for key, entry in patch.entries.items():
        if is_null(entry.value):
            removed = entries.pop(key, None)
            if removed is None and keeps_idle_nulls:
                entries[key] = entry
            continue
        old = entries.get(key)
        here = (*path, key)
        if replaced is not None and old and isinstance(old.value, Sequence):
            replaced.append(ReplacedList(here, old, entry))
        value = merge_patch(
            old.value if old else None,
            entry.value,
            path=here,
            replaced=replaced,
            keeps_idle_nulls=keeps_idle_nulls,
        )
        merges = old and isinstance(old.value, Mapping) and isinstance(value, Mapping)
        entries[key] = Entry(old.key if old and merges else entry.key, value)
    span = target.span if target is not None and is_mapping else patch.span
    return Mapping(entries=entries, span=span)
