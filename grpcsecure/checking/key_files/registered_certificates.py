"""Checks of registered certificates: the files that `certificates` criteria name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.checking.key_files.file_uses import FileUse, written_at
from grpcsecure.diagnostics.catalog import policy_kinds as kinds
from grpcsecure.model.authorization import MatcherKind
from grpcsecure.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from grpcsecure.config.document import Document
    from grpcsecure.config.tree import Path as KeyPath
    from grpcsecure.diagnostics.findings import Finding
    from grpcsecure.model.authorization import Matcher
    from grpcsecure.tls.pins import Pins

__all__ = ["check_pins"]


def check_pins(document: Document, now: datetime) -> tuple[list[Finding], Pins]:
    """Read the registered certificates; return the findings about them, and the pins.

    Args:
        document: the config that names the files.
        now: the time for checks of validity periods, timezone-aware.
    """
    from grpcsecure.tls.pins import Pins, load_pins

    uses = _gather(document)
    if not uses:
        return [], Pins()
    pins = load_pins(uses)
    findings: list[Finding] = []
    seen: set[Path] = set()
    for pattern, use in uses.items():
        findings += _check_pattern(use, pattern, pins, now, seen)
    return findings, pins


def _where(use: FileUse, path: Path) -> tuple[str]:
    return (f"looked for {path}; relative paths start at {use.base}",)


def _gather(document: Document) -> dict[str, FileUse]:
    """Return the use of each pattern, with its places."""
    keys: dict[str, list[KeyPath]] = {}
    for matcher, path in _matchers(document):
        for one in matcher.criteria:
            if one.kind is MatcherKind.CERTIFICATES:
                keys.setdefault(one.value, []).append((*path, one.kind.value))
    return {
        pattern: FileUse(
            path=document.source.directory / pattern,
            shown=written_at(document, paths[0]),
            base=document.source.directory,
            # Places that are shared by a YAML alias count once.
            places=tuple(dict.fromkeys(document.place(*path) for path in paths)),
        )
        for pattern, paths in keys.items()
    }


def _matchers(document: Document) -> Iterator[tuple[Matcher, KeyPath]]:
    for identity in document.config.identities:
        path = ("identities", identity.name)
        for index, matcher in enumerate(identity.matchers):
            # A single matcher may be written without a list around it.
            yield matcher, (*path, index) if document.is_list(*path) else path
    authorization = document.config.authorization
    for index, test in enumerate(authorization.tests if authorization else ()):
        if test.caller is not None:
            yield test.caller, ("authorization", "tests", index, "as")


def _check_pattern(
    use: FileUse, pattern: str, pins: Pins, now: datetime, seen: set[Path]
) -> Iterator[Finding]:
    paths = pins.matches[pattern]
    if not paths:
        yield use.report(
            kinds.EMPTY_PIN_PATTERN,
            f"{use.shown} matches no file",
            label="no certificate is registered",
            help="put a certificate there, or correct the path",
        )
    for path in paths:
        if path in seen:
            continue
        seen.add(path)
        file = pins.files[path]
        shown = use.shown if str(path) == pattern else quote(path.name)
        if file.problem is not None:
            yield use.report(
                kinds.UNUSABLE_PIN,
                f"{shown} {file.problem}",
                label="expected a file with a certificate",
                notes=_where(use, path) if "does not exist" in file.problem else (),
                help="name the file of a certificate, or remove it",
            )
        for certificate in file.certificates:
            reason = certificate.why_not_in_force(now)
            if reason is not None:
                yield use.report(
                    kinds.EXPIRED_PIN,
                    f"{quote(certificate.subject)} in {shown} is not accepted:"
                    f" {reason}",
                    label=f"valid from {certificate.not_before:%Y-%m-%d}"
                    f" to {certificate.not_after:%Y-%m-%d}",
                    help="register the client's current certificate",
                )
