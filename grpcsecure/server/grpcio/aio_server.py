"""grpcio's asyncio server, made to last: no call of a client's can end it.

grpcio (since 1.84) decodes the path of a call in the loop that takes all calls in. If
it is not UTF-8 the loop ends, and the server with it. Here the loop gets no call before
its path is known to be text. This module knows grpcio's insides, like `arrivals`.
"""

from __future__ import annotations

import asyncio
from types import CoroutineType
from typing import TYPE_CHECKING, Any

import grpc
from grpc._cython import cygrpc
from grpc.aio import _server as grpc_aio

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

__all__ = ["ResilientAioServer", "make_server"]

#: Whether this grpcio decodes paths where it ends the server.
_ENDS_BY_PATHS = hasattr(cygrpc, "_MethodResolver")

#: Seconds after which grpcio is taken to have lost a path that it was to read.
_PATIENCE = 5.0


def make_server(
    interceptors: Sequence[Any],
    options: Sequence[tuple[str, Any]],
    *,
    maximum_concurrent_rpcs: int | None,
) -> ResilientAioServer:
    """Return what `grpc.aio.server` returns, but lasting; needs a running loop."""
    core = _Core(interceptors, options, maximum_concurrent_rpcs)
    return ResilientAioServer(core)


class ResilientAioServer(grpc_aio.Server):
    """A `grpc.aio.Server` that outlives paths that are no text.

    Attributes:
        crash: done, with the exception, when the server has ended unasked all the same.
            It then takes no more calls, and has to be stopped.
    """

    # What the base class has; its own __init__ would make an ordinary server.
    def __init__(self, core: _Core) -> None:
        self._loop = asyncio.get_running_loop()
        self._server = core
        self.crash: asyncio.Future[BaseException] = core.crash


class _Core(cygrpc.AioServer):  # type: ignore[misc] # grpcio's insides have no types
    """The part of a server that takes calls in."""

    def __init__(
        self,
        interceptors: Sequence[Any],
        options: Sequence[tuple[str, Any]],
        maximum: int | None,
    ) -> None:
        self._running = asyncio.get_running_loop()
        self._asked = tuple(interceptors)
        self._maximum = maximum
        self._generic: list[Any] = []
        self._odd: set[asyncio.Task[None]] = set()
        self._reader: _RequestReader | None = None
        self._serving: asyncio.Task[None] | None = None
        self._is_ending = False
        self._is_crashing = False
        self._ending: asyncio.Future[None]  # a task lives as long as it is known
        self.crash: asyncio.Future[BaseException] = self._running.create_future()
        options = grpc_aio._augment_channel_arguments(options, None)  # noqa: SLF001 - as grpc.aio.server does
        super().__init__(self._running, None, [], interceptors, options, maximum)

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Any) -> None:
        self._generic.extend(generic_rpc_handlers)
        super().add_generic_rpc_handlers(generic_rpc_handlers)

    async def _server_main_loop(self, server_started: Any) -> None:
        """Take calls in; what ends it unasked is told, not raised.

        If it were raised grpcio would leave the calls that run as they are, and log it.
        """
        self._serving = asyncio.current_task()
        try:
            await super()._server_main_loop(server_started)
        except Exception as error:  # noqa: BLE001 - it is passed on
            if self._is_crashing or not self._is_ending:
                self._fall()
                self.crash.set_result(error)
        finally:
            if self._reader is not None:
                await self._reader.close()

    async def shutdown(self, grace: float | None) -> None:
        if self._is_crashing and asyncio.current_task() is not self._ending:
            # A second shutdown, at the wrong moment of the first, is a null pointer.
            await asyncio.shield(self._ending)
            return
        self._is_ending = True
        await super().shutdown(grace)

    def _make_request_call_future(self, method_bytes: bytes | None) -> Any:
        coroutine = (
            self._request_call()
            if method_bytes is None
            else self._request_registered_call(method_bytes)
        )
        request = _Request(coroutine, loop=self._running)
        request.may_drop = self._may_drop
        return request

    def _may_drop(self) -> bool:
        """Whether a request may be cancelled; not by a loop that ends unasked."""
        if asyncio.current_task(self._running) is not self._serving:
            return True
        if not self._is_ending:
            self._fall()
        return False

    def _fall(self) -> None:
        if not self._is_crashing:
            self._is_crashing = True
            self._ending = asyncio.ensure_future(self.shutdown(None))

    async def _request_call(self) -> Any:
        """Return the next call of a method that is not registered, with a text as path.

        Those of registered methods do not come through here.
        """
        while True:
            call = await super()._request_call()
            path = await self._unreadable(call) if _ENDS_BY_PATHS else None
            if path is None:
                return call
            self._refuse(call, path.decode(errors="replace"))

    async def _unreadable(self, call: Any) -> bytes | None:
        """Return the path of a call if grpcio cannot read it."""
        if self._reader is None:
            self._reader = _RequestReader(self._running)
            await self._reader.start()
        error = await self._reader.read(call)
        if error is None:
            return None
        await self._reader.close()
        self._reader = None
        return error.object if isinstance(error, UnicodeDecodeError) else None

    def _refuse(self, call: Any, method: str) -> None:
        """Serve a call as one of a method that nobody has, which it is."""
        handlers = cygrpc._MethodResolver(self._generic, {})  # noqa: SLF001 - as grpcio does
        # grpcio counts its own; these may be as many again.
        is_one_too_many = self._maximum is not None and len(self._odd) >= self._maximum
        running = cygrpc._handle_rpc(  # noqa: SLF001
            method, handlers, self._asked, call, self._running, is_one_too_many
        )
        task = self._running.create_task(
            cygrpc._schedule_rpc_coro(running, call, self._running, method)  # noqa: SLF001
        )
        self._odd.add(task)
        task.add_done_callback(self._odd.discard)


