"""All exceptions of grpcsecure, and their exit codes.

Mistakes in a config are findings, not exceptions. An exception means that an operation
failed; it carries the findings if there are any.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grpcsecure.diagnostics.findings import Report

__all__ = [
    "BindError",
    "CertificateError",
    "ConfigError",
    "ExitCode",
    "GrpcSecureError",
    "KeyMaterialError",
    "StartupError",
    "UnreadableConfigError",
    "UnsupportedLibraryError",
    "UsageError",
]


class ExitCode(IntEnum):
    """Exit codes of the commands; they do not depend on the output format."""

    OK = 0
    #: The check failed: findings, denied, unhealthy.
    BAD = 1
    #: The command could not run: usage, unreadable file, internal error.
    CANNOT = 2
    #: `serve` only: start-up failed for a reason that file checks cannot detect.
    STARTUP = 3
    #: `serve` only: the grace period of the shutdown ended and calls were aborted.
    CUT = 4


class GrpcSecureError(Exception):
    """Base class of all exceptions of grpcsecure; its text is a one-line message."""

    exit_code = ExitCode.CANNOT


class UsageError(GrpcSecureError):
    """The caller named a profile, code or file that does not exist."""


class CertificateError(GrpcSecureError):
    """A certificate cannot be parsed as X.509."""


class KeyMaterialError(GrpcSecureError):
    """Certificates and keys are unusable for a server."""

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
    """The server could not start, for a reason that file checks cannot detect."""

    exit_code = ExitCode.STARTUP


class BindError(StartupError):
    """The server could not listen on an address."""


class UnsupportedLibraryError(StartupError):
    """An installed library lacks private names that grpcsecure needs to serve.

    Attributes:
        library: its name.
        version: the installed version.
        missing: the names.
        tried: the versions that are known to have them.
    """

    def __init__(
        self,
        library: str,
        version: str,
        missing: Sequence[str],
        tried: Sequence[str],
    ) -> None:
        names = ", ".join(f"`{name}`" for name in missing)
        super().__init__(
            f"{library} {version} does not have {names}, which grpcsecure needs;"
            f" it has been tried with {library} {' and '.join(tried)}"
        )
        self.library = library
        self.version = version
        self.missing = tuple(missing)
        self.tried = tuple(tried)
