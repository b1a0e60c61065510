"""Checks that the audit file can be appended to, and that nothing else is in it."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from grpcsecure.checking.key_files.file_uses import written_at
from grpcsecure.checking.writable import why_not_creatable
from grpcsecure.diagnostics.catalog import policy_kinds as kinds
from grpcsecure.model.authorization import AuditLevel

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from grpcsecure.config.document import Document
    from grpcsecure.diagnostics.findings import Finding

__all__ = ["check_audit_conflict", "check_audit_file"]

_KEY = ("authorization", "audit_file")


def check_audit_file(document: Document, files: Iterable[Path]) -> Iterator[Finding]:
    """Find an audit file that is one of `files`, or that cannot be written.

    Args:
        document: the config that names the audit file.
        files: the config, and the files that it reads.
    """
    path = _audit_file(document)
    if path is None:
        return
    conflicts = list(check_audit_conflict(document, files))
    yield from conflicts
    reason = None if conflicts else _why_unusable(path)
    if reason is not None:
        yield kinds.UNUSABLE_AUDIT_FILE(
            f"the audit file {written_at(document, _KEY)} cannot be written: {reason}",
            span=document.place(*_KEY),
            label="cannot be written",
            notes=[f"it would be {path}"],
            help="create the directory"
            if reason.endswith("does not exist")
            else "name a file in an existing directory",
        )


def check_audit_conflict(
    document: Document, files: Iterable[Path]
) -> Iterator[Finding]:
    """Find an audit file that is one of `files`, whether these exist or not."""
    path = _audit_file(document)
    if path is not None and any(_is_same(path, other) for other in files):
        shown = written_at(document, _KEY)
        yield kinds.AUDIT_FILE_CONFLICT(
            f"the audit file {shown} is a file that the server reads",
            span=document.place(*_KEY),
            label="audit events would be appended to it",
            help="name a file for the audit alone",
        )


def _audit_file(document: Document) -> Path | None:
    """Return the file that audit events are appended to, if there is one."""
    authorization = document.config.authorization
    if authorization is None or authorization.audit.level is AuditLevel.OFF:
        return None
    return authorization.audit.file


def _is_same(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except (OSError, ValueError):  # one of the two does not exist
        return os.path.realpath(path) == os.path.realpath(other)


def _why_unusable(path: Path) -> str | None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return why_not_creatable(path)
    except OSError as error:
        return (error.strerror or str(error)).lower()
    for is_kind, text in _UNUSABLE:
        if is_kind(mode):
            return text
    return None if os.access(path, os.W_OK) else "its mode does not permit it"


_UNUSABLE = (
    (stat.S_ISDIR, "it is a directory"),
    (stat.S_ISLNK, "it is a symbolic link"),
    (stat.S_ISSOCK, "it is a socket"),
)