class _Request(asyncio.Task[Any]):
    """Waits for a call.

    gRPC writes a call to where the request for it lives. When grpcio's loop ends
    unasked it cancels its requests, which frees that memory while gRPC still knows it.
    These wait until gRPC has answered, as it does once its server is shut down.
    """

    # One is made for each call: set from outside, as an __init__ would cost more.
    may_drop: Callable[[], bool]
    _is_dropped = False

    def cancel(self, msg: Any = None) -> bool:
        self._is_dropped = self._is_dropped or self.may_drop()
        return self._is_dropped and super().cancel(msg)


class _ReadError(Exception):
    """The reader is to end."""


class _Found(BaseException):
    """grpcio has read a path, and looks for the method."""


class _Finder(grpc.GenericRpcHandler):
    """Stops grpcio where it would begin to serve a call."""

    def service(self, _handler_call_details: Any) -> Any:
        raise _Found


class _RequestReader(cygrpc.AioServer):  # type: ignore[misc] # grpcio's insides have no types
    """Has grpcio read the paths of another server's calls, until one is no text.

    The bytes of a path are nowhere to be had in Python but in grpcio's own loop. So
    here is one, of a server that nobody can reach: it may end by what it reads. It
    comes as far as to look for the method, and does nothing to the call before that.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._given: asyncio.Queue[Any] = asyncio.Queue()
        self._read: asyncio.Future[Exception | None] = loop.create_future()
        halfway = _Halfway(loop, self._notify)
        super().__init__(halfway, None, [_Finder()], [], (), None)

    async def read(self, call: Any) -> Exception | None:
        """Return why grpcio cannot read the path; None if it can."""
        self._read = asyncio.get_running_loop().create_future()
        self._given.put_nowait(call)
        done, _ = await asyncio.wait([self._read], timeout=_PATIENCE)
        return self._read.result() if done else _ReadError("nothing was read")

    def _notify(self, error: Exception | None = None) -> None:
        if not self._read.done():
            self._read.set_result(error)

    async def close(self) -> None:
        """End it; nothing waits for it for good."""
        self._given.put_nowait(None)
        ended = asyncio.ensure_future(self.shutdown(None))
        await asyncio.wait([ended], timeout=_PATIENCE)

    async def _request_call(self) -> Any:
        call = await self._given.get()
        if call is None:
            raise _ReadError
        return call

    async def _server_main_loop(self, server_started: Any) -> None:
        try:
            await super()._server_main_loop(server_started)
        except Exception as error:  # noqa: BLE001 - this is what it is for
            self._notify(error)


class _Halfway:
    """An event loop as far as a `_RequestReader` needs one: it serves no call.

    Args:
        loop: runs all the rest.
        found: called when a call is about to be served.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, found: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._found = found
        self._is_inside = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    def create_task(
        self, coroutine: Coroutine[Any, Any, Any], **_: Any
    ) -> asyncio.Future[Any]:
        """Run a coroutine of ours; one of grpcio's only to where it is stopped.

        That one makes a task of another: both end by the exception of the `_Finder`.
        """
        if isinstance(coroutine, CoroutineType):
            return self._loop.create_task(coroutine)
        if self._is_inside:
            coroutine.send(None)
        self._is_inside = True
        try:
            coroutine.send(None)
        except _Found:
            self._found()
        finally:
            self._is_inside = False
        ended = self._loop.create_future()
        ended.set_result(None)
        return ended
