"""Servicers of grpc.health.v1 that let a server drain.

grpcio's servicers keep every `Watch` open until the client leaves, so one watching load
balancer would delay each drain until its deadline. These servicers end a watch once it
has sent NOT_SERVING. https://grpc.io/docs/guides/health-checking/
"""

from __future__ import annotations

import asyncio
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, cast

import grpc
from grpc_health.v1 import health, health_pb2
from grpc_health.v1.health_pb2 import HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthServicer, add_HealthServicer_to_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = [
    "SERVICE_NAME",
    "AsyncioHealth",
    "ThreadsHealth",
    "add_HealthServicer_to_server",
]

SERVICE_NAME: str = health.SERVICE_NAME


def _list_response(statuses: Mapping[str, int]) -> Any:
    """Return the response of List, which old releases of the library do not have."""
    # `Any`: the typing stubs lack the message.
    messages: Any = health_pb2
    return messages.HealthListResponse(
        statuses={
            service: HealthCheckResponse(status=cast("Any", status))
            for service, status in statuses.items()
        }
    )


class ThreadsHealth(HealthServicer):
    """Health of all services, for the threads runtime.

    grpcio's own servicer sends while it holds the lock that all watches share, which
    can block the server. Here nothing is sent under that lock.
    """

    def __init__(self, services: Iterable[str]) -> None:
        self._lock = threading.Lock()
        self._statuses: dict[str, int] = dict.fromkeys(
            ("", *services), HealthCheckResponse.SERVING
        )
        self._watches: set[_Watch] = set()
        self._is_draining = False

    def Check(self, request: Any, context: Any) -> Any:  # noqa: N802 - named by the protocol
        """Return the status of a service, or of the server as a whole."""
        status = self._statuses.get(request.service)
        if status is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return HealthCheckResponse(status=status)

    def List(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802 - named by the protocol
        """Return the statuses of all services; "" is the server as a whole."""
        with self._lock:
            return _list_response(self._statuses)

    def Watch(self, request: Any, context: Any, send: Any = None) -> Any:  # noqa: N802 - named by the protocol
        """Stream the status of a service until it changes for the last time."""
        if send is not None:
            self._watch(request.service, context, send)
            return None
        # A handler from an interceptor passes no `send`: this watch occupies a thread.
        statuses: SimpleQueue[Any] = SimpleQueue()
        self._watch(request.service, context, statuses.put)
        context.add_callback(lambda: statuses.put(None))
        return iter(statuses.get, None)

    # With this attribute grpcio passes `send`, and a watch occupies no thread.
    Watch.experimental_non_blocking = True  # type: ignore[attr-defined] # functions take attributes

    def _watch(self, service: str, context: Any, send: Callable[[Any], object]) -> None:
        watch = _Watch(send)
        with watch.sending:  # the last status comes after the first one
            with self._lock:
                status = self._statuses.get(
                    service, HealthCheckResponse.SERVICE_UNKNOWN
                )
                is_last = self._is_draining
                self._watches.add(watch)
            if not context.add_callback(lambda: self._forget(watch)):
                self._forget(watch)
            watch.begin(status)
        if is_last:
            watch.end()

    def _forget(self, watch: _Watch) -> None:
        with self._lock:
            self._watches.discard(watch)

    def drain(self) -> None:
        """Report NOT_SERVING from now on, and end the watches.

        Returns at once: a client that does not read must not delay the drain.
        """
        with self._lock:
            self._is_draining = True
            for service in self._statuses:
                self._statuses[service] = HealthCheckResponse.NOT_SERVING
            watches = tuple(self._watches)
        threading.Thread(
            target=_end_all, args=(watches,), name="grpcsecure-health", daemon=True
        ).start()


def _end_all(watches: Iterable[_Watch]) -> None:
    for watch in watches:
        watch.end()


class _Watch:
    """The sending end of one watch; a thread that sends must hold `sending`."""

    def __init__(self, send: Callable[[Any], object]) -> None:
        self._send = send
        self.sending = threading.Lock()
        self._is_serving = False
        self._has_ended = False

    def begin(self, status: int) -> None:
        """Send the first status; the caller holds `sending`."""
        self._is_serving = status == HealthCheckResponse.SERVING
        self._send(HealthCheckResponse(status=status))

    def end(self) -> None:
        """Send NOT_SERVING if SERVING was sent before, and end the stream, once."""
        with self.sending:
            if self._has_ended:
                return
            self._has_ended = True
            if self._is_serving:
                self._send(HealthCheckResponse(status=HealthCheckResponse.NOT_SERVING))
            self._send(None)


class AsyncioHealth(health.aio.HealthServicer):
    """Health of all services, for the asyncio runtime."""

    def __init__(self, services: Iterable[str]) -> None:
        super().__init__()
        self._draining = asyncio.Event()
        self._services = tuple(services)

    async def start(self) -> None:
        """Set all services to SERVING."""
        for service in self._services:
            await self.set(service, HealthCheckResponse.SERVING)

    async def List(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802 - named by the protocol
        """Return the statuses of all services; "" is the server as a whole."""
        return _list_response(
            dict.fromkeys(
                ("", *self._services),
                HealthCheckResponse.NOT_SERVING
                if self._draining.is_set()
                else HealthCheckResponse.SERVING,
            )
        )

    async def Watch(self, request: Any, context: Any) -> None:  # noqa: N802 - named by the protocol
        """Stream the status of a service until it changes for the last time."""
        seen = _LastSeen(context)
        watched = super().Watch(request, cast("Any", seen))
        watch = asyncio.ensure_future(watched)
        draining = asyncio.ensure_future(self._draining.wait())
        try:
            await asyncio.wait((watch, draining), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (watch, draining):
                task.cancel()
            await asyncio.gather(watch, draining, return_exceptions=True)
            await seen.wait_until_sent()
        if seen.status == HealthCheckResponse.SERVING:
            await context.write(
                HealthCheckResponse(status=HealthCheckResponse.NOT_SERVING)
            )

    async def drain(self) -> None:
        """Report NOT_SERVING from now on, and end the watches."""
        await self.enter_graceful_shutdown()
        self._draining.set()


class _LastSeen:
    """A context that records the last status written to it.

    gRPC sends one message of a call at a time, and goes on sending it when the task
    that waits for it is cancelled. The end of the call would then fail, and the call
    stay open until its client leaves.
    """

    def __init__(self, context: Any) -> None:
        self._context = context
        self._sending: asyncio.Future[None] | None = None
        self.status: int | None = None

    async def write(self, response: Any) -> None:
        self.status = response.status
        self._sending = asyncio.ensure_future(self._context.write(response))
        await asyncio.shield(self._sending)

    async def wait_until_sent(self) -> None:
        if self._sending is not None:
            await asyncio.gather(self._sending, return_exceptions=True)
