"""Wraps handlers so that the listener's authorizer decides each call first.

Handlers are wrapped once, when they are registered. The wrapper also runs the user's
interceptors, after the decision (`interceptor_chain.Chain`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import grpc

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "NO_STREAM",
    "Calls",
    "UnknownMethods",
    "WrappedService",
    "make_handler",
    "rebuild_handler",
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


def rebuild_handler(handler: Any, behaviour: Callable[..., Any]) -> Any:
    """Return a handler of the same kind with another function."""
    return _HANDLERS[handler.request_streaming, handler.response_streaming](
        behaviour,
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )


class Calls(Protocol):
    """Makes the handlers of one listener, in one of the runtimes.

    All handlers take their requests as a stream, also those of unary calls: grpcio
    reads the one message of a unary call before it calls the handler, but a call must
    be authorized before its message is read.
    """

    def wrap(self, method: str, handler: Any) -> Any:
        """Return a handler that authorizes the call, then runs `handler`."""

    def unknown(self, method: str) -> Any:
        """Return the handler of a method that no servicer has."""


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
