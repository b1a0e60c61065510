"""Servicers of grpc.health.v1 that report what a `HealthBoard` says.

grpcio's servicers keep every `Watch` open until the client leaves, so one watching load
balancer would delay each drain until its deadline. These servicers end a watch once it
has sent NOT_SERVING. https://grpc.io/docs/guides/health-checking/
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, cast

import grpc
from grpc_health.v1 import health, health_pb2
from grpc_health.v1.health_pb2 import HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthServicer, add_HealthServicer_to_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from grpcsecure.server.services.health_board import HealthBoard

__all__ = [
    "SERVICE_NAME",
    "AsyncioHealth",
    "ThreadsHealth",
    "add_HealthServicer_to_server",
]

SERVICE_NAME: str = health.SERVICE_NAME

_UNKNOWN = "unknown service"


def _status(board: HealthBoard, service: str) -> int:
    is_serving = board.is_serving(service)
    if is_serving is None:
        return HealthCheckResponse.SERVICE_UNKNOWN
    return (
        HealthCheckResponse.SERVING if is_serving else HealthCheckResponse.NOT_SERVING
    )


def _response(status: int) -> HealthCheckResponse:
    return HealthCheckResponse(status=cast("Any", status))


def _list_response(board: HealthBoard) -> Any:
    """Return the response of List, which old releases of the library do not have."""
    # `Any`: the typing stubs lack the message.
    messages: Any = health_pb2
    return messages.HealthListResponse(
        statuses={
            service: _response(_status(board, service)) for service in board.names or ()
        }
    )


class ThreadsHealth(HealthServicer):
    """Health of all services, for the threads runtime.

    grpcio's own servicer sends while it holds the lock that all watches share, which
    can block the server. Here nothing is sent under that lock.
    """

    def __init__(self, board: HealthBoard) -> None:
        self._board = board
        self._lock = threading.Lock()
        self._watches: set[_Watch] = set()
        board.subscribe(self._notify)

    def Check(self, request: Any, context: Any) -> Any:  # noqa: N802 - named by the protocol
        """Return the status of a service, or of the server as a whole."""
        status = _status(self._board, request.service)
        if status == HealthCheckResponse.SERVICE_UNKNOWN:
            context.abort(grpc.StatusCode.NOT_FOUND, _UNKNOWN)
        return _response(status)

    def List(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802 - named by the protocol
        """Return the statuses of all services; "" is the server as a whole."""
        return _list_response(self._board)

    def Watch(self, request: Any, context: Any, send: Any = None) -> Any:  # noqa: N802 - named by the protocol
        """Stream the status of a service until the server drains."""
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
        watch = _Watch(self._board, service, send)
        with self._lock:
            self._watches.add(watch)
        if not context.add_callback(lambda: self._forget(watch)):
            self._forget(watch)
        watch.update()

    def _forget(self, watch: _Watch) -> None:
        with self._lock:
            self._watches.discard(watch)

    def _notify(self) -> None:
        """Send the new statuses in another thread.

        A client that does not read must delay neither a drain nor a servicer.
        """
        with self._lock:
            due = tuple(watch for watch in self._watches if watch.is_due)
        if due:
            threading.Thread(
                target=_update_all, args=(due,), name="grpcsecure-health", daemon=True
            ).start()


def _update_all(watches: Iterable[_Watch]) -> None:
    for watch in watches:
        watch.update()


class _Watch:
    """The sending end of one watch."""

    def __init__(
        self, board: HealthBoard, service: str, send: Callable[[Any], object]
    ) -> None:
        self._board = board
        self._service = service
        self._send = send
        #: Held by the thread that sends.
        self._sending = threading.Lock()
        self._sent: int | None = None
        self._has_ended = False

    @property
    def is_due(self) -> bool:
        """Whether a status, or the end, has to be sent."""
        if self._has_ended:
            return False
        return self._board.is_draining or self._status != self._sent

    @property
    def _status(self) -> int:
        return _status(self._board, self._service)

    def update(self) -> None:
        """Send the status in force if the client does not have it, or the end."""
        while self.is_due:
            if not self._sending.acquire(blocking=False):
                return  # the thread that sends looks again afterwards
            try:
                self._send_what_is_due()
            finally:
                self._sending.release()

    def _send_what_is_due(self) -> None:
        if self._has_ended:
            return
        is_last = self._board.is_draining  # looked up first: then the status is final
        status = self._status
        if status != self._sent:
            self._sent = status
            self._send(_response(status))
        if is_last:
            self._has_ended = True
            self._send(None)


class AsyncioHealth(HealthServicer):
    """Health of all services, for the asyncio runtime; created on its event loop.

    grpcio's own servicer sends while it holds the lock that all watches of a service
    share: a client that does not read would hold up the others, and the drain.
    """

    def __init__(self, board: HealthBoard) -> None:
        self._board = board
        self._loop = asyncio.get_running_loop()
        self._watches: set[asyncio.Event] = set()
        board.subscribe(self._notify)

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802 - named by the protocol
        """Return the status of a service, or of the server as a whole."""
        status = _status(self._board, request.service)
        if status == HealthCheckResponse.SERVICE_UNKNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, _UNKNOWN)
        return _response(status)

    async def List(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802 - named by the protocol
        """Return the statuses of all services; "" is the server as a whole."""
        return _list_response(self._board)

    async def Watch(self, request: Any, context: Any) -> None:  # noqa: N802 - named by the protocol
        """Stream the status of a service until the server drains."""
        changed = asyncio.Event()
        self._watches.add(changed)
        sent: int | None = None
        try:
            while True:
                changed.clear()
                is_last = self._board.is_draining  # looked up before the status
                status = _status(self._board, request.service)
                if status != sent:
                    await context.write(_response(status))
                    sent = status
                if is_last:
                    return
                await changed.wait()
        finally:
            self._watches.discard(changed)

    def _notify(self) -> None:
        with suppress(RuntimeError):  # the loop has ended, and the watches with it
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        for changed in self._watches:
            changed.set()
