"""Patterns of methods: `/pkg.Service/Method`, a prefix `…*`, a suffix `*…`, or `*`.

A pattern is compared with the unchanged path on the wire: nothing is decoded, trimmed
or normalised, so a pattern matches exactly the text that it shows.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

__all__ = ["MethodPattern", "PatternKind", "parse_method_pattern"]


class PatternKind(Enum):
    """The kind of a pattern, by the position of its `*`."""

    EXACT = "exact"
    PREFIX = "prefix"
    SUFFIX = "suffix"
    ANY = "any"


class MethodPattern(NamedTuple):
    """A pattern that matches method paths; `text` is the pattern without its `*`."""

    kind: PatternKind
    text: str

    def __str__(self) -> str:
        if self.kind in {PatternKind.SUFFIX, PatternKind.ANY}:
            return f"*{self.text}"
        return f"{self.text}*" if self.kind is PatternKind.PREFIX else self.text

    def matches(self, path: str) -> bool:
        """Whether the pattern matches the unchanged path of a call."""
        if self.kind is PatternKind.ANY:
            return True
        if self.kind is PatternKind.PREFIX:
            return path.startswith(self.text)
        if self.kind is PatternKind.SUFFIX:
            return path.endswith(self.text)
        return path == self.text

    def covers(self, other: MethodPattern) -> bool:
        """Whether this pattern matches every path that `other` matches."""
        if self.kind is PatternKind.ANY:
            return True
        if other.kind in {PatternKind.EXACT, self.kind}:
            # Of two prefixes (or suffixes), the shorter one must match the longer one.
            return self.matches(other.text)
        return False

    def overlaps(self, other: MethodPattern) -> bool:
        """Whether both patterns match some text, which need not be a valid path."""
        if PatternKind.EXACT in {self.kind, other.kind} or self.kind is other.kind:
            return self.covers(other) or other.covers(self)
        # A prefix and a suffix: both match their concatenation.
        return True


def parse_method_pattern(text: str) -> MethodPattern:
    """Parse a method pattern.

    Raises:
        ValueError: it is malformed; a `*` in the middle and `.*` are not supported.
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
