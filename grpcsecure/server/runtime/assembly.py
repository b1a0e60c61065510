"""Builds one grpc server per listener, all with the same servicers.

Shared by both runtimes: the services of a listener, its authorizer and the channel
options of its server.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from grpcsecure.errors import StartupError
from grpcsecure.server.rpc.authorizer import Authorizer
from grpcsecure.server.rpc.call_context import ListenerView
from grpcsecure.server.rpc.handlers import UnknownMethods, WrappedService
from grpcsecure.server.runtime.server_arguments import channel_arguments
from grpcsecure.server.services.health_board import HealthBoard
from grpcsecure.server.services.loader import record_created

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from grpcsecure.model.listener import Listener
    from grpcsecure.model.server_config import ServerConfig
    from grpcsecure.server.rpc.audit import Auditor
    from grpcsecure.server.rpc.handlers import Calls
    from grpcsecure.server.rpc.interceptor_chain import Chain
    from grpcsecure.server.services.lifespan import Lifespan
    from grpcsecure.server.services.loader import LoadedService
    from grpcsecure.server.snapshot import InForce

__all__ = ["Assembly", "Registration", "Selected"]

#: A function that registers a servicer with a server, and that servicer.
Registration = tuple["Callable[[Any, Any], object]", object]


def _ignore(_reason: str) -> None:
    """Ignore a failure; the default of `on_failure`, for callers that read the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembly:
    """Input of a runtime: checked and imported, but no servicer is created yet."""

    config: ServerConfig
    services: tuple[LoadedService, ...]
    in_force: InForce
    auditor: Auditor
    #: Those of the embedding program, outermost first.
    interceptors: tuple[Any, ...] = ()
    #: Called with a human-readable reason if some listener can no longer be served.
    on_failure: Callable[[str], None] = _ignore
    #: The health of the services, settled when all of them are known.
    health: HealthBoard = field(default_factory=HealthBoard)

    def construct(
        self, lifespan: Lifespan, *, on_asyncio: bool
    ) -> Iterator[Registration]:
        """Create every servicer, once for all listeners, and collect their hooks.

        Raises:
            StartupError: the user's code raised, or its result cannot serve.
        """
        self.health.settle(self.service_names())
        for service in self.services:
            with self.health.starting():
                servicer = service.construct()
            methods = record_created(service.entry, service.register, servicer)
            coroutine = next((m.name for m in methods if m.is_coroutine), None)
            if coroutine is not None and not on_asyncio:
                raise StartupError(
                    f"`{service.entry.servicer}` made a servicer with the coroutine"
                    f" `{coroutine}`, which threads cannot call"
                )
            lifespan.add(
                service.entry, servicer, start=service.start, close=service.close
            )
            for register in service.register:
                yield register, servicer

    def build_chain(self, *, on_asyncio: bool) -> Chain | None:
        """Create the interceptors; return their chain, None if there are none.

        Those that tracing libraries add to every server of the process are among them.

        Raises:
            StartupError: the user's code raised, or an interceptor does not fit.
        """
        from grpcsecure.server.runtime.instrumentation import is_instrumented

        settings = self.config.server
        if not (
            self.interceptors
            or settings.interceptors
            or is_instrumented(on_asyncio=on_asyncio)
        ):
            return None
        from grpcsecure.server.runtime.chain_assembly import build_chain

        return build_chain(
            self.interceptors, settings.interceptors, on_asyncio=on_asyncio
        )

    def service_names(self) -> list[str]:
        """Return the names of all services of the config."""
        methods = (
            method for service in self.services for method in service.methods or ()
        )
        return list(dict.fromkeys(method.service for method in methods))

    def authorizer(self, listener: Listener) -> Authorizer:
        """Return the authorizer of the listener's calls."""
        return Authorizer(self._view(listener), self.in_force, self.auditor)

    def _view(self, listener: Listener) -> ListenerView:
        mode = listener.tls.client_certificate if listener.tls else None
        if mode is not None and listener.is_bridged:
            from grpcsecure.server.rpc.bridged_caller import BridgedView

            return BridgedView(listener.name, mode, self.in_force)
        return ListenerView(listener.name, mode, self.in_force)

    def options(self, listener: Listener) -> list[tuple[str, Any]]:
        """Return the channel options of the listener's server."""
        return channel_arguments(self.config.server, listener)

    def max_calls(self, listener: Listener) -> int | None:
        """Return the number of calls that may run at once; None sets no limit."""
        own = listener.limits.max_calls
        return self.config.server.max_concurrent_rpcs if own is None else own

    def register(
        self,
        server: Any,
        listener: Listener,
        registrations: Sequence[Registration],
        *,
        calls: Calls,
        on_asyncio: bool,
    ) -> None:
        """Register the services of `listener`; reflection lists no others.

        Every handler is made by `calls`.
        """
        selected = Selected(server, listener.services, calls)
        for register, servicer in registrations:
            register(servicer, selected)
        if self.config.server.reflection:
            from grpcsecure.server.services.reflection import register_reflection

            register_reflection(selected.registered, selected, on_asyncio=on_asyncio)
        server.add_generic_rpc_handlers([UnknownMethods(calls)])


class Selected:
    """Registration proxy of a server that passes on only the services of its listener.

    Args:
        server: the server to register with.
        names: the names of the listener's services, None for all.
        calls: makes the handlers that authorize calls.
    """

    def __init__(
        self,
        server: Any,
        names: Sequence[str] | None,
        calls: Calls,
    ) -> None:
        self._server = server
        self._names = names
        self._calls = calls
        self.registered: set[str] = set()

    def serves(self, service: str) -> bool:
        """Whether the listener serves a service of this name, if there is one."""
        return self._names is None or service in self._names

    def _accept(self, service: str) -> bool:
        if not self.serves(service):
            return False
        self.registered.add(service)
        return True

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Any) -> None:
        """Register the generic handlers of services that this listener serves."""
        for service in generic_rpc_handlers:
            if self._accept(service.service_name()):
                wrapped = WrappedService(service, self._calls)
                self._server.add_generic_rpc_handlers([wrapped])

    def add_registered_method_handlers(
        self, service_name: str, method_handlers: Any
    ) -> None:
        """Register the methods of a service, if this listener serves it."""
        if not self._accept(service_name):
            return
        made = {
            name: self._calls.wrap(f"/{service_name}/{name}", handler)
            for name, handler in method_handlers.items()
        }
        self._server.add_registered_method_handlers(service_name, made)
