"""Registered certificates: the files that `certificates` names, and what is in them."""

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
    """Read the registered certificates; return what is wrong with them, and them.

    Args:
        document: the config that names them.
        now: the moment to judge dates by, aware.
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


def _gather(document: Document) -> dict[str, FileUse]:
    """Return where each pattern stands."""
    keys: dict[str, list[KeyPath]] = {}
    for matcher, path in _matchers(document):
        for one in matcher.criteria:
            if one.kind is MatcherKind.CERTIFICATES:
                keys.setdefault(one.value, []).append((*path, one.kind.value))
    return {
        pattern: FileUse(
            path=document.source.directory / pattern,
            shown=written_at(document, paths[0]),
            # Places that a YAML alias shares are one place.
            places=tuple(dict.fromkeys(document.place(*path) for path in paths)),
        )
        for pattern, paths in keys.items()
    }


def _matchers(document: Document) -> Iterator[tuple[Matcher, KeyPath]]:
    for identity in document.config.identities:
        path = ("identities", identity.name)
        for index, matcher in enumerate(identity.matchers):
            # One matcher may stand without a list around it.
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
            f"{use.shown} names no file now",
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
                help="name the file of a certificate, or remove it",
            )
        for certificate in file.certificates:
            reason = certificate.why_not_in_force(now)
            if reason is not None:
                yield use.report(
                    kinds.EXPIRED_PIN,
                    f"{quote(certificate.subject)} in {shown} does not count: {reason}",
                    label=f"valid from {certificate.not_before:%Y-%m-%d}"
                    f" to {certificate.not_after:%Y-%m-%d}",
                    help="register the certificate that its owner has now",
                )
