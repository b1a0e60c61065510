"""Explains keys that a mapping does not have: misspelled, misplaced, another tool's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grpcsecure.config.other_tools import find_key, find_mode, hint_for
from grpcsecure.config.schema_file import home_of
from grpcsecure.config.tree import Mapping, Scalar, find
from grpcsecure.config.wording import at, node_at, shown
from grpcsecure.diagnostics.catalog import syntax_kinds as kinds
from grpcsecure.diagnostics.findings import Label
from grpcsecure.diagnostics.suggest import did_you_mean, nearest
from grpcsecure.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from grpcsecure.config.tree import Node, Path
    from grpcsecure.config.value_findings import SchemaError
    from grpcsecure.diagnostics.findings import Finding

__all__ = ["explain_unknown_keys", "is_any_misspelled", "is_misspelled"]

#: Number of valid keys that the help lists if the label already has a suggestion.
_FEW = 5

_ANY = "0.0.0.0"  # noqa: S104 - an example, not bound


def explain_unknown_keys(
    error: SchemaError, root: Mapping, path: Path
) -> Iterator[Finding]:
    """Yield a finding for each key that is not known, or for several that mean one."""
    title = error.schema.get("title", "")
    properties = error.schema.get("properties", {})
    unknown = [key for key in error.instance if key not in properties]
    meant = {key: find_key(title, key, properties) for key in unknown}
    for key in unknown:
        ours = meant[key]
        if ours is None:
            yield _unknown(error, root, path, key)
            continue
        same = [one for one in unknown if meant[one] == ours]
        if key == same[0]:  # `host` and `port` are one mistake
            yield _renamed(root, path, ours, same)


def _renamed(root: Mapping, path: Path, ours: str, keys: list[str]) -> Finding:
    first, *others = keys
    owner = node_at(root, path)
    is_there = isinstance(owner, Mapping) and ours in owner.entries
    return kinds.UNKNOWN_KEY(
        f"unknown key {quote(first)} {at(path)}",
        span=find(root, (*path, first))[0],
        label=f"called `{ours}` here" + (", which is there" if is_there else ""),
        secondary=[
            Label(span=find(root, (*path, one))[0], text=f"`{ours}` too")
            for one in others
        ],
        help=f"remove it; `{ours}` has the value"
        if is_there
        else _advise_renaming(ours, _value(root, path, ours, keys)),
    )


def _advise_renaming(ours: str, value: str | None) -> str:
    if value is None:
        return f"write `{ours}` in its place"
    return f"write `{ours}: {value}`"


def _value(root: Mapping, path: Path, ours: str, keys: list[str]) -> str | None:
    """Return the value to write under our key, or None if it may be another."""
    nodes = {key: node_at(root, (*path, key)) for key in keys}
    node = nodes[keys[0]]
    if ours == "client_certificate":
        known = (find_mode(_text(one)) for one in nodes.values())
        return next(filter(None, known), _mode_itself(node) or "require_and_verify")
    if ours == "address":
        texts = [_text(one) for one in nodes.values()]
        port = next((text for text in texts if text.isdigit()), "8443")
        host = next((text for text in texts if text and not text.isdigit()), _ANY)
        if host.count(":") == 1:
            return host
        return f'"[{host}]:{port}"' if ":" in host else f"{host}:{port}"
    if ours in ("allow", "deny") and _text(node).lower() in ("allow", "deny"):
        return "[…]"  # an action, and no list of names
    # The arguments of a servicer, and text that may be a key, are not repeated.
    if ours in ("with", "as") or not isinstance(node, Scalar):
        return None
    return node.text if shown(node) == f"`{node.text}`" else None


def _text(node: Node | None) -> str:
    return node.text if isinstance(node, Scalar) and not node.from_variable else ""


def _mode_itself(node: Node | None) -> str | None:
    text = _text(node)
    return text if "_" in text and text.islower() else None


def _unknown(error: SchemaError, root: Mapping, path: Path, key: str) -> Finding:
    title = error.schema.get("title", "")
    known = sorted(error.schema.get("properties", {}))
    missing = [name for name in known if name not in error.instance]
    guess = did_you_mean(key, missing) or did_you_mean(key, known)
    home = home_of(key)
    before, colon, _ = key.partition(":")
    if home is not None:
        guess = f"belongs {at(_spell_home(home, path))}"
    elif colon and before in known:
        guess = f"a space is missing after `{before}:`"
    elif not guess and title == "Service":
        guess = "an argument of the servicer belongs under `with`"
    listed = known
    if guess and len(known) > _FEW + 1:
        listed = [*known[:_FEW], "…"]
    return kinds.UNKNOWN_KEY(
        f"unknown key {quote(key)} {at(path)}",
        span=find(root, (*path, key))[0],
        label=guess or "not a valid key here",
        help=hint_for(title, key) or f"valid keys: {', '.join(listed)}",
    )


def _spell_home(home: tuple[str, ...], path: Path) -> Path:
    """Return the path where a key belongs; `<name>` is filled in from its own path."""
    return tuple(
        path[i] if step == "<name>" and home[:i] == path[:i] and i < len(path) else step
        for i, step in enumerate(home)
    )


def is_misspelled(key: str, given: Iterable[str], part: dict[str, Any]) -> bool:
    """Whether the key is present in another spelling, which is an unknown key.

    Args:
        key: the key.
        given: the keys that are present.
        part: the mapping's schema.
    """
    properties = part.get("properties", {})
    unknown = [name for name in given if name not in properties]
    title = part.get("title", "")
    return any(
        nearest(name, [key]) is not None
        or find_key(title, name, properties) == key
        or name.startswith(f"{key}:")
        for name in unknown
    )


def is_any_misspelled(
    keys: Collection[str], given: Iterable[str], part: dict[str, Any]
) -> bool:
    """Whether one of the mutually exclusive `keys` is present but misspelled."""
    given = list(given)
    return any(is_misspelled(key, given, part) for key in keys)
