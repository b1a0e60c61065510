"""Findings about services: about each one, and about all of them together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.config.wording import is_from_file, is_unknown, node_at
from grpcsecure.diagnostics.catalog import service_kinds as kinds
from grpcsecure.diagnostics.findings import Label
from grpcsecure.diagnostics.suggest import did_you_mean
from grpcsecure.errors import StartupError
from grpcsecure.model.server_config import Runtime
from grpcsecure.server.services.loader import load_service

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from grpcsecure.config.document import Document
    from grpcsecure.diagnostics.findings import Finding
    from grpcsecure.model.server_config import ServerConfig, ServerSettings
    from grpcsecure.server.services.loader import LoadedService
    from grpcsecure.server.services.references import ServiceProblem

__all__ = [
    "HEALTH",
    "REFLECTION",
    "REFLECTION_V1",
    "check_services",
    "check_together",
    "known_runtime",
    "pick_runtime",
    "place_problem",
    "settle_services",
]

HEALTH = "grpc.health.v1.Health"
REFLECTION = "grpc.reflection.v1alpha.ServerReflection"
REFLECTION_V1 = "grpc.reflection.v1.ServerReflection"


def check_services(
    document: Document,
) -> tuple[tuple[LoadedService, ...], list[Finding]]:
    """Import every servicer; return those that can be served, and the findings."""
    findings: list[Finding] = []
    services: list[LoadedService] = []
    for index, entry in enumerate(document.config.services):
        service, problems = load_service(entry)
        for problem in problems:
            findings += place_problem(document, problem, ("services", index))
        if service is not None:
            services.append(service)
    if len(services) == len(document.config.services):
        findings += check_together(document, services)
    return tuple(services), findings


def place_problem(
    document: Document, problem: ServiceProblem, entry: tuple[str | int, ...]
) -> list[Finding]:
    """Return a problem as a finding at its key of the config.

    None if it is about a value of a file that was not read.
    """
    path = (*entry, problem.key, *problem.below)
    node = node_at(document.tree, path)
    if is_unknown(node):
        return []
    is_key = problem.key == "with" and not problem.below
    advice = problem.help
    if problem.below and is_from_file(node):
        advice = "a file gives text: annotate `str`, and convert it"
    return [
        problem.kind(
            problem.message,
            span=document.key(*path) if is_key else document.place(*path),
            label=problem.label,
            notes=problem.notes,
            help=advice,
        )
    ]


def check_together(
    document: Document, services: Sequence[LoadedService]
) -> list[Finding]:
    """Return the conflicts between services, listeners and the runtime."""
    return [
        *_check_duplicates(document, services),
        *_check_listeners(document, services),
        *_check_runtime(document, services),
    ]


def settle_services(
    document: Document, services: Sequence[LoadedService]
) -> tuple[LoadedService, ...]:
    """Return the services with their actual methods; this may call factories.

    Raises:
        StartupError: a factory raised, or the services conflict.
    """
    settled = tuple(service.settled() for service in services)
    errors = [one for one in check_together(document, settled) if one.is_error]
    if errors:
        raise StartupError("; ".join(finding.message for finding in errors))
    return settled


def _names(service: LoadedService) -> tuple[str, ...]:
    return tuple(dict.fromkeys(method.service for method in service.methods or ()))


def _built_in(settings: ServerSettings) -> list[str]:
    reflection = [REFLECTION, REFLECTION_V1] * settings.reflection
    return [HEALTH] * settings.health + reflection


def _check_duplicates(
    document: Document, services: Sequence[LoadedService]
) -> Iterator[Finding]:
    first: dict[str, int] = {}
    for index, service in enumerate(services):
        place = document.place("services", index, "servicer")
        for name in _names(service):
            if name in _built_in(document.config.server):
                key = "health" if name == HEALTH else "reflection"
                yield kinds.DUPLICATE_SERVICE(
                    f"`{service.entry.servicer}` provides `{name}`, as grpcsecure does",
                    span=place,
                    label="serves the same service",
                    help=f"set `server.{key}: false` to serve your own",
                )
            elif name in first:
                earlier = document.place("services", first[name], "servicer")
                yield kinds.DUPLICATE_SERVICE(
                    f"two servicers provide `{name}`",
                    span=place,
                    label="provides it again",
                    secondary=[Label(span=earlier, text="provides it first")],
                    help="remove one of them",
                )
            first.setdefault(name, index)


def _check_listeners(
    document: Document, services: Sequence[LoadedService]
) -> Iterator[Finding]:
    if any(service.methods is None for service in services):
        return  # the factory may return any service
    own = [name for service in services for name in _names(service)]
    known = [*own, *_built_in(document.config.server)]
    is_complete = True
    for listener in document.config.listeners:
        for index, name in enumerate(listener.services or ()):
            if name not in known:
                is_complete = False
                yield kinds.UNKNOWN_SERVICE(
                    f"listener `{listener.name}` names the service `{name}`,"
                    " which no servicer provides",
                    span=document.place("listeners", listener.name, "services", index),
                    label=_guess_service(name, known),
                    help=f"known services: {', '.join(sorted(known))}",
                )
    if is_complete:  # otherwise the name is wrong in a list
        yield from _check_served(document, services)


def _guess_service(name: str, known: list[str]) -> str:
    full = [one for one in known if one.endswith(f".{name}")]
    return f"did you mean `{full[0]}`?" if full else did_you_mean(name, known)


def _check_served(
    document: Document, services: Sequence[LoadedService]
) -> Iterator[Finding]:
    listeners = document.config.listeners
    if any(listener.services is None for listener in listeners):
        return
    served = {name for listener in listeners for name in listener.services or ()}
    for index, service in enumerate(services):
        for name in _names(service):
            if name not in served:
                yield kinds.NOTHING_SERVED(
                    f"`{name}` is served on no listener",
                    span=document.place("services", index, "servicer"),
                    label="no `services` list names it",
                    help="add it to the `services` of a listener, or remove it",
                )


def _check_runtime(
    document: Document, services: Sequence[LoadedService]
) -> Iterator[Finding]:
    if document.config.server.runtime is not Runtime.THREADS:
        return
    threads = Label(
        span=document.place("server", "runtime"), text="calls methods in threads"
    )
    for index, service in enumerate(services):
        hook = service.async_hook
        if hook is not None:
            key, name = hook
            yield kinds.ASYNC_HOOK(
                f"the hook `{name}` of `{service.entry.servicer}` is a coroutine,"
                " which threads cannot call",
                span=document.place("services", index, key),
                label="needs asyncio",
                secondary=[threads],
                help="use `runtime: auto`, which also runs plain methods",
            )
        coroutine = next((m for m in service.methods or () if m.is_coroutine), None)
        if coroutine is not None:
            yield kinds.RUNTIME_MISMATCH(
                f"`{service.entry.servicer}` has coroutines, which threads cannot call",
                span=document.place("services", index, "servicer"),
                label=f"`{coroutine.name}` is one",
                secondary=[threads],
                help="use `runtime: auto`, which also runs plain methods",
            )


def known_runtime(
    config: ServerConfig, services: Sequence[LoadedService]
) -> Runtime | None:
    """Return the runtime, None if a servicer has to be created to know it."""
    runtime = pick_runtime(config.server, services)
    is_complete = len(services) == len(config.services) and not any(
        service.methods is None or service.is_factory for service in services
    )
    if runtime is Runtime.ASYNCIO or is_complete:
        return runtime
    return None if config.server.runtime is Runtime.AUTO else runtime


def pick_runtime(
    settings: ServerSettings, services: Sequence[LoadedService]
) -> Runtime:
    """Return the configured runtime; for `auto`, asyncio if anything needs it."""
    if settings.runtime is not Runtime.AUTO:
        return settings.runtime
    needs_asyncio = any(
        service.async_hook is not None
        or any(m.is_coroutine for m in service.methods or ())
        for service in services
    )
    return Runtime.ASYNCIO if needs_asyncio else Runtime.THREADS
