"""Finds the interceptors that tracing libraries add to every server of the process.

OpenTelemetry, Sentry, Datadog and others replace `grpc.server` and `grpc.aio.server` by
functions that add an interceptor. Such a function is called here with arguments that
cannot be read, so that grpcio's own function raises before it makes anything: its
traceback has the interceptors.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any, NoReturn

import grpc

from grpcsecure.server.grpcio import _bindings as grpcio

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

__all__ = ["add_instrumentation", "is_instrumented", "uninstrumented_server"]

_LOGGER = logging.getLogger("grpcsecure.server")

#: Where grpcio's own functions are.
_HOME = str(Path(grpc.__file__).parent)


def _factory(*, on_asyncio: bool) -> Callable[..., Any]:
    """Return the function that makes servers in this process."""
    factory: Callable[..., Any] = grpc.aio.server if on_asyncio else grpc.server
    return factory


def is_instrumented(*, on_asyncio: bool) -> bool:
    """Whether grpcio's function that makes servers has been replaced."""
    factory = _factory(on_asyncio=on_asyncio)
    # A wrapper may have the attributes of what it wraps, but not its type and code.
    is_own = type(factory) is FunctionType and _is_grpcios(factory.__code__.co_filename)
    return not is_own


def _is_grpcios(file: str) -> bool:
    return file.startswith(_HOME)


def uninstrumented_server() -> Callable[..., grpc.Server]:
    """Return a function that makes servers of threads without interceptors.

    Raises:
        UnsupportedLibraryError: `grpc.server` has been replaced, and this grpcio lacks
            the name that is needed then.
    """
    if not is_instrumented(on_asyncio=False):
        return grpc.server
    grpcio.INSTRUMENTED.require()
    return partial(
        grpcio.create_server,
        generic_rpc_handlers=(),
        interceptors=(),
        compression=None,
        xds=False,
    )


def add_instrumentation(interceptors: Sequence[Any], *, on_asyncio: bool) -> list[Any]:
    """Return the interceptors with those that the process adds to its servers.

    If they cannot be found, an event is logged.
    """
    if not is_instrumented(on_asyncio=on_asyncio):
        return [*interceptors]
    factory = _factory(on_asyncio=on_asyncio)
    unreadable = _Unreadable()
    found: Sequence[Any] | None = None
    reason = "it does not call grpcio's own function"
    with ThreadPoolExecutor(1) as pool:  # it starts no thread
        try:
            factory(
                pool,
                handlers=unreadable,
                interceptors=[*interceptors],
                options=unreadable,
            )
        except _ReachedError as reached:
            found = _find_interceptors(reached.__traceback__)
        except Exception as error:  # noqa: BLE001 - it is logged
            reason = f"it raised {type(error).__name__}"
    if found is None:
        name = "grpc.aio.server" if on_asyncio else "grpc.server"
        _LOGGER.warning(
            "instrumentation.ignored", extra={"function": name, "error": reason}
        )
        return [*interceptors]
    return [*found]


class _ReachedError(BaseException):
    """Raised when grpcio's own function reads its arguments.

    It is no `Exception`: a library may catch those, and make a server without its
    interceptor.
    """


class _Unreadable:
    """Handlers or options of a server that is never made."""

    def __iter__(self) -> NoReturn:
        raise _ReachedError


def _find_interceptors(traceback: TracebackType | None) -> Sequence[Any] | None:
    """Return the argument `interceptors` of the first of grpcio's own functions."""
    while traceback is not None:
        frame = traceback.tb_frame
        if _is_grpcios(frame.f_code.co_filename) and "interceptors" in frame.f_locals:
            return frame.f_locals["interceptors"] or ()
        traceback = traceback.tb_next
    return None
