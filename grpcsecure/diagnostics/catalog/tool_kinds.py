"""GS0xx: the tool itself, reading and reloading a config. GS003 is retired."""

from __future__ import annotations

from grpcsecure.diagnostics.findings import Kind, Severity

__all__ = [
    "NEEDS_RESTART",
    "UNCHECKED_CERTIFICATE",
    "UNREADABLE_CONFIG",
    "UNUSED_IGNORE",
]

UNREADABLE_CONFIG = Kind(
    code="GS001",
    name="unreadable-config",
    severity=Severity.ERROR,
    what="The config file cannot be read.",
    why="It is missing, a directory or a device, or its permissions forbid it. Nothing"
    " was checked, so the exit code is 2.",
)

UNUSED_IGNORE = Kind(
    code="GS002",
    name="unused-ignore",
    severity=Severity.WARNING,
    what="An ignore has no effect: no finding matches it, its code does not exist, or"
    " the finding is an error.",
    why="It suggests that a finding is silenced, and it would hide a later finding of"
    " that code.",
)

NEEDS_RESTART = Kind(
    code="GS004",
    name="needs-restart",
    severity=Severity.ERROR,
    what="The running server cannot apply this change; it must be restarted.",
    why="Services, addresses, modes and other settings that define a listener or the"
    " process are fixed while it runs. A reload applies a file as a whole or not at"
    " all, so the whole change is rejected, and the old config stays in use.",
)

UNCHECKED_CERTIFICATE = Kind(
    code="GS005",
    name="unchecked-certificate",
    severity=Severity.WARNING,
    what="A certificate cannot be checked with the installed pyOpenSSL.",
    why="That release lacks names that the check needs, so a policy test with the"
    " certificate was not run, or it was not compared with `--previous`. Where clients"
    " are verified `serve` does not start with it: exit code 3.",
)
