"""Suggestions for misspelled names, by edit distance."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["did_you_mean", "nearest"]

#: All valid names are shorter; comparing longer texts would take time for nothing.
_LONGEST = 80


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """Return "did you mean `x`?" for a label, or "" if no candidate is near."""
    meant = nearest(name, candidates)
    return f"did you mean `{meant}`?" if meant is not None else ""


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate that `name` is most likely a misspelling of, or None.

    A name of three letters may have one typing error (a letter omitted, added or
    changed, or two neighbours swapped), a name of eight letters two, and so on; case is
    ignored. Of equally near candidates, the first one wins.
    """
    if not 0 < len(name) <= _LONGEST:
        return None
    best, limit = None, (len(name) + 2) // 5
    for candidate in candidates:
        found = _distance(name.casefold(), candidate.casefold(), limit)
        if found is not None and (best is None or found < limit):
            best, limit = candidate, found
    return best


def _distance(a: str, b: str, limit: int) -> int | None:
    """Return the edit distance of `a` and `b`, or None if it exceeds `limit`.

    The distance is optimal string alignment. difflib's ratio is not used: it rates
    swapped neighbours in short names (`tsl`) too low, and letters that match by chance
    in long names too high.
    """
    if abs(len(a) - len(b)) > limit:
        return None
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row, above = row, [i], before
        for j, y in enumerate(b, 1):
            best = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and y == a[i - 2]:
                best = min(best, above[j - 2] + 1)
            row.append(best)
        if min(row) > limit:
            return None
    return row[-1] if row[-1] <= limit else None
