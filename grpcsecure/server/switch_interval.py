"""How long a thread may hold the interpreter: a setting of the whole process."""

from __future__ import annotations

import sys

__all__ = ["restore_switch_interval", "set_switch_interval"]


def set_switch_interval(seconds: float) -> float:
    """Set how long a thread may hold the interpreter; return the previous value."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(seconds)
    return before


def restore_switch_interval(seconds: float | None) -> None:
    """Set the previous value again; None if it was not changed."""
    if seconds is not None:
        sys.setswitchinterval(seconds)
