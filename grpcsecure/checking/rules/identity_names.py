"""Checks for undefined identities in rules, and for unused identities."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.diagnostics.catalog import policy_kinds as kinds
from grpcsecure.diagnostics.suggest import nearest
from grpcsecure.model.authorization import BuiltIn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from grpcsecure.config.document import Document
    from grpcsecure.diagnostics.findings import Finding

__all__ = ["check_identities"]

_BUILT_IN = tuple(name.value for name in BuiltIn)

#: Number of misspelled names that get a suggestion; searching ten thousand names for
#: each would take long.
_MAX_GUESSES = 100


def check_identities(document: Document) -> Iterator[Finding]:
    """Find names in rules that are not defined, and identities that no rule names."""
    authorization = document.config.authorization
    rules = authorization.rules if authorization is not None else ()
    defined = {identity.name for identity in document.config.identities}
    known = [*sorted(defined), *_BUILT_IN]
    used: set[str] = set()
    guesses = 0
    for rule in rules:
        used.update(rule.identities)
        for index, name in enumerate(rule.identities):
            if name in defined or name in _BUILT_IN:
                continue
            guesses += 1
            meant = _guess(document, name, known) if guesses <= _MAX_GUESSES else None
            yield kinds.UNDEFINED_IDENTITY(
                f"rule `{rule.name}` names the identity `{name}`, which is not defined",
                span=document.place(
                    "authorization", "rules", rule.name, rule.effect.value, index
                ),
                label="" if meant is None else f"did you mean `{meant}`?",
                help=_advise(name, meant),
            )
    if guesses:
        return  # an identity may be unused because its name is wrong in a rule
    for identity in document.config.identities:
        # Included identities are shared with configs that have other rules.
        is_own = document.key("identities", identity.name).file == document.source.name
        if identity.name not in used and is_own:
            yield kinds.UNUSED_IDENTITY(
                f"no rule names the identity `{identity.name}`",
                span=document.key("identities", identity.name),
                label="has no effect",
                help="name it in a rule, or remove it",
            )


def _guess(document: Document, name: str, known: Sequence[str]) -> str | None:
    """Return the identity that is meant by a name that is not defined, or None."""
    from grpcsecure.config.other_tools import built_in_identity
    from grpcsecure.config.rule_advice import identity_with

    return (
        built_in_identity(name)
        or identity_with(document.tree, name)
        or nearest(name, known)
    )


def _advise(name: str, meant: str | None) -> str:
    if "." in name and meant is None:  # a host name is a valid name of an identity
        return f"define `NAME: {{dns: {name}}}` under `identities`, and write NAME here"
    advice = f"define `{name}` under `identities`, or use one of"
    return f"{advice} {', '.join(_BUILT_IN)}"
