"""Patterns of methods: `/pkg.Service/Method`, a prefix `…*`, a suffix `*…`, or `*`.

A pattern is compared with the path on the wire as it is: nothing is decoded, trimmed
or normalised, so what a pattern matches can be read off it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["MethodPattern", "PatternKind", "parse_method_pattern"]


class PatternKind(Enum):
    """Where a pattern is open."""

    EXACT = "exact"
    PREFIX = "prefix"
    SUFFIX = "suffix"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class MethodPattern:
    """A set of paths; `text` is the pattern without its `*`."""

    kind: PatternKind
    text: str

    def __str__(self) -> str:
        if self.kind in {PatternKind.SUFFIX, PatternKind.ANY}:
            return f"*{self.text}"
        return f"{self.text}*" if self.kind is PatternKind.PREFIX else self.text

    def matches(self, path: str) -> bool:
        """Say whether a call's path, as it came, is in the set."""
        if self.kind is PatternKind.ANY:
            return True
        if self.kind is PatternKind.PREFIX:
            return path.startswith(self.text)
        if self.kind is PatternKind.SUFFIX:
            return path.endswith(self.text)
        return path == self.text

    def covers(self, other: MethodPattern) -> bool:
        """Say whether everything that `other` matches is matched by this one too."""
        if self.kind is PatternKind.ANY:
            return True
        if other.kind in {PatternKind.EXACT, self.kind}:
            # A longer prefix is itself a path that the shorter prefix matches.
            return self.matches(other.text)
        return False

    def overlaps(self, other: MethodPattern) -> bool:
        """Say whether some text is matched by both; it need not be a method's name."""
        if PatternKind.EXACT in {self.kind, other.kind} or self.kind is other.kind:
            return self.covers(other) or other.covers(self)
        # A prefix and a suffix: one after the other is matched by both.
        return True


def parse_method_pattern(text: str) -> MethodPattern:
    """Return the pattern that `text` spells.

    Raises:
        ValueError: it spells none; a `*` in the middle is not understood, nor is `.*`.
    """
    if text == "*":
        return MethodPattern(PatternKind.ANY, "")
    body = text.removesuffix("*")
    if body != text and "*" not in body and body.startswith("/"):
        return MethodPattern(PatternKind.PREFIX, body)
    body = text.removeprefix("*")
    if body != text and "*" not in body:
        return MethodPattern(PatternKind.SUFFIX, body)
    names = text.split("/")
    if "*" not in text and len(names) == 3 and not names[0] and all(names[1:]):  # noqa: PLR2004 - nothing, service and method
        return MethodPattern(PatternKind.EXACT, text)
    raise ValueError(
        "expected `/package.Service/Method`, a prefix `…*`, a suffix `*…` or `*`"
    )
