"""The asyncio runtime: grpcio's aio servers on one event loop."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from grpcsecure.server.grpcio import _bindings as grpcio
from grpcsecure.server.grpcio.aio_server import make_server
from grpcsecure.server.rpc.asyncio_handlers import AsyncioCalls
from grpcsecure.server.runtime.listener_restarter import RestartingServer
from grpcsecure.server.runtime.ports import Ports
from grpcsecure.server.services.lifespan import Lifespan

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

    from grpcsecure.model.listener import Listener
    from grpcsecure.server.grpcio.aio_server import ResilientAioServer
    from grpcsecure.server.rpc.authorizer import Authorizer
    from grpcsecure.server.rpc.handlers import Calls
    from grpcsecure.server.rpc.interceptor_chain import Chain
    from grpcsecure.server.runtime.assembly import Assembly, Registration

__all__ = ["AsyncioRuntime", "LoopRuntime"]

_T = TypeVar("_T")

#: Seconds that the handlers of cut calls get to notice it.
_CUT_PATIENCE = 2.0

#: Seconds to find out that nothing runs any more; counts also if the grace is shorter.
_IDLE_PATIENCE = 0.5


class AsyncioRuntime:
    """The servers, one per listener, on the event loop that `start` runs in."""

    def __init__(self, assembly: Assembly) -> None:
        grpcio.ASYNCIO.require()
        grpcio.log_fallbacks(grpcio.SERVICES)
        self._assembly = assembly
        self._served: list[RestartingServer] = []
        self._registrations: list[Registration] = []
        self._chain: Chain | None = None
        self.ports = Ports(assembly)
        settings = assembly.config.server
        self._pool = ThreadPoolExecutor(settings.threads, "grpcsecure")
        self._stops: list[asyncio.Future[None]] = []
        #: Whether a drain waits for the clients of the bridge.
        self._is_waiting = False
        #: Done when the last plain method returns; one may still run after its call.
        self._methods: asyncio.Future[None] | None = None
        self._is_hurried = False
        self._cut = False
        self._lifespan = Lifespan(on_asyncio=True)

    async def start(self) -> dict[str, str]:
        """Create the servicers, bind, serve; return the real address of each listener.

        If it raises, nothing listens, and the servicers that started are closed.

        Raises:
            BindError: an address cannot be listened on.
            Exception: the user's code raised it.
        """
        try:
            return await self._start()
        except BaseException as error:
            if not isinstance(error, Exception):  # such as a cancellation
                self._lifespan.hurry()
            grace = self._assembly.config.server.shutdown_grace
            await self._lifespan.close_on_loop(grace)
            raise

    async def _start(self) -> dict[str, str]:
        self._registrations = [
            *self._assembly.construct(self._lifespan, on_asyncio=True),
            *self._built_in(),
        ]
        self._chain = self._assembly.build_chain(on_asyncio=True)
        with self._assembly.health.starting():
            await self._lifespan.start_on_loop()
        addresses = {}
        prepared = []
        try:
            for listener in self._assembly.config.listeners:
                authorizer = self._assembly.authorizer(listener)
                server, calls = self._server(listener, authorizer)
                prepared.append((server, listener, calls))
                self._served.append(self._keep(server, listener, authorizer))
                addresses[listener.name] = self.ports.bind(
                    server, listener, authorizer.view
                )
        except BaseException:
            # No service is registered yet: a client that calls in between gets
            # UNIMPLEMENTED.
            for server in self._servers:
                await _release(server)
            self._served.clear()
            await asyncio.to_thread(self.ports.close)
            raise
        for each in prepared:
            self._register(*each)
        for server in self._servers:
            await server.start()
        try:
            await asyncio.to_thread(self.ports.open)
        except BaseException:
            await self.cut()
            await asyncio.to_thread(self.ports.close)
            raise
        for served in self._served:
            served.begin()
        return addresses

    @property
    def _servers(self) -> list[ResilientAioServer]:
        return [server for served in self._served for server in served.servers]

    def _keep(
        self, server: ResilientAioServer, listener: Listener, authorizer: Authorizer
    ) -> RestartingServer:
        async def renew() -> ResilientAioServer:
            server, calls = self._server(listener, authorizer)
            self._register(server, listener, calls)
            try:
                self.ports.rebind(server, listener)
            except BaseException:
                await _release(server)
                raise
            await server.start()
            return server

        return RestartingServer(listener.name, server, renew, self._assembly.on_failure)

    def _built_in(self) -> list[Registration]:
        if not self._assembly.config.server.health:
            return []
        from grpcsecure.server.services.health import (
            AsyncioHealth,
            add_HealthServicer_to_server,
        )

        return [(add_HealthServicer_to_server, AsyncioHealth(self._assembly.health))]

    def _server(
        self, listener: Listener, authorizer: Authorizer
    ) -> tuple[ResilientAioServer, Calls]:
        calls = self._calls(authorizer)
        server = make_server(
            [],
            self._assembly.options(listener),
            maximum_concurrent_rpcs=self._assembly.max_calls(listener),
        )
        return server, calls

    def _calls(self, authorizer: Authorizer) -> Calls:
        if self._chain is None:
            return AsyncioCalls(authorizer, self._pool)
        from grpcsecure.server.rpc import asyncio_interception

        return asyncio_interception.AsyncioInterceptedCalls(
            authorizer, self._pool, self._chain
        )

    def _register(
        self, server: ResilientAioServer, listener: Listener, calls: Calls
    ) -> None:
        self._assembly.register(
            server, listener, self._registrations, calls=calls, on_asyncio=True
        )

    async def stop(self, grace: float) -> bool:
        """Drain: NOT_SERVING, no new calls, running ones get `grace` seconds.

        A plain method whose client has left, so that its call is over, gets them too.
        Returns whether all could finish; `cut` ends the wait.
        """
        patience = max(grace, _IDLE_PATIENCE)
        deadline = monotonic() + patience
        self._assembly.health.drain()
        self.ports.drain()
        # A server that stops refuses the calls of clients that have not read its GOAWAY
        # yet (grpc/grpc#41785); clients of the bridge get theirs before.
        await self._begin_stop(bridged=False)
        self._is_waiting = True
        await asyncio.to_thread(self.ports.await_drained, deadline - patience + grace)
        await self._begin_stop(bridged=True)
        self._is_waiting = False
        left = max(0.0, deadline - monotonic())
        running = self._stops and (await asyncio.wait(self._stops, timeout=left))[1]
        if running:
            await self.cut()
        await asyncio.to_thread(self.ports.close)
        self._pool.shutdown(wait=False)
        if not self._cut:
            self._methods = methods = self._end_of_plain_methods()
            left = 0.0 if self._is_hurried else deadline - monotonic()
            await asyncio.wait([methods], timeout=max(_IDLE_PATIENCE, left))
            self._cut |= not methods.done()
        await self._lifespan.close_on_loop(deadline - monotonic())
        return not self._cut

    async def _begin_stop(self, *, bridged: bool) -> None:
        """Stop the servers that the bridge connects to, or all others.

        gRPC's own grace would cut calls without reporting it. So gRPC gets an endless
        one, and `cut` runs when ours is over.
        """
        listeners = self._assembly.config.listeners
        for listener, served in zip(listeners, self._served, strict=True):
            if listener.is_bridged is bridged:
                await served.end()
                self._stops += [
                    asyncio.ensure_future(server.stop(threading.TIMEOUT_MAX))
                    for server in served.servers
                ]

    def _end_of_plain_methods(self) -> asyncio.Future[None]:
        """Return a future that is done when no thread of the pool runs any more."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()

        def notify() -> None:
            if not ended.done():
                ended.set_result(None)

        def wait() -> None:
            self._pool.shutdown()
            with suppress(RuntimeError):  # the loop has ended: the wait was given up
                loop.call_soon_threadsafe(notify)

        threading.Thread(target=wait, name="grpcsecure-drain", daemon=True).start()
        return ended

    def _may_have_calls(self) -> bool:
        if self._is_waiting:
            # The servers behind the bridge have not been stopped yet.
            return self.ports.has_bridged_calls or not _all_done(self._stops)
        if self._methods is not None and self._methods.cancel():
            return True
        return not (self._stops and _all_done(self._stops))

    async def cut(self) -> None:
        """End all calls now."""
        self._is_hurried = True
        self._lifespan.hurry()
        self._cut |= self._may_have_calls()
        self.ports.cancel_wait()
        stops = [asyncio.ensure_future(server.stop(None)) for server in self._servers]
        await asyncio.wait([*stops, *self._stops], timeout=_CUT_PATIENCE)


