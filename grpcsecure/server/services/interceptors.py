"""Loads the interceptors of `server.interceptors`, as `loader` loads servicers."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from grpcsecure.diagnostics.catalog import service_kinds as kinds
from grpcsecure.model.server_config import Runtime
from grpcsecure.server.services.arguments import describe_misfit, find_type_problems
from grpcsecure.server.services.checks import known_runtime, place_problem
from grpcsecure.server.services.recorder import is_coroutine
from grpcsecure.server.services.references import (
    ServiceError,
    ServiceProblem,
    resolve_reference,
)
from grpcsecure.server.services.user_code import CreationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from grpcsecure.config.document import Document
    from grpcsecure.diagnostics.findings import Finding
    from grpcsecure.model.server_config import InterceptorEntry
    from grpcsecure.server.services.loader import LoadedService

__all__ = ["check_interceptors", "create_interceptor", "describe_mismatch"]


def check_interceptors(
    document: Document, services: Sequence[LoadedService]
) -> list[Finding]:
    """Import every interceptor, and find those that cannot run.

    Args:
        document: the config.
        services: its servicers, as far as they could be loaded.
    """
    runtime = known_runtime(document.config, services)
    findings: list[Finding] = []
    for index, entry in enumerate(document.config.server.interceptors):
        for problem in _problems(entry, runtime):
            findings += place_problem(
                document, problem, ("server", "interceptors", index)
            )
    return findings


def create_interceptor(entry: InterceptorEntry) -> Any:
    """Return the interceptor: call the class or factory, or return the instance.

    Raises:
        StartupError: the user's code raised; `__cause__` is that exception.
    """
    try:
        target = resolve_reference(entry.interceptor, key="interceptor")
        return target if _is_instance(target) else target(**entry.arguments)
    except (Exception, SystemExit) as error:
        raise CreationError(
            f"`{entry.interceptor}` raised {type(error).__name__} when it was created",
            entry.arguments,
        ) from error


def describe_mismatch(interceptor: Any, *, on_asyncio: bool) -> str | None:
    """Return why an interceptor, or a class of them, cannot run in a runtime."""
    if not callable(getattr(interceptor, "intercept_service", None)):
        return "has no `intercept_service`"
    if _needs_asyncio(interceptor) == on_asyncio:
        return None
    of, runtime = ("threads", "asyncio") if on_asyncio else ("asyncio", "threads")
    return f"is an interceptor of {of}, and the runtime is {runtime}"


def _needs_asyncio(interceptor: Any) -> bool:
    import grpc.aio

    cls = interceptor if inspect.isclass(interceptor) else type(interceptor)
    # OpenTelemetry's for asyncio is derived from both of grpcio's classes.
    return issubclass(cls, grpc.aio.ServerInterceptor) or is_coroutine(
        interceptor.intercept_service
    )


def _is_instance(target: Any) -> bool:
    return not inspect.isclass(target) and hasattr(target, "intercept_service")


def _problems(
    entry: InterceptorEntry, runtime: Runtime | None
) -> Iterator[ServiceProblem]:
    try:
        target = resolve_reference(
            entry.interceptor, key="interceptor", noun="an interceptor class"
        )
    except ServiceError as error:
        yield error.problem
        return
    produced = _produced(target)
    if produced is None:
        yield ServiceProblem(
            kind=kinds.OPAQUE_INTERCEPTOR,
            key="interceptor",
            message=f"the runtime of `{entry.interceptor}` is unknown until it is"
            " called",
            label="has no return annotation that is an interceptor class",
            help="annotate the factory with the class it returns",
        )
    elif not callable(getattr(produced, "intercept_service", None)):
        yield ServiceProblem(
            kind=kinds.NOT_AN_INTERCEPTOR,
            key="interceptor",
            message=f"`{entry.interceptor}` has no `intercept_service`",
            label="not an interceptor",
            help="derive it from `grpc.ServerInterceptor`, or from"
            " `grpc.aio.ServerInterceptor` for asyncio",
        )
        return
    elif runtime is not None:
        yield from _check_runtime(entry, produced, on_asyncio=_is_asyncio(runtime))
    yield from _check_arguments(entry, target)


def _is_asyncio(runtime: Runtime) -> bool:
    return runtime is Runtime.ASYNCIO


def _produced(target: Any) -> Any:
    """Return the interceptor, its class, or the class that a factory returns.

    None if that is not known.
    """
    if inspect.isclass(target) or _is_instance(target) or not callable(target):
        return target
    try:
        annotation = inspect.signature(target, eval_str=True).return_annotation
    except (TypeError, ValueError, NameError):
        return None
    is_class = inspect.isclass(annotation) and annotation is not inspect.Signature.empty
    return annotation if is_class else None


def _check_runtime(
    entry: InterceptorEntry, produced: Any, *, on_asyncio: bool
) -> Iterator[ServiceProblem]:
    mismatch = describe_mismatch(produced, on_asyncio=on_asyncio)
    if mismatch is None:
        return
    base = "grpc.aio.ServerInterceptor" if on_asyncio else "grpc.ServerInterceptor"
    yield ServiceProblem(
        kind=kinds.INTERCEPTOR_OF_OTHER_RUNTIME,
        key="interceptor",
        message=f"`{entry.interceptor}` {mismatch}",
        label="cannot run there",
        help=f"name one that derives from `{base}`",
    )


def _check_arguments(entry: InterceptorEntry, target: Any) -> Iterator[ServiceProblem]:
    name = f"`{entry.interceptor}`"
    if _is_instance(target):
        if entry.arguments:
            yield ServiceProblem(
                kind=kinds.WRONG_ARGUMENTS,
                key="with",
                message=f"{name} is an instance and takes no arguments",
                help="remove `with`, or name the class",
            )
        return
    try:
        signature = inspect.signature(target)
    except (TypeError, ValueError):  # an extension type without a signature
        return
    misfit = describe_misfit(name, signature, entry.arguments)
    if misfit is not None:
        message, label, advice = misfit
        yield ServiceProblem(
            kind=kinds.WRONG_ARGUMENTS,
            key="with" if entry.arguments else "interceptor",
            message=message,
            label=label,
            help=advice,
        )
    else:
        yield from find_type_problems(name, target, signature, entry.arguments)
