"""How often the tests repeat what is random, or what looks for rare faults.

A few times, or many times with `TEST_EFFORT=full`, which `.ci/run` sets. The kinds of
case are the same.
"""

from __future__ import annotations

import os

__all__ = ["repeats"]

_IS_FULL = os.environ.get("TEST_EFFORT") == "full"


def repeats(few: int, many: int) -> int:
    """Return `many` if the full effort is asked for, or else `few`."""
    return many if _IS_FULL else few
