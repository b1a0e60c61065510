"""Wraps handlers so that the listener's authorizer decides each call first.

Handlers are wrapped once, when they are registered. Where the user has interceptors,
grpcsecure adds an outermost one instead: it authorizes the call before the user's
interceptors run, because these may return other handlers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc

if TYPE_CHECKING:
    from collections.abc import Callable

    from grpcsecure.server.rpc.method_table import Calls, Methods

__all__ = [
    "NO_STREAM",
    "AsyncioInterceptor",
    "ThreadsInterceptor",
    "UnknownMethods",
    "WrappedService",
    "make_handler",
]

#: The status if a user's interceptor returns a streaming handler for a unary method.
NO_STREAM = (
    grpc.StatusCode.INTERNAL,
    "an interceptor answered a method of one response with a stream",
)

_HANDLERS = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


def make_handler(
    behaviour: Callable[..., Any],
    *,
    response_streaming: bool,
    request_deserializer: Any = None,
    response_serializer: Any = None,
) -> Any:
    """Return a handler that receives its requests as a stream."""
    return _HANDLERS[True, response_streaming](
        behaviour,
        request_deserializer=request_deserializer,
        response_serializer=response_serializer,
    )


class WrappedService(grpc.ServiceRpcHandler):
    """A generic handler that wraps each method handler once and caches the wrapper.

    A service may return a new handler for each call, so a cached wrapper is used only
    for the same handler object that it wraps. Method names come from clients, so only
    names with a handler are cached, and at most `_MOST`.
    """

    _MOST = 4096

    def __init__(self, service: Any, calls: Calls) -> None:
        self._service = service
        self._calls = calls
        self._known: dict[str, tuple[Any, Any]] = {}

    def service_name(self) -> str:
        """Return the name of the service."""
        name: str = self._service.service_name()
        return name

    def service(self, handler_call_details: Any) -> Any:
        """Return the wrapped handler of a method, or None."""
        method = handler_call_details.method
        handler = self._service.service(handler_call_details)
        if handler is None:
            return None
        known = self._known.get(method)
        if known is not None and known[0] is handler:
            return known[1]
        wrapped = self._calls.wrap(method, handler)
        if len(self._known) < self._MOST:
            self._known[method] = (handler, wrapped)
        return wrapped


class UnknownMethods(grpc.GenericRpcHandler):
    """The last generic handler: serves the methods that no service has."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def service(self, handler_call_details: Any) -> Any:
        """Return the handler of a method that no servicer has."""
        return self._calls.unknown(handler_call_details.method)


class ThreadsInterceptor(grpc.ServerInterceptor):
    """The outermost interceptor of a threads server: authorizes calls."""

    def __init__(self, methods: Methods) -> None:
        self._methods = methods

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """Return a handler that authorizes the call before the user's interceptors."""
        base = self._methods.find(handler_call_details)
        return self._methods.calls.intercepted(base, continuation, handler_call_details)


class AsyncioInterceptor(grpc.aio.ServerInterceptor):
    """The outermost interceptor of an asyncio server: authorizes calls."""

    def __init__(self, methods: Methods) -> None:
        self._methods = methods

    async def intercept_service(
        self, continuation: Any, handler_call_details: Any
    ) -> Any:
        """Return a handler that authorizes the call before the user's interceptors."""
        base = self._methods.find(handler_call_details)
        return self._methods.calls.intercepted(base, continuation, handler_call_details)
