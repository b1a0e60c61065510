"""What one listener serves: the way from a method's path to the servicer's handler.

Asked before anything of the user's own runs, so that a call can be decided first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from grpcsecure.server.rpc.handlers import Calls

__all__ = ["Methods"]


class Methods:
    """The handlers of a listener as they were registered, none of them wrapped.

    Attributes:
        calls: makes the handlers that admit calls.
    """

    def __init__(self, calls: Calls) -> None:
        self.calls = calls
        self._registered: dict[str, Any] = {}
        self._services: list[Any] = []

    def add(self, method: str, handler: Any) -> None:
        """Take in a method by its path."""
        self._registered[method] = handler

    def add_service(self, service: Any) -> None:
        """Take in a generic handler, which finds its methods by itself."""
        self._services.append(service)

    def find(self, handler_call_details: Any) -> Any:
        """Return the handler of a call, or None: no servicer has the method."""
        handler = self._registered.get(handler_call_details.method)
        if handler is not None:
            return handler
        for service in self._services:
            handler = service.service(handler_call_details)
            if handler is not None:
                return handler
        return None
