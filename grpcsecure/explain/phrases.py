"""Phrases that all renderers of explanations share; plain text, not escaped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.explain.table import Exposure

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from grpcsecure.diagnostics.findings import Span
    from grpcsecure.model.authorization import MetadataCondition, Rule

__all__ = [
    "EXPOSURES",
    "any_of",
    "count",
    "describe_metadata",
    "describe_rule",
    "line_of",
]

#: Title and meaning of each exposure, the widest first.
EXPOSURES = {
    Exposure.ANONYMOUS: (
        "without a certificate",
        "every client that can reach the address may call them",
    ),
    Exposure.UNVERIFIED: (
        "with any certificate",
        "a self-signed certificate is enough; its owner need not be known",
    ),
    Exposure.VERIFIED: (
        "to every verified caller",
        "any certificate signed by a client CA is enough, regardless of its names",
    ),
    Exposure.NAMED: (
        "to identities by name",
        "only callers with an identity in the config",
    ),
    Exposure.NO_CALLER: (
        "to no caller",
        "the server has these methods, but denies every call",
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
    """Return the name of the rule that decides, or `the default`."""
    return "the default" if rule is None else f"rule {rule.name}"
