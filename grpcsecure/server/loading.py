"""From a source to a config that can be served: all phases of checking, in order.

`validate`, `serve` and embedding go through here alike, so that what one of them
accepts the others do too. Every finding of a phase is reported; a phase with errors
is the last.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from grpcsecure.diagnostics.ignore import Draft
from grpcsecure.diagnostics.model import Report
from grpcsecure.frozen import field, frozen, replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from grpcsecure.config.document import Document
    from grpcsecure.config.source import Source
    from grpcsecure.diagnostics.model import Finding
    from grpcsecure.server.services import LoadedService
    from grpcsecure.tls.material import Material
    from grpcsecure.tls.watched import Digest

__all__ = ["Loaded", "Phase", "load_config", "load_rest", "load_services"]


class Phase(Enum):
    """The phases in their order."""

    YAML = "YAML"
    SCHEMA = "schema"
    CROSS_FIELD = "cross-field"
    FILES = "files"
    SERVICES = "services"


@frozen
class Loaded:
    """What came of a source: findings, and all that could be loaded.

    `failed` is the phase that found errors; `document`, `materials` and `services`
    are complete only when it is None.
    """

    source: Source
    profile: str | None
    findings: tuple[Finding, ...]
    failed: Phase | None = None
    not_run: tuple[Phase, ...] = ()
    document: Document | None = None
    materials: Mapping[str, Material] = field(default_factory=dict)
    services: tuple[LoadedService, ...] = ()
    #: Of the files that the config depends on, from just before they were read.
    seen: Digest | None = None

    def draft(self, *, complete: bool = True, all_profiles: bool = False) -> Draft:
        """Return the findings as a draft of a report; see `Draft` for the options."""
        report = Report(
            subject=self.source.name,
            findings=self.findings,
            sources={self.source.name: self.source.text},
            not_run=tuple(phase.value for phase in self.not_run),
            failed=None if self.failed is None else self.failed.value,
            profile=self.profile,
        )
        return Draft(
            report=report,
            production=self.document is not None and self.document.config.production,
            complete=complete,
            all_profiles=all_profiles,
        )


def load_config(
    source: Source,
    *,
    profile: str | None,
    environ: Mapping[str, str],
    now: datetime,
    last: Phase = Phase.SERVICES,
) -> Loaded:
    """Check `source` up to the phase `last`.

    Args:
        source: the text of the config.
        profile: name of the profile to apply, or None.
        environ: where `${VAR}` is looked up.
        now: the moment to judge certificates by, aware.
        last: the last phase to run.

    Raises:
        UsageError: no such profile.
    """
    from grpcsecure.config.load import parse_config

    parsed = parse_config(source, profile=profile, environ=environ)
    loaded = Loaded(
        source=source,
        profile=profile,
        findings=parsed.findings,
        document=parsed.document,
        failed=None if parsed.failed is None else Phase(parsed.failed),
    )
    phases = list(Phase)[: list(Phase).index(last) + 1]
    for phase, check in _CHECKS.items():
        if loaded.failed is None and phase in phases:
            loaded = _run(loaded, phase, check(loaded, now))
    if loaded.failed is None:
        return loaded
    return replace(loaded, not_run=tuple(phases[phases.index(loaded.failed) + 1 :]))


def load_services(loaded: Loaded, *, now: datetime) -> Loaded:
    """Check what is left of a config that was loaded up to its files."""
    if loaded.failed is not None:
        return replace(loaded, not_run=(*loaded.not_run, Phase.SERVICES))
    return _run(loaded, Phase.SERVICES, _services(loaded, now))


def load_rest(loaded: Loaded, *, now: datetime) -> Loaded:
    """Check what is left of a config that was loaded up to its cross-field phase."""
    loaded = _run(loaded, Phase.FILES, _files(loaded, now))
    return load_services(loaded, now=now)


@frozen
class _Outcome:
    """What one phase adds."""

    findings: Iterable[Finding]
    materials: Mapping[str, Material] | None = None
    services: tuple[LoadedService, ...] | None = None
    seen: Digest | None = None


def _run(loaded: Loaded, phase: Phase, outcome: _Outcome) -> Loaded:
    production = _document(loaded).config.production
    found = [finding.judged(production=production) for finding in outcome.findings]
    return replace(
        loaded,
        findings=(*loaded.findings, *found),
        failed=phase if any(finding.is_error for finding in found) else None,
        materials=loaded.materials if outcome.materials is None else outcome.materials,
        services=loaded.services if outcome.services is None else outcome.services,
        seen=loaded.seen if outcome.seen is None else outcome.seen,
    )


def _document(loaded: Loaded) -> Document:
    assert loaded.document is not None  # noqa: S101 - no phase runs after a failed one
    return loaded.document


def _cross_field(loaded: Loaded, _now: datetime) -> _Outcome:
    from grpcsecure.checks.addresses import check_addresses
    from grpcsecure.checks.production import check_production
    from grpcsecure.checks.tls_settings import check_tls_settings

    document = _document(loaded)
    return _Outcome(
        findings=(
            *check_addresses(document),
            *check_tls_settings(document),
            *check_production(document),
        )
    )


def _files(loaded: Loaded, now: datetime) -> _Outcome:
    from grpcsecure.checks.files import check_files
    from grpcsecure.server.watching import take_digest

    document = _document(loaded)
    seen = take_digest(document.source, document.config)
    findings, materials = check_files(document, now)
    return _Outcome(findings=findings, materials=materials, seen=seen)


def _services(loaded: Loaded, _now: datetime) -> _Outcome:
    from grpcsecure.server.service_checks import check_services
    from grpcsecure.server.services import add_import_paths

    document = _document(loaded)
    add_import_paths(document.config.server.import_paths)
    services, findings = check_services(document)
    return _Outcome(findings=findings, services=services)


#: The phases after the schema, in their order.
_CHECKS: dict[Phase, Callable[[Loaded, datetime], _Outcome]] = {
    Phase.CROSS_FIELD: _cross_field,
    Phase.FILES: _files,
    Phase.SERVICES: _services,
}
