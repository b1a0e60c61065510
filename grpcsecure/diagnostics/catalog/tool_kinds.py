"""GS0xx: the tool itself, reading a config and reading it anew. GS003 is retired."""

from __future__ import annotations

from grpcsecure.diagnostics.model import Kind, Severity

__all__ = ["NEEDS_RESTART", "UNREADABLE_CONFIG", "UNUSED_IGNORE"]

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

NEEDS_RESTART = Kind(
    code="GS004",
    name="needs-restart",
    severity=Severity.ERROR,
    what="The running server cannot take over this change; it has to be restarted.",
    why="Services, addresses, modes and what else a listener or the process is made of"
    " stay as they are while it runs. A reload takes over all of a file or nothing, so"
    " that the change as a whole is rejected and what was in force stays.",
)
