"""Records what a generated `add_…_to_server` function registers, without a server.

The function is called with a servicer (or its class) and a recorder in place of the
server, so that services, methods and their kinds are read from the code that will serve
them.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

__all__ = ["Method", "behaviour_of", "is_coroutine", "record"]


class Method(NamedTuple):
    """One RPC method as its servicer implements it."""

    service: str
    name: str
    request_streaming: bool
    response_streaming: bool
    is_coroutine: bool
    is_implemented: bool

    @property
    def full_method(self) -> str:
        """The path of the method on the wire: `/package.Service/Method`."""
        return f"/{self.service}/{self.name}"


def record(register: Callable[[Any, Any], object], servicer: object) -> list[Method]:
    """Return the methods that `register` would register for `servicer`.

    Raises:
        Exception: `register` raised it because the servicer does not fit.
    """
    recorder = _Recorder()
    register(servicer, recorder)
    return [
        _method(register, service, name, handler)
        for service, handlers in recorder.services.items()
        for name, handler in handlers.items()
    ]


class _Recorder:
    """Replacement for a server, with the two methods that generated code calls."""

    def __init__(self) -> None:
        self.services: dict[str, dict[str, Any]] = {}

    def add_registered_method_handlers(
        self, service_name: str, method_handlers: Mapping[str, Any]
    ) -> None:
        self.services.setdefault(service_name, {}).update(method_handlers)

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[Any]) -> None:
        for handler in generic_rpc_handlers:
            service = handler.service_name()
            self.services.setdefault(service, {}).update(_look_up(handler, service))


class _CallDetails(NamedTuple):
    """Call details for a generic handler, shaped like `grpc.HandlerCallDetails`."""

    method: str
    invocation_metadata: tuple[()] = ()


def _look_up(handler: Any, service: str) -> Iterator[tuple[str, Any]]:
    """Yield the methods of a generic handler, which has no public list of them.

    Code generated before grpcio-tools 1.65 registers only generic handlers, and so do
    services without protobuf. grpcio's own generic handler has a private table; any
    other is queried for each method in the service's descriptor.
    """
    from grpcsecure.server.grpcio._bindings import method_table_of

    table = method_table_of(handler)
    if table is not None:
        for full_method, found in table.items():
            yield full_method.rpartition("/")[2], found
        return
    from google.protobuf import descriptor_pool

    try:
        descriptor = descriptor_pool.Default().FindServiceByName(service)
    except KeyError:
        return
    for name in descriptor.methods_by_name:
        found = handler.service(_CallDetails(f"/{service}/{name}"))
        if found is not None:
            yield name, found


def behaviour_of(handler: Any) -> Callable[..., Any]:
    """Return the function of a `grpc.RpcMethodHandler` that serves its calls."""
    request = "stream" if handler.request_streaming else "unary"
    response = "stream" if handler.response_streaming else "unary"
    behaviour: Callable[..., Any] = getattr(handler, f"{request}_{response}")
    return behaviour


def _method(register: Any, service: str, name: str, handler: Any) -> Method:
    behaviour = behaviour_of(handler)
    return Method(
        service=service,
        name=name,
        request_streaming=handler.request_streaming,
        response_streaming=handler.response_streaming,
        is_coroutine=is_coroutine(behaviour),
        is_implemented=not _is_generated(register, behaviour),
    )


def _is_generated(register: Any, behaviour: Any) -> bool:
    """Whether `behaviour` is that of the generated base, which is UNIMPLEMENTED."""
    base = getattr(register, "__name__", "")[len("add_") : -len("_to_server")]
    return (
        getattr(behaviour, "__module__", None) == getattr(register, "__module__", "")
        and getattr(behaviour, "__qualname__", "").partition(".")[0] == base
    )


def is_coroutine(behaviour: Callable[..., Any]) -> bool:
    """Whether it needs asyncio: it is a coroutine or async generator function."""
    function: Any = inspect.unwrap(behaviour)
    while isinstance(function, functools.partial):
        function = inspect.unwrap(function.func)
    if not inspect.isroutine(function):  # an object that is called like a function
        function = type(function).__call__
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
