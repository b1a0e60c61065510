"""From a source to a config that can be served: all phases of checking, in order.

`validate`, `serve` and embedding go through here alike, so that what one of them
accepts the others do too. Every finding of a phase is reported; a phase with errors
is the last.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from grpcsecure.checks.addresses import check_addresses
from grpcsecure.checks.production import check_production
from grpcsecure.checks.tls_settings import check_tls_settings
from grpcsecure.config.load import parse_config

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from grpcsecure.config.load import Document
    from grpcsecure.config.source import Source
    from grpcsecure.diagnostics.model import Finding
    from grpcsecure.server.services import LoadedService
    from grpcsecure.tls.material import Material

__all__ = ["Loaded", "Phase", "load_config"]


class Phase(Enum):
    """The phases in their order."""

    YAML = "YAML"
    SCHEMA = "schema"
    CROSS_FIELD = "cross-field"
    FILES = "files"
    SERVICES = "services"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What came of a source: findings, and all that could be loaded.

    `failed` is the phase that found errors; `document`, `materials` and `services`
    are complete only when it is None.
    """

    findings: tuple[Finding, ...]
    failed: Phase | None = None
    not_run: tuple[Phase, ...] = ()
    document: Document | None = None
    materials: Mapping[str, Material] = field(default_factory=dict)
    services: tuple[LoadedService, ...] = ()


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
    wanted = list(Phase)[: list(Phase).index(last) + 1]
    parsed = parse_config(source, profile=profile, environ=environ)
    findings = list(parsed.findings)
    if parsed.document is None:
        return _failed(findings, Phase(parsed.failed), wanted)
    document = parsed.document
    findings += _escalated(document, _cross_field(document))
    if _has_errors(findings):
        return _failed(findings, Phase.CROSS_FIELD, wanted, document)
    materials: Mapping[str, Material] = {}
    services: tuple[LoadedService, ...] = ()
    if Phase.FILES in wanted:
        from grpcsecure.checks.files import check_files

        found, materials = check_files(document, now)
        findings += _escalated(document, found)
        if _has_errors(findings):
            return _failed(findings, Phase.FILES, wanted, document)
    if Phase.SERVICES in wanted:
        from grpcsecure.server.service_checks import check_services
        from grpcsecure.server.services import add_import_paths

        add_import_paths(document.config.server.import_paths)
        services, found = check_services(document)
        findings += _escalated(document, found)
        if _has_errors(findings):
            return _failed(findings, Phase.SERVICES, wanted, document)
    return Loaded(
        findings=tuple(findings),
        document=document,
        materials=materials,
        services=services,
    )


def _failed(
    findings: list[Finding],
    phase: Phase,
    wanted: list[Phase],
    document: Document | None = None,
) -> Loaded:
    return Loaded(
        findings=tuple(findings),
        failed=phase,
        not_run=tuple(wanted[wanted.index(phase) + 1 :]),
        document=document,
    )


def _cross_field(document: Document) -> list[Finding]:
    return [
        *check_addresses(document),
        *check_tls_settings(document),
        *check_production(document),
    ]


def _escalated(document: Document, findings: list[Finding]) -> list[Finding]:
    """Turn what is wrong in production only into errors, if this is production."""
    if not document.config.production:
        return findings
    return [f.as_error() if f.kind.production else f for f in findings]


def _has_errors(findings: list[Finding]) -> bool:
    return any(finding.is_error for finding in findings)
