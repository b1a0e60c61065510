"""The threads runtime: grpcio's sync servers over one thread pool."""

from __future__ import annotations

import threading
from time import monotonic
from typing import TYPE_CHECKING, cast

from grpcsecure.server.grpcio import _bindings as grpcio
from grpcsecure.server.grpcio.pool import Pool
from grpcsecure.server.grpcio.sync_server import SyncServerHook
from grpcsecure.server.rpc.threads_handlers import ThreadsCalls
from grpcsecure.server.runtime.instrumentation import uninstrumented_server
from grpcsecure.server.runtime.ports import Ports
from grpcsecure.server.services.lifespan import Lifespan

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    import grpc

    from grpcsecure.model.listener import Listener
    from grpcsecure.server.rpc.authorizer import Authorizer
    from grpcsecure.server.rpc.handlers import Calls
    from grpcsecure.server.rpc.interceptor_chain import Chain
    from grpcsecure.server.runtime.assembly import Assembly, Registration

__all__ = ["ThreadsRuntime"]

#: Seconds that the handlers of cut calls get to notice it.
_CUT_PATIENCE = 2.0

#: Seconds to find out that nothing runs any more; counts also if the grace is shorter.
_IDLE_PATIENCE = 0.5


class ThreadsRuntime:
    """The servers, one per listener, that run handlers in a shared thread pool."""

    def __init__(self, assembly: Assembly) -> None:
        grpcio.log_fallbacks(grpcio.THREADS, grpcio.SERVICES)
        self._assembly = assembly
        self._servers: list[grpc.Server] = []
        #: Those of them that only the bridge connects to.
        self._bridged: list[grpc.Server] = []
        self.ports = Ports(assembly)
        settings = assembly.config.server
        self._pool = Pool(settings.threads, "grpcsecure")
        self._stopped: list[threading.Event] = []
        #: Whether a drain waits for the clients of the bridge.
        self._is_waiting = False
        self._cut = False
        self._lifespan = Lifespan(on_asyncio=False)

    def start(self) -> dict[str, str]:
        """Create the servicers, bind, serve; return the real address of each listener.

        If it raises, nothing listens, and the servicers that started are closed.

        Raises:
            BindError: an address cannot be listened on.
            Exception: the user's code raised it.
        """
        try:
            return self._start()
        except BaseException as error:
            if not isinstance(error, Exception):  # such as a second signal
                self._lifespan.hurry()
            self._lifespan.close(self._assembly.config.server.shutdown_grace)
            raise

    def _start(self) -> dict[str, str]:
        registrations = [
            *self._assembly.construct(self._lifespan, on_asyncio=False),
            *self._built_in(),
        ]
        chain = self._assembly.build_chain(on_asyncio=False)
        with self._assembly.health.starting():
            self._lifespan.start()
        listeners = self._assembly.config.listeners
        addresses = {}
        prepared = []
        try:
            for listener in listeners:
                authorizer = self._assembly.authorizer(listener)
                calls = _calls(authorizer, chain)
                server = self._server(listener)
                prepared.append((server, listener, calls))
                addresses[listener.name] = self.ports.bind(
                    server, listener, authorizer.view
                )
        except BaseException:
            self._release()
            self.ports.close()
            self._pool.shutdown()
            raise
        for server, listener, calls in prepared:
            self._assembly.register(
                server, listener, registrations, calls=calls, on_asyncio=False
            )
        for server in self._servers:
            server.start()
        try:
            self.ports.open()
        except BaseException:
            self.cut()
            self.ports.close()
            self._pool.shutdown()
            raise
        return addresses

    def _release(self) -> None:
        """Free the bound ports; gRPC only does that for a server that was started.

        No service is registered yet: a client that calls in between gets UNIMPLEMENTED.
        """
        for server in self._servers:
            server.start()
            server.stop(0).wait(_CUT_PATIENCE)
        self._servers.clear()

    def _built_in(self) -> list[Registration]:
        if not self._assembly.config.server.health:
            return []
        from grpcsecure.server.services.health import (
            ThreadsHealth,
            add_HealthServicer_to_server,
        )

        return [(add_HealthServicer_to_server, ThreadsHealth(self._assembly.health))]

    def _server(self, listener: Listener) -> grpc.Server:
        make_server = uninstrumented_server()
        server = make_server(
            cast("ThreadPoolExecutor", SyncServerHook(self._pool)),
            options=self._assembly.options(listener),
            maximum_concurrent_rpcs=self._assembly.max_calls(listener),
        )
        self._servers.append(server)
        if listener.is_bridged:
            self._bridged.append(server)
        return server

    def stop(self, grace: float) -> bool:
        """Drain: NOT_SERVING, no new calls, running ones get `grace` seconds.

        A handler whose client has left, so that its call is over, gets them too.
        Returns whether all could finish; `cut` from another thread ends the wait.
        """
        self._assembly.health.drain()
        patience = max(grace, _IDLE_PATIENCE)
        deadline = monotonic() + patience
        # gRPC's own grace cuts calls without reporting it, so it is longer than ours.
        # But it must be finite: the interpreter does not exit before gRPC's thread.
        longest = min(patience + _CUT_PATIENCE, threading.TIMEOUT_MAX)
        self.ports.drain()
        # A server that stops refuses the calls of clients that have not read its GOAWAY
        # yet (grpc/grpc#41785); clients of the bridge get theirs before.
        self._stopped = [server.stop(longest) for server in self._native]
        self._is_waiting = True
        self.ports.await_drained(deadline - patience + grace)
        self._is_waiting = False
        self._stopped += [server.stop(longest) for server in self._bridged]
        for event in self._stopped:
            if not event.wait(max(0.0, deadline - monotonic())):
                self.cut()
        self.ports.close()
        self._pool.shutdown()
        if not self._cut:
            left = deadline - monotonic()
            self._cut = not self._pool.wait(left, at_least=_IDLE_PATIENCE)
        self._lifespan.close(deadline - monotonic())
        return not self._cut

    def _may_have_calls(self) -> bool:
        has_stopped = all(event.is_set() for event in self._stopped)
        if self._is_waiting:
            # The servers behind the bridge have not been stopped yet.
            return self.ports.has_bridged_calls or not has_stopped
        return not (self._stopped and has_stopped)

    @property
    def _native(self) -> list[grpc.Server]:
        return [each for each in self._servers if each not in self._bridged]

    def has_pulse(self) -> bool:
        """Whether what serves besides gRPC still works."""
        return self.ports.has_pulse()

    def cut(self) -> None:
        """End all calls now."""
        self._lifespan.hurry()
        self._cut |= self._may_have_calls()
        self.ports.cancel_wait()
        for event in [server.stop(0) for server in self._servers]:
            event.wait(_CUT_PATIENCE)
        self._pool.cancel_wait()


def _calls(authorizer: Authorizer, chain: Chain | None) -> Calls:
    if chain is None:
        return ThreadsCalls(authorizer)
    from grpcsecure.server.rpc.threads_interception import ThreadsInterceptedCalls

    return ThreadsInterceptedCalls(authorizer, chain)
