"""Phrases that all renderers of explanations share; plain text, nothing escaped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.explain.table import Exposure

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from grpcsecure.diagnostics.model import Span
    from grpcsecure.model.authorization import MetadataCondition, Rule

__all__ = [
    "EXPOSURES",
    "any_of",
    "count",
    "describe_metadata",
    "describe_rule",
    "line_of",
]

#: Title and meaning of each circle, the widest first.
EXPOSURES = {
    Exposure.ANONYMOUS: (
        "without a certificate",
        "whoever can reach the address may call them",
    ),
    Exposure.UNVERIFIED: (
        "with any certificate",
        "a home-made certificate is enough: nobody has to know its owner",
    ),
    Exposure.VERIFIED: (
        "to every verified caller",
        "a certificate signed by a client CA is enough, whatever name is in it",
    ),
    Exposure.NAMED: (
        "to identities by name",
        "only callers that the config gives a name",
    ),
    Exposure.NOBODY: (
        "to nobody",
        "the server has them, and no caller gets through",
    ),
}


def line_of(span: Span) -> str:
    """Return `file:line`."""
    return f"{span.file}:{span.line}"


def count(number: int, word: str, plural: str | None = None) -> str:
    """Return a number with its noun; the plural is the word with an s by default."""
    return f"{number} {word if number == 1 else plural or f'{word}s'}"


def any_of(words: Sequence[str]) -> str:
    """Return `a`, `a or b`, `a, b or c`."""
    if len(words) <= 1:
        return "".join(words)
    return f"{', '.join(words[:-1])} or {words[-1]}"


def describe_metadata(metadata: Iterable[MetadataCondition]) -> str:
    """Return the conditions, such as `x-env: prod or test`."""
    return " and ".join(f"{one.key}: {any_of(one.shown)}" for one in metadata)


def describe_rule(rule: Rule | None) -> str:
    """Return what decides, by its name."""
    return "the default" if rule is None else f"rule {rule.name}"
