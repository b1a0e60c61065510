"""Room on a value for what somebody found out about it, for as long as it lives."""

from __future__ import annotations

__all__ = ["Memo"]


class Memo:
    """One note, by whoever uses the value; it is no part of what the value says.

    A table of notes beside the values would need a bound, and connections have none:
    more of them than it holds would have all of it found out again and again.
    """

    __slots__ = ("note",)

    def __init__(self) -> None:
        self.note: object | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Memo)

    def __hash__(self) -> int:
        return 0
