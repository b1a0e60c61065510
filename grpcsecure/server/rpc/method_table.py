"""Table of the methods that one listener serves: method path to the user's handler.

It is looked up before any of the user's code runs, so that a call is authorized first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from grpcsecure.server.rpc.handlers import Calls

__all__ = ["Methods"]


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
