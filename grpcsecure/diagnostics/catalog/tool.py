"""GS0xx: the tool itself: reading the config, features of later versions."""

from __future__ import annotations

from grpcsecure.diagnostics.model import Kind, Severity

__all__ = ["NOT_AVAILABLE_YET", "UNREADABLE_CONFIG", "UNUSED_IGNORE"]

UNREADABLE_CONFIG = Kind(
    code="GS001",
    name="unreadable-config",
    severity=Severity.ERROR,
    what="The config file cannot be read.",
    why="It is missing, a folder or a device, or its permissions forbid it. Nothing was"
    " checked, so that the exit code is 2.",
)

UNUSED_IGNORE = Kind(
    code="GS002",
    name="unused-ignore",
    severity=Severity.WARNING,
    what="An ignore has no effect: nothing matches it, it names no kind of finding,"
    " or what it names is an error.",
    why="Whoever wrote it believes that something is silenced, and a later finding of"
    " that code would go unseen.",
)

NOT_AVAILABLE_YET = Kind(
    code="GS003",
    name="not-available-yet",
    severity=Severity.ERROR,
    what="The key belongs to a feature that this version does not have.",
    why="Accepting and ignoring it would run a server that protects less than its file"
    " says.",
    bad="reload: {interval: 1m}",
    good="production: false",
)
