"""One grpc server per listener, all sharing the same servicers.

What both runtimes have in common: which services a listener serves, what its calls
know of it, and the options of its server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grpcsecure.errors import StartupError
from grpcsecure.frozen import frozen
from grpcsecure.server.context import ListenerView
from grpcsecure.server.handlers import WrappedService
from grpcsecure.server.services import record_created

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from grpcsecure.model.listener import Listener
    from grpcsecure.model.server import ServerConfig
    from grpcsecure.server.services import LoadedService
    from grpcsecure.tls.material import Material

__all__ = ["Assembly", "Registration", "Selected"]

#: A function that registers a servicer with a server, and that servicer.
Registration = tuple["Callable[[Any, Any], object]", object]


def _ignore(_reason: str) -> None:
    """For callers that read the log."""


@frozen
class Assembly:
    """All that a runtime needs to start: checked, imported, nothing created yet."""

    config: ServerConfig
    services: tuple[LoadedService, ...]
    materials: Mapping[str, Material]
    interceptors: tuple[Any, ...] = ()
    #: Told in words if the server can no longer serve all of its listeners.
    on_failure: Callable[[str], None] = _ignore

    def construct(self, *, on_asyncio: bool) -> Iterator[Registration]:
        """Create every servicer, once for all listeners.

        Raises:
            StartupError: the user's own code raised, or what it made does not serve.
        """
        for service in self.services:
            servicer = service.construct()
            methods = record_created(service.entry, service.register, servicer)
            coroutine = next((m.name for m in methods if m.is_coroutine), None)
            if coroutine is not None and not on_asyncio:
                raise StartupError(
                    f"`{service.entry.servicer}` made a servicer with the coroutine"
                    f" `{coroutine}`, which threads cannot call"
                )
            for register in service.register:
                yield register, servicer

    def service_names(self) -> list[str]:
        """The names of all services of the config."""
        methods = (
            method for service in self.services for method in service.methods or ()
        )
        return list(dict.fromkeys(method.service for method in methods))

    def view(self, listener: Listener) -> ListenerView:
        """What the listener's calls know of it."""
        if listener.tls is not None and listener.is_bridged:
            from grpcsecure.server.bridged import BridgedView

            return BridgedView(listener.name, listener.tls.client_certificate)
        mode = listener.tls.client_certificate if listener.tls else None
        return ListenerView(listener.name, mode)

    def options(self, listener: Listener) -> list[tuple[str, Any]]:
        """The channel options of the listener's server.

        Ours come before the config's: of two with one name gRPC takes the first.
        """
        # Two servers would share a port by accident, and answer by turns.
        options: list[tuple[str, Any]] = [("grpc.so_reuseport", 0)]
        if listener.tls is not None:
            timeout = round(listener.tls.handshake_timeout * 1000)
            options.append(("grpc.server_handshake_timeout_ms", timeout))
        return [*options, *self.config.server.channel_options]

    def register(
        self,
        server: Any,
        listener: Listener,
        registrations: Sequence[Registration],
        *,
        wrap: Callable[[Any], Any],
        on_asyncio: bool,
    ) -> None:
        """Register what `listener` serves; reflection tells of no more than that.

        Every handler goes through `wrap`, here or in the outermost interceptor.
        """
        if self.interceptors:
            wrap = _as_it_is
        selected = Selected(server, listener.services, wrap)
        for register, servicer in registrations:
            register(servicer, selected)
        if self.config.server.reflection:
            from grpcsecure.server.reflection import register_reflection

            register_reflection(selected.registered, selected, on_asyncio=on_asyncio)


def _as_it_is(handler: Any) -> Any:
    """For servers whose outermost interceptor wraps."""
    return handler


class Selected:
    """Stands before a server and lets through the services its listener serves."""

    def __init__(
        self, server: Any, names: Sequence[str] | None, wrap: Callable[[Any], Any]
    ) -> None:
        self._server = server
        self._names = names
        self._wrap = wrap
        self.registered: set[str] = set()

    def _serves(self, service: str) -> bool:
        if self._names is not None and service not in self._names:
            return False
        self.registered.add(service)
        return True

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Any) -> None:
        """Pass on the handlers of services that are served here."""
        self._server.add_generic_rpc_handlers(
            [
                WrappedService(handler, self._wrap)
                for handler in generic_rpc_handlers
                if self._serves(handler.service_name())
            ]
        )

    def add_registered_method_handlers(
        self, service_name: str, method_handlers: Any
    ) -> None:
        """Pass on the methods of a service that is served here."""
        if self._serves(service_name):
            wrapped = {
                name: self._wrap(handler) for name, handler in method_handlers.items()
            }
            self._server.add_registered_method_handlers(service_name, wrapped)
