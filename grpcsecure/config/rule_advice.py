"""Describes what is meant by a value that is no identity or no method of a rule."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from grpcsecure.config.other_tools import built_in_identity
from grpcsecure.config.tree import Mapping, Scalar, Sequence
from grpcsecure.config.wording import node_at, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grpcsecure.config.tree import Node, Path

__all__ = ["advise_in_rule", "identity_with"]

#: Label and help of a finding.
Advice = tuple[str, str]


def advise_in_rule(root: Mapping, path: Path, node: Node | None) -> Advice | None:
    """Return label and help for a value that a rule or a test cannot have, or None."""
    keys = path[-2:] if isinstance(path[-1], str) else path[-2:-1]
    if path[:2] not in (("authorization", "rules"), ("authorization", "tests")):
        return None
    if keys[-1] in ("allow", "deny"):
        return _advise_identity(root, node)
    if keys[-1] in ("methods", "call") and isinstance(node, Scalar):
        is_shown = shown(node) == f"`{node.text}`"
        return _advise_method(node.text) if is_shown else None
    return None


def _advise_identity(root: Mapping, node: Node | None) -> Advice | None:
    if isinstance(node, Mapping):
        return (
            "conditions on a certificate",
            "define it with a name under `identities`, and write the name here",
        )
    if not isinstance(node, Scalar) or shown(node) != f"`{node.text}`":
        return None
    return _advise_built_in(node.text) or _advise_name(root, node.text)


def _advise_built_in(text: str) -> Advice | None:
    built_in = built_in_identity(text)
    if built_in == "anyone":
        return (
            "every client is `anyone`",
            "write `[anyone]`, or `[verified]` for every client that was verified",
        )
    return None if built_in is None else (f"`{built_in}` here", f"write `[{built_in}]`")


def _advise_name(root: Mapping, text: str) -> Advice | None:
    kind = _kind_of(text)
    if kind is None:
        return None
    name = identity_with(root, text)
    if name is not None:
        return f"the identity `{name}` has it", f"write `{name}`"
    return (
        "a name in a certificate, and not of an identity",
        f"define `NAME: {{{kind}: …}}` under `identities`, and write NAME here",
    )


def _kind_of(text: str) -> str | None:
    if text.startswith("spiffe://"):
        return "spiffe"
    for sign, kind in (("://", "uri"), ("=", "subject"), ("@", "email"), ("*", "dns")):
        if sign in text:
            return kind
    return None


def identity_with(root: Mapping, value: str) -> str | None:
    """Return the identity that has a criterion with this value, or None."""
    identities = node_at(root, ("identities",))
    if not isinstance(identities, Mapping):
        return None
    for name, entry in identities.entries.items():
        if value in _values(entry.value):
            return name
    return None


def _values(node: Node) -> Iterator[str]:
    if isinstance(node, Sequence):
        for item in node.items:
            yield from _values(item)
    elif isinstance(node, Mapping):
        for entry in node.entries.values():
            yield from _values(entry.value)
    else:
        yield node.text


#: Forms of methods that are none: label, and what to write.
_METHODS = (
    (
        r"(?=.*\*.*\*).*|.+\*.+",
        "a `*` in the middle",
        "write one `*`, at the end or at the beginning",
    ),
    (r"([\w.]+/[\w*]+)", "the first `/` is missing", r"write `/\1`"),
    (
        r"(/[\w.]+/)",
        "a service without a method",
        r"write `\1*` for all its methods",
    ),
    (
        r"/?((?:\w+\.)*[A-Z]\w*)\.([A-Z]\w*)",
        "a `.` before the method",
        r"write `/\1/\2`",
    ),
    (
        r"/?((?:\w+\.)+[A-Z]\w*)",
        "a service without a method",
        r"write `/\1/*` for all its methods",
    ),
    (
        r"(\w+)",
        "a method without its service",
        r"write `/package.Service/\1`",
    ),
)


def _advise_method(text: str) -> Advice | None:
    for pattern, label, advice in _METHODS:
        match = re.fullmatch(pattern, text)
        if match is not None:
            return label, match.expand(advice)
    return None
