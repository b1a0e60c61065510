"""The methods that a server has, and which of them a pattern matches."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from grpcsecure.policy.patterns import PatternKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from grpcsecure.policy.patterns import MethodPattern

__all__ = ["KnownMethods"]


class KnownMethods:
    """All methods of a server.

    Args:
        methods: their paths on the wire, `/pkg.Service/Method`.
    """

    def __init__(self, methods: Iterable[str]) -> None:
        self._sorted = sorted(set(methods))
        self._set = frozenset(self._sorted)
        self._found: dict[MethodPattern, frozenset[str]] = {}

    def __contains__(self, method: str) -> bool:
        return method in self._set

    def __iter__(self) -> Iterator[str]:
        return iter(self._sorted)

    def matching(self, pattern: MethodPattern) -> frozenset[str]:
        """Return the methods that a pattern matches."""
        if pattern.kind is PatternKind.EXACT:
            return self._set & {pattern.text}
        if pattern not in self._found:
            self._found[pattern] = frozenset(self._search(pattern))
        return self._found[pattern]

    def _search(self, pattern: MethodPattern) -> Iterator[str]:
        if pattern.kind is not PatternKind.PREFIX:
            yield from filter(pattern.matches, self._sorted)
            return
        for index in range(bisect_left(self._sorted, pattern.text), len(self._sorted)):
            if not self._sorted[index].startswith(pattern.text):
                return
            yield self._sorted[index]
