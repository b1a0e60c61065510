"""grpc.health.v1 that lets a server drain.

grpcio's servicers keep every `Watch` open until the client leaves, so that one
watching load balancer would hold each drain until its deadline. These end a watch
once it has said NOT_SERVING. https://grpc.io/docs/guides/health-checking/
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from grpc_health.v1 import health
from grpc_health.v1.health_pb2 import HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = [
    "SERVICE_NAME",
    "AsyncioHealth",
    "ThreadsHealth",
    "add_HealthServicer_to_server",
]

SERVICE_NAME: str = health.SERVICE_NAME


class ThreadsHealth(health.HealthServicer):
    """Health of all services, for the threads runtime."""

    def __init__(self, services: Iterable[str]) -> None:
        super().__init__()
        self._watches: set[_Watch] = set()
        self._drained = False
        for service in services:
            self.set(service, HealthCheckResponse.SERVING)

    def Watch(  # noqa: N802 - named by the protocol
        self, request: Any, context: Any, send_response_callback: Any = None
    ) -> Any:
        """Stream the status of a service until it changes for the last time."""
        watch = _Watch(send_response_callback)
        self._watches.add(watch)
        context.add_callback(lambda: self._watches.discard(watch))
        answer = super().Watch(request, context, watch)
        if self._drained:  # it waited for a thread while the drain began
            watch(None)
        return answer

    def drain(self) -> None:
        """Tell everybody NOT_SERVING, for good, and end the watches."""
        self._drained = True
        self.enter_graceful_shutdown()
        for watch in tuple(self._watches):
            watch(None)


class _Watch:
    """The sending end of one watch; once ended it stays so, whoever ends it again."""

    def __init__(self, send: Callable[[Any], None]) -> None:
        self._send = send
        self._ended = False

    def __call__(self, response: Any) -> None:
        if not self._ended:
            self._ended = response is None
            self._send(response)


class AsyncioHealth(health.aio.HealthServicer):
    """Health of all services, for the asyncio runtime."""

    def __init__(self, services: Iterable[str]) -> None:
        super().__init__()
        self._draining = asyncio.Event()
        self._services = tuple(services)

    async def start(self) -> None:
        """Begin to say SERVING."""
        for service in self._services:
            await self.set(service, HealthCheckResponse.SERVING)

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
        if seen.status == HealthCheckResponse.SERVING:
            await context.write(
                HealthCheckResponse(status=HealthCheckResponse.NOT_SERVING)
            )

    async def drain(self) -> None:
        """Tell everybody NOT_SERVING, for good, and end the watches."""
        await self.enter_graceful_shutdown()
        self._draining.set()


class _LastSeen:
    """A context that remembers the last status written to it."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self.status: int | None = None

    async def write(self, response: Any) -> None:
        self.status = response.status
        await self._context.write(response)
