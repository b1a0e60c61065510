"""GS0xx: the tool itself: reading the config, ignores, features of later versions."""

from __future__ import annotations

from grpcsecure.diagnostics.model import Kind, Severity

__all__ = ["UNUSED_IGNORE"]

UNUSED_IGNORE = Kind(
    code="GS002",
    name="unused-ignore",
    severity=Severity.WARNING,
    what="An ignore has no effect: nothing matches it, it names no kind of finding,"
    " or what it names is an error.",
    why="Whoever wrote it believes that something is silenced, and a later finding of"
    " that code would go unseen.",
)
