"""The phases of checking, in order: from a source to a config that can be served.

`validate`, `serve`, reload and embedding all use it, so that they accept the same
configs. Every finding of a phase is reported; a phase with errors is the last.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from grpcsecure.checking.loaded import Loaded, Phase, ServableConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from grpcsecure.config.document import Document
    from grpcsecure.config.referenced_files import FileValues
    from grpcsecure.config.source import Source
    from grpcsecure.diagnostics.findings import Finding
    from grpcsecure.policy.scopes import Scope
    from grpcsecure.server.services.loader import LoadedService

__all__ = [
    "Loaded",
    "Phase",
    "ServableConfig",
    "load_config",
    "load_rest",
    "load_services",
]


def load_config(  # noqa: PLR0913 - the inputs, and the parts to check
    source: Source,
    *,
    profile: str | None,
    environ: Mapping[str, str],
    now: datetime,
    last: Phase = Phase.POLICY_TESTS,
    files: bool = True,
    values: FileValues | None = None,
) -> Loaded:
    """Check `source` up to the phase `last`.

    Args:
        source: the text of the config.
        profile: name of the profile to apply, or None.
        environ: where `${VAR}` is looked up.
        now: the moment as of which certificates are checked, aware.
        last: the last phase to run.
        files: whether to read the files that the config names. Without them every other
            phase runs, but for the policy tests that need one.
        values: which values of `${file:PATH}` to read; by default all of them if files
            are read, and otherwise none. Included files are always read.

    Raises:
        UsageError: no such profile.
    """
    from grpcsecure.config.load import parse_config
    from grpcsecure.config.referenced_files import FileValues

    if values is None:
        values = FileValues.ALL if files else FileValues.NONE
    parsed = parse_config(source, profile=profile, environ=environ, values=values)
    loaded = Loaded(
        source=source,
        profile=profile,
        parsed=parsed,
        findings=parsed.findings,
        document=parsed.document,
        failed=None if parsed.failed is None else Phase(parsed.failed),
    )
    phases = list(Phase)
    first = phases.index(Phase.SCHEMA if loaded.failed is None else loaded.failed) + 1
    end = phases.index(last) + 1
    left_out = [phase for phase in phases if phase is Phase.FILES and not files]
    loaded = replace(loaded, left_out=tuple(dict.fromkeys(left_out + phases[end:])))
    return _run(loaded, phases[first:end], now)


def load_services(loaded: Loaded, *, now: datetime) -> Loaded:
    """Run the phases after the files, on a config that was loaded up to them."""
    phases = [Phase.SERVICES, Phase.POLICY_TESTS]
    return _run(replace(loaded, left_out=()), phases, now)


def load_rest(loaded: Loaded, *, now: datetime) -> Loaded:
    """Run the phases after the cross-field one, on a config loaded up to it.

    The config is to replace that of a running server: findings that apply on a reload
    are warnings.
    """
    phases = [Phase.FILES, Phase.SERVICES, Phase.POLICY_TESTS]
    return _run(replace(loaded, left_out=(), reloading=True), phases, now)


def _run(loaded: Loaded, phases: Iterable[Phase], now: datetime) -> Loaded:
    """Run `phases`; those after one that failed are recorded as not run."""
    for phase in phases:
        document = loaded.document
        if loaded.failed is not None or document is None:
            if phase not in loaded.left_out:
                loaded = replace(loaded, not_run=(*loaded.not_run, phase))
        elif phase in loaded.left_out:
            loaded = _without_files(loaded, document)
        else:
            loaded = _PHASES[phase](loaded, document, now)
            loaded = replace(loaded, done=(*loaded.done, phase))
    return loaded


def _after(
    phase: Phase, loaded: Loaded, document: Document, findings: Iterable[Finding]
) -> Loaded:
    """Return what was loaded, with the findings of a phase added."""
    production = document.config.production
    found = [
        finding.judged(production=production, reloading=loaded.reloading)
        for finding in findings
    ]
    return replace(
        loaded,
        findings=(*loaded.findings, *found),
        failed=phase if any(finding.is_error for finding in found) else None,
    )


def _cross_field(loaded: Loaded, document: Document, _now: datetime) -> Loaded:
    from grpcsecure.checking.listeners.addresses import check_addresses
    from grpcsecure.checking.listeners.rare_settings import check_settings
    from grpcsecure.checking.listeners.tls_settings import check_tls_settings
    from grpcsecure.checking.production import check_production
    from grpcsecure.policy.scopes import find_scopes

    scopes = find_scopes(document.config)
    findings = (
        *check_addresses(document),
        *check_tls_settings(document),
        *check_settings(document),
        *check_production(document, scopes),
        *_check_policy(document, scopes),
    )
    return _after(Phase.CROSS_FIELD, loaded, document, findings)


def _check_policy(document: Document, scopes: Sequence[Scope]) -> Iterator[Finding]:
    # Most of the policy's own modules are not needed where there is none.
    if document.config.authorization is not None or document.config.identities:
        from grpcsecure.checking.rules.authorization_block import check_policy

        yield from check_policy(document, scopes)


def _files(loaded: Loaded, document: Document, now: datetime) -> Loaded:
    from grpcsecure.checking.key_files.key_material import check_files
    from grpcsecure.checking.key_files.registered_certificates import check_pins
    from grpcsecure.checking.listeners.socket_paths import check_socket_paths
    from grpcsecure.checking.rules.audit_file import check_audit_file
    from grpcsecure.checking.watch_set import take_digest, watch_set

    watched = watch_set(document.source.name, document.config, loaded.referenced)
    seen = take_digest(watched, document.source, loaded.referenced)
    findings, materials = check_files(document, now)
    about_pins, pins = check_pins(document, now)
    outputs = [*check_audit_file(document, seen.states)]
    if not loaded.reloading:  # its listeners stay as they are
        outputs += check_socket_paths(document)
    return replace(
        _after(Phase.FILES, loaded, document, [*findings, *about_pins, *outputs]),
        materials=materials,
        pins=pins,
        seen=seen,
    )


def _without_files(loaded: Loaded, document: Document) -> Loaded:
    """Take the place of the phase of the files; no file is read."""
    from grpcsecure.checking.rules.audit_file import check_audit_conflict
    from grpcsecure.checking.watch_set import pin_patterns, watch_set
    from grpcsecure.tls.pins import Pins

    watched = watch_set(document.source.name, document.config, loaded.referenced)
    findings = check_audit_conflict(document, watched.files)
    # Every pattern of registered certificates has to be there, or a deny rule would
    # lose them in silence. Tests that they decide are left out.
    pins = Pins(matches=dict.fromkeys(pin_patterns(document.config), ()))
    return replace(_after(Phase.FILES, loaded, document, findings), pins=pins)


def _services(loaded: Loaded, document: Document, _now: datetime) -> Loaded:
    from grpcsecure.server.services.checks import check_services
    from grpcsecure.server.services.import_paths import add_import_paths

    add_import_paths(document.config.server.import_paths)
    services, findings = check_services(document)
    findings += _check_interceptors(document, services)
    findings += _check_methods(document, services)
    return replace(
        _after(Phase.SERVICES, loaded, document, findings), services=services
    )


def _check_interceptors(
    document: Document, services: tuple[LoadedService, ...]
) -> Iterable[Finding]:
    if not document.config.server.interceptors:
        return ()
    from grpcsecure.server.services.interceptors import check_interceptors

    return check_interceptors(document, services)


def _check_methods(
    document: Document, services: tuple[LoadedService, ...]
) -> Iterable[Finding]:
    """Check the methods that rules name, if the methods of all services are known.

    A servicer that cannot be loaded has a finding; rules about it are no mistake.
    """
    is_complete = len(services) == len(document.config.services)
    if document.config.authorization is None or not is_complete:
        return ()
    from grpcsecure.checking.rules.methods import check_methods
    from grpcsecure.policy.scopes import find_scopes
    from grpcsecure.server.services.inventory import served_services

    served = served_services(document.config, services)
    if served is None:
        return ()
    return check_methods(document, find_scopes(document.config), served)


def _policy_tests(loaded: Loaded, document: Document, now: datetime) -> Loaded:
    authorization = document.config.authorization
    if authorization is None or not authorization.tests or loaded.pins is None:
        return loaded
    from grpcsecure.checking.rules.policy_tests import (
        TestBench,
        run_policy_tests,
        tests_that_need_files,
    )
    from grpcsecure.server.services.inventory import served_services

    left_out: frozenset[int] = frozenset()
    if Phase.FILES in loaded.left_out:
        left_out = tests_that_need_files(document.config)
    findings, cases = run_policy_tests(
        document,
        TestBench(
            pins=loaded.pins,
            materials=loaded.materials,
            services=served_services(document.config, loaded.services),
            now=now,
            left_out=left_out,
        ),
    )
    return replace(
        _after(Phase.POLICY_TESTS, loaded, document, findings),
        cases=cases,
        tests_left_out=len(left_out),
    )


#: The phases after the schema, in their order.
_PHASES: dict[Phase, Callable[[Loaded, Document, datetime], Loaded]] = {
    Phase.CROSS_FIELD: _cross_field,
    Phase.FILES: _files,
    Phase.SERVICES: _services,
    Phase.POLICY_TESTS: _policy_tests,
}
