"""All exceptions of grpcsecure, and the exit code each one means.

Mistakes in a config are findings, not exceptions; an exception says that the job
could not be done, and carries the findings if there are any.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from grpcsecure.diagnostics.model import Report

__all__ = [
    "BindError",
    "CertificateError",
    "ConfigError",
    "ExitCode",
    "GrpcSecureError",
    "KeyMaterialError",
    "StartupError",
    "UnreadableConfigError",
    "UsageError",
]


class ExitCode(IntEnum):
    """What the commands return, whatever the output format."""

    OK = 0
    #: What was checked is bad: findings, denied, unhealthy.
    BAD = 1
    #: The job could not be done: usage, unreadable file, internal error.
    CANNOT = 2
    #: `serve` only: start-up failed for what a file check cannot see.
    STARTUP = 3
    #: `serve` only: the drain deadline passed and calls were cut.
    CUT = 4


class GrpcSecureError(Exception):
    """The root of the tree; its text is one line for a reader."""

    exit_code = ExitCode.CANNOT


class UsageError(GrpcSecureError):
    """A name given by the caller names nothing: profile, code, file."""


class CertificateError(GrpcSecureError):
    """Bytes that should be an X.509 certificate are none that can be read."""


class KeyMaterialError(GrpcSecureError):
    """Certificates and keys that no server can be started with."""

    exit_code = ExitCode.BAD


class ConfigError(GrpcSecureError):
    """The config has errors.

    Attributes:
        report: the findings, errors and warnings.
    """

    exit_code = ExitCode.BAD

    def __init__(self, report: Report) -> None:
        count = report.errors
        super().__init__(
            f"{report.subject}: {count} error{'s' * (count != 1)}: "
            + "; ".join(
                f"[{f.code}] {f.message}" for f in report.findings if f.is_error
            )
        )
        self.report = report


class UnreadableConfigError(ConfigError):
    """The config file itself could not be read."""

    exit_code = ExitCode.CANNOT


class StartupError(GrpcSecureError):
    """The server could not start for what a file check cannot see."""

    exit_code = ExitCode.STARTUP


class BindError(StartupError):
    """An address could not be listened on."""
