"""Checks of registered certificates: the files that `certificates` criteria name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.checking.key_files.file_uses import FileUse, written_at
from grpcsecure.diagnostics.catalog import policy_kinds as kinds
from grpcsecure.model.authorization import MatcherKind
from grpcsecure.model.listener import Engine
from grpcsecure.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from grpcsecure.config.document import Document
    from grpcsecure.config.tree import Path as KeyPath
    from grpcsecure.diagnostics.findings import Finding
    from grpcsecure.model.authorization import Matcher
    from grpcsecure.model.listener import TlsSettings
    from grpcsecure.tls.pins import PinFile, Pins

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
    from grpcsecure.checking.key_files.client_keys import check_client_keys

    pins = load_pins(uses)
    findings: list[Finding] = []
    seen: set[Path] = set()
    asking = [tls for tls in _tls_settings(document) if tls.client_certificate.asks]
    engines = sorted({tls.engine_in_use for tls in asking}, key=lambda each: each.value)
    any_length = not all(map(_refuses_short_keys, asking))
    for pattern, use in uses.items():
        if not pins.matches[pattern]:
            findings.append(_no_file(use))
        for path, shown in _unseen(use, pattern, pins, seen):
            findings += _check_file(use, path, shown, pins.files[path], now)
            certificates = pins.files[path].certificates
            findings += check_client_keys(
                use, shown, certificates, engines, any_length=any_length
            )
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
            base=document.source_of(*paths[0]).directory,
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


def _no_file(use: FileUse) -> Finding:
    return use.report(
        kinds.EMPTY_PIN_PATTERN,
        f"{use.shown} matches no file",
        label="no certificate is registered",
        help="put a certificate there, or correct the path",
    )


def _tls_settings(document: Document) -> Iterator[TlsSettings]:
    for listener in document.config.listeners:
        if listener.tls is not None:
            yield listener.tls


def _refuses_short_keys(tls: TlsSettings) -> bool:
    """Whether it is OpenSSL that refuses clients, which it does for short keys."""
    return tls.engine_in_use is Engine.BRIDGE and tls.client_certificate.verifies


def _unseen(
    use: FileUse, pattern: str, pins: Pins, seen: set[Path]
) -> Iterator[tuple[Path, str]]:
    """Yield the files of a pattern that were not checked before, with their names."""
    for path in pins.matches[pattern]:
        if path not in seen:
            seen.add(path)
            yield path, use.shown if str(path) == pattern else quote(path.name)


def _check_file(
    use: FileUse, path: Path, shown: str, file: PinFile, now: datetime
) -> Iterator[Finding]:
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
                f"{quote(certificate.subject)} in {shown} is not accepted: {reason}",
                label=f"valid from {certificate.not_before:%Y-%m-%d}"
                f" to {certificate.not_after:%Y-%m-%d}",
                help="register the client's current certificate",
            )
