"""Table of the methods that one listener serves: method path to the user's handler.

It is looked up before any of the user's code runs, so that a call is authorized first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Calls", "Methods"]


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

    def intercepted(
        self, base: Any, continuation: Callable[[Any], Any], details: Any
    ) -> Any:
        """Return a handler that authorizes the call, then runs user interceptors.

        Args:
            base: the handler that is registered for the method, or None.
            continuation: runs the user's interceptors and returns their handler.
            details: the `grpc.HandlerCallDetails` of the call.
        """


class Methods:
    """The handlers of a listener as they were registered, none of them wrapped.

    Attributes:
        calls: makes the handlers that authorize calls.
    """

    def __init__(self, calls: Calls) -> None:
        self.calls = calls
        self._registered: dict[str, Any] = {}
        self._services: list[Any] = []

    def add(self, method: str, handler: Any) -> None:
        """Add the handler of a method path."""
        self._registered[method] = handler

    def add_service(self, service: Any) -> None:
        """Add a generic handler, which looks up its methods itself."""
        self._services.append(service)

    def find(self, handler_call_details: Any) -> Any:
        """Return the handler of a call, or None if no servicer has the method."""
        handler = self._registered.get(handler_call_details.method)
        if handler is not None:
            return handler
        for service in self._services:
            handler = service.service(handler_call_details)
            if handler is not None:
                return handler
        return None