def _all_done(futures: Iterable[asyncio.Future[None]]) -> bool:
    return all(future.done() for future in futures)


async def _release(server: ResilientAioServer) -> None:
    """Free the bound ports; gRPC only does that for a server that was started."""
    await server.start()
    await server.stop(None)


class LoopRuntime:
    """The asyncio runtime on an event loop in a thread, for callers without a loop."""

    def __init__(self, assembly: Assembly) -> None:
        self._runtime = AsyncioRuntime(assembly)
        self._loop: asyncio.AbstractEventLoop
        self._end: asyncio.Event
        # Keeps a reference to the task: asyncio itself holds tasks only weakly.
        self._cutting: asyncio.Future[None]
        self._ready = threading.Event()
        #: Set when the event loop has run the last callback of `has_pulse`.
        self._answered = threading.Event()
        self._answered.set()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._main()),
            name="grpcsecure-loop",
            daemon=True,
        )

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        self._ready.set()
        await self._end.wait()

    @property
    def ports(self) -> Ports:
        """The listening side of the servers."""
        return self._runtime.ports

    def start(self) -> dict[str, str]:
        """Start as `AsyncioRuntime.start` does; the loop ends again if that fails."""
        self._thread.start()
        self._ready.wait()
        try:
            return self._call(self._runtime.start())
        except BaseException:
            self._close()
            raise

    def stop(self, grace: float) -> bool:
        """Stop as `AsyncioRuntime.stop` does, and end the loop."""
        finished = self._call(self._runtime.stop(grace))
        self._close()
        return finished

    def has_pulse(self) -> bool:
        """Whether the event loop has run callbacks since the previous call."""
        has_answered = self._answered.is_set()
        if has_answered:
            self._answered.clear()
            with suppress(RuntimeError):  # the loop has ended, at the end of a drain
                self._loop.call_soon_threadsafe(self._answered.set)
        return has_answered and self.ports.has_pulse()

    def cut(self) -> None:
        """Begin to end all calls, so that a `stop` in another thread returns."""
        with suppress(RuntimeError):  # the loop has ended: there are no calls
            self._loop.call_soon_threadsafe(self._begin_cut)

    def _begin_cut(self) -> None:
        self._cutting = asyncio.ensure_future(self._runtime.cut())

    def _call(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def _close(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(_CUT_PATIENCE)
