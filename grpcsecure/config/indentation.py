"""Finds keys at the wrong indentation, and puts them where they belong.

A block that is indented too little looks like many mistakes: unknown keys at one place,
missing keys at another. Each such block is one finding. The tree is repaired, so that
the rest of it can be checked; a repaired tree is never served.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from grpcsecure.config.schema_file import (
    dereference,
    home_of,
    item_of,
    load_schema,
    part_below,
)
from grpcsecure.config.tree import Entry, Mapping, Scalar, Sequence
from grpcsecure.config.wording import at, dotted, node_at
from grpcsecure.diagnostics.catalog import syntax_kinds as kinds
from grpcsecure.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grpcsecure.config.schema_file import Schema
    from grpcsecure.config.tree import Node, Path
    from grpcsecure.diagnostics.findings import Finding

__all__ = ["repair_indentation"]

#: Most blocks that are repaired: beyond this number, they repeat one mistake.
_MAX_MOVES = 20

#: Stands for the name that is missing above the keys of a listener.
_NAMELESS = "NAME"


class _Move(NamedTuple):
    """Entries of one mapping that belong in another, and the finding about them."""

    source: Path
    keys: tuple[str, ...]
    target: Path
    finding: Finding


def repair_indentation(root: Mapping) -> tuple[Mapping, list[Finding]]:
    """Return the tree with misplaced blocks put right, and a finding for each."""
    findings: list[Finding] = []
    for _ in range(_MAX_MOVES):
        move = next(_find_moves(root, load_schema(), ()), None)
        if move is None:
            break
        findings.append(move.finding)
        root = _apply(root, move)
    return root, findings


def _find_moves(node: Node, part: Schema, path: Path) -> Iterator[_Move]:
    if isinstance(node, Sequence):
        item = dereference(part.get("items", {}))
        for index, each in enumerate(node.items):
            yield from _find_moves(each, item, (*path, index))
    if not isinstance(node, Mapping):
        return
    yield from _below_empty_key(node, part, path)
    yield from _at_level_of_names(node, part, path)
    yield from _above_home(node, part, path)
    for key, entry in node.entries.items():
        if (*path, key) != ("profiles",):
            yield from _find_moves(entry.value, part_below(part, key), (*path, key))


def _below_empty_key(node: Mapping, part: Schema, path: Path) -> Iterator[_Move]:
    """Find an empty key with the keys that belong under it beside it."""
    names = item_of(part)
    for key, entry in node.entries.items():
        if not isinstance(entry.value, Scalar) or entry.value.value is not None:
            continue
        below = part_below(part, key) if names is None else names
        after = [
            other
            for other, one in node.entries.items()
            if one.key.line > entry.key.line
            and other not in part.get("properties", {})
            and _fits(other, one.value, below, is_named=names is not None)
        ]
        if after:
            yield _Move(
                path,
                tuple(after),
                (*path, key),
                _report(
                    node,
                    after,
                    f"{quote(after[0])} is not indented under {quote(key)}",
                    f"belongs in {quote(dotted((*path, key)))}",
                    f"indent it further than `{key}:`" + _and_more(after),
                ),
            )


def _fits(key: str, value: Node, part: Schema, *, is_named: bool) -> bool:
    """Whether an entry may belong under an empty key with the schema `part`."""
    item = item_of(part)
    if item is not None:
        return _is_like(value, item)
    if part.get("additionalProperties") is True:  # arguments of a servicer
        return True
    is_known = key in part.get("properties", {})
    # A name may be that of a key: `listeners: {tls: {address: …}}`.
    return is_known and not (is_named and _is_like(value, part))


def _is_like(value: Node, part: Schema) -> bool:
    """Whether a value has keys, and all of them are those of the schema `part`."""
    if not isinstance(value, Mapping) or not value.entries:
        return False
    return set(value.entries) <= set(part["properties"])


def _at_level_of_names(node: Mapping, part: Schema, path: Path) -> Iterator[_Move]:
    """Find the keys of an item, such as `tls`, among the names of the items."""
    item = item_of(part)
    if item is None or path == ("profiles",):
        return
    stray = [
        key
        for key, entry in node.entries.items()
        if key in item["properties"] and not _is_like(entry.value, item)
    ]
    if not stray:
        return
    before: str | None = None
    for key, entry in node.entries.items():
        if key == stray[0]:
            break
        before = key if isinstance(entry.value, Mapping) else before
    if before is not None:
        advice = f"indent it like the keys of `{before}`" + _and_more(stray)
        message = f"{quote(stray[0])} is at the level of the names {at(path)}"
        label = f"belongs in {quote(dotted((*path, before)))}"
    else:
        before = _NAMELESS
        advice = f"write a name above it, such as `{_EXAMPLES.get(path, _NAMELESS)}:`,"
        advice += " and indent these keys further"
        message = f"{quote(stray[0])} is not below a name {at(path)}"
        label = "a name is missing above it"
    finding = _report(node, stray, message, label, advice)
    yield _Move(path, tuple(stray), (*path, before), finding)


#: Names for entries that have none.
_EXAMPLES: dict[Path, str] = {
    ("listeners",): "public",
    ("identities",): "billing",
    ("authorization", "rules"): "read-only",
}


def _above_home(node: Mapping, part: Schema, path: Path) -> Iterator[_Move]:
    """Find an unknown key that belongs in a mapping below this one."""
    properties = part.get("properties", {})
    if not properties or part.get("additionalProperties") is not False:
        return
    for key, entry in node.entries.items():
        if key in properties:
            continue
        target = _home_below(node, key, path) or _map_for(entry.value, properties, path)
        if target is None:
            continue
        inside = " of ".join(quote(step) for step in reversed(target[len(path) :]))
        finding = _report(
            node,
            [key],
            f"unknown key {quote(key)} {at(path)}",
            f"belongs in {quote(dotted(target))}",
            f"indent it under {inside}",
        )
        yield _Move(path, (key,), target, finding)


def _home_below(node: Mapping, key: str, path: Path) -> Path | None:
    """Return the mapping below `node` where a key belongs, if it is there and lacks it.

    Of several items, it is the last one: a block that is indented too little comes
    after it.
    """
    home = home_of(key)
    if home is None or len(home) <= len(path):
        return None
    if any(step not in ("<name>", at) for step, at in zip(home, path, strict=False)):
        return None
    target = list(path)
    for step in home[len(path) :]:
        name = [*node.entries, ""][-2:][0] if step == "<name>" else step
        entry = node.entries.get(name)
        if entry is None or not isinstance(entry.value, Mapping):
            return None
        target.append(name)
        node = entry.value
    return None if key in node.entries else tuple(target)


def _map_for(value: Node, properties: Schema, path: Path) -> Path | None:
    """Return the mapping by name that has entries like `value`, or None."""
    for key in properties:
        item = item_of(part_below({"properties": properties}, key))
        if item is not None and _is_like(value, item):
            return (*path, key)
    return None


def _and_more(keys: list[str]) -> str:
    return f", and likewise {', '.join(map(quote, keys[1:]))}" if keys[1:] else ""


def _report(
    node: Mapping, keys: list[str], message: str, label: str, advice: str
) -> Finding:
    place = node.entries[keys[0]].key
    return kinds.UNKNOWN_KEY(message, span=place, label=label, help=advice)


def _apply(root: Mapping, move: _Move) -> Mapping:
    """Return the tree with the entries moved."""
    source = node_at(root, move.source)
    assert isinstance(source, Mapping)  # noqa: S101 - it was found there
    moved = {key: source.entries[key] for key in move.keys}
    kept = {key: e for key, e in source.entries.items() if key not in moved}
    root = _with(root, move.source, replace(source, entries=kept))
    target = node_at(root, move.target)
    first = next(iter(moved.values()))
    entries = target.entries if isinstance(target, Mapping) else {}
    span = target.span if target is not None else first.key
    whole = Mapping(entries={**entries, **moved}, span=span)
    return _with(root, move.target, whole)


def _with(root: Mapping, path: Path, value: Mapping) -> Mapping:
    """Return `root` with `value` at `path`; a missing key is added."""
    whole = _replaced(root, path, value)
    assert isinstance(whole, Mapping)  # noqa: S101 - as the root, or as `value`
    return whole


def _replaced(node: Node, path: Path, value: Mapping) -> Node:
    if not path:
        return value
    step, *rest = path
    if isinstance(node, Sequence) and isinstance(step, int):
        items = list(node.items)
        items[step] = _replaced(items[step], tuple(rest), value)
        return replace(node, items=tuple(items))
    assert isinstance(node, Mapping)  # noqa: S101 - a path leads through mappings
    old = node.entries.get(str(step))
    below: Node = old.value if old else Mapping(entries={}, span=value.span)
    key = old.key if old else value.span
    entry = Entry(key, _replaced(below, tuple(rest), value))
    return replace(node, entries={**node.entries, str(step): entry})
