"""An asyncio server of grpcio that malformed calls cannot end.

Since grpcio 1.84 a malformed call can end the loop of an asyncio server that accepts
calls. Here each call of a method that is not registered is first read by another
server, which accepts no connections (`_CallReader`). Only if that succeeds, the
accepting loop gets the call; otherwise the call is refused. If the server ends
nevertheless, the future `crash` is done, and the owner of the server replaces it.
"""

from __future__ import annotations

import asyncio
from types import CoroutineType
from typing import TYPE_CHECKING, Any

import grpc

from grpcsecure.server.grpcio import _bindings as grpcio

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

__all__ = ["ResilientAioServer", "make_server"]

#: Whether calls are read before the accepting loop gets them.
_READS_FIRST = grpcio.NEEDS_GUARD

#: Seconds after which reading a call counts as failed.
_PATIENCE = 5.0


def make_server(
    interceptors: Sequence[Any],
    options: Sequence[tuple[str, Any]],
    *,
    maximum_concurrent_rpcs: int | None,
) -> ResilientAioServer:
    """Return a `grpc.aio.server` that malformed calls cannot end; needs a running loop.

    Raises:
        UnsupportedLibraryError: this grpcio lacks names that the server is made of.
    """
    grpcio.ASYNCIO.require()
    core = _Core(interceptors, options, maximum_concurrent_rpcs)
    return ResilientAioServer(core)


class ResilientAioServer(grpcio.AioServer):
    """A `grpc.aio.Server` that malformed calls cannot end.

    Attributes:
        crash: done, with the exception, when the server has ended unexpectedly. It then
            accepts no more calls, and has to be stopped.
    """

    # Sets the base class's attributes; its own __init__ would make an ordinary server.
    def __init__(self, core: _Core) -> None:
        self._loop = asyncio.get_running_loop()
        self._server = core
        self.crash: asyncio.Future[BaseException] = core.crash


class _Core(grpcio.AioCore):  # type: ignore[misc] # grpcio's private class has no types
    """The part of a server that accepts calls."""

    def __init__(
        self,
        interceptors: Sequence[Any],
        options: Sequence[tuple[str, Any]],
        maximum: int | None,
    ) -> None:
        self._running = asyncio.get_running_loop()
        self._interceptors = tuple(interceptors)
        self._maximum = maximum
        self._generic: list[Any] = []
        self._refusals: set[asyncio.Task[None]] = set()
        self._reader: _CallReader | None = None
        self._serving: asyncio.Task[None] | None = None
        self._is_ending = False
        self._is_crashing = False
        self._ending: asyncio.Future[None]  # kept, since a loop does not keep its tasks
        self.crash: asyncio.Future[BaseException] = self._running.create_future()
        options = grpcio.augment_channel_arguments(options, None)
        super().__init__(self._running, None, [], interceptors, options, maximum)

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Any) -> None:
        self._generic.extend(generic_rpc_handlers)
        super().add_generic_rpc_handlers(generic_rpc_handlers)

    async def _server_main_loop(self, server_started: Any) -> None:
        """Accept calls; an exception that ends the loop is stored in `crash`.

        If the exception was raised, grpcio would log it and leave the running calls
        without an end.
        """
        self._serving = asyncio.current_task()
        try:
            await super()._server_main_loop(server_started)
        except Exception as error:  # noqa: BLE001 - it is passed on
            if self._is_crashing or not self._is_ending:
                self._begin_crash()
                self.crash.set_result(error)
        finally:
            if self._reader is not None:
                await self._reader.close()

    async def shutdown(self, grace: float | None) -> None:
        if self._is_crashing and asyncio.current_task() is not self._ending:
            # Two shutdowns at the same time are not safe.
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
        request.may_cancel = self._may_cancel
        return request

    def _may_cancel(self) -> bool:
        """Whether a request may be cancelled: not by a loop that ends unexpectedly."""
        if asyncio.current_task(self._running) is not self._serving:
            return True
        if not self._is_ending:
            self._begin_crash()
        return False

    def _begin_crash(self) -> None:
        if not self._is_crashing:
            self._is_crashing = True
            self._ending = asyncio.ensure_future(self.shutdown(None))

    async def _request_call(self) -> Any:
        """Return the next call of a method that is not registered.

        Calls of registered methods are requested by another method.
        """
        while True:
            call = await super()._request_call()
            malformed = await self._read(call) if _READS_FIRST else None
            if malformed is None:
                return call
            self._refuse(call, malformed.decode(errors="replace"))

    async def _read(self, call: Any) -> bytes | None:
        """Read a call in the `_CallReader`; return its method if it is malformed."""
        if self._reader is None:
            self._reader = _CallReader(self._running)
            await self._reader.start()
        error = await self._reader.read(call)
        if error is None:
            return None
        await self._reader.close()
        self._reader = None
        malformed = getattr(error, "object", None)
        return malformed if isinstance(malformed, bytes) else None

    def _refuse(self, call: Any, method: str) -> None:
        """Serve a call as one of a method that does not exist."""
        handlers = grpcio.MethodResolver(self._generic, {})
        # grpcio counts only its own calls; the same limit applies to these.
        exceeds = self._maximum is not None and len(self._refusals) >= self._maximum
        running = grpcio.handle_rpc(
            method, handlers, self._interceptors, call, self._running, exceeds
        )
        task = self._running.create_task(
            grpcio.schedule_rpc_coro(running, call, self._running, method)
        )
        self._refusals.add(task)
        task.add_done_callback(self._refusals.discard)


class _Request(asyncio.Task[Any]):
    """A task that waits for the next call.

    gRPC writes the call into memory of this task. Therefore an accepting loop that ends
    unexpectedly must not cancel it: the task ends when gRPC answers, which happens at
    the latest when gRPC's server is shut down.
    """

    # Set from outside: one is created per call, and an __init__ would cost more.
    may_cancel: Callable[[], bool]
    _is_cancelled = False

    def cancel(self, msg: Any = None) -> bool:
        self._is_cancelled = self._is_cancelled or self.may_cancel()
        return self._is_cancelled and super().cancel(msg)


class _ReadError(Exception):
    """The reader was closed, or did not read the call in time."""


class _FoundError(BaseException):
    """Raised when grpcio has read a call and looks up its method."""


class _Finder(grpc.GenericRpcHandler):
    """A generic handler that stops grpcio before it begins to serve a call."""

    def service(self, _handler_call_details: Any) -> Any:
        raise _FoundError


class _CallReader(grpcio.AioCore):  # type: ignore[misc] # grpcio's private class has no types
    """Reads calls of another server with grpcio's own code, until one is malformed.

    Only grpcio's accepting loop can read a call in Python. This class is such a loop,
    of a server without a port: if it ends, no client notices. It processes a call up to
    the lookup of the method, which does not change the call.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._given: asyncio.Queue[Any] = asyncio.Queue()
        self._result: asyncio.Future[Exception | None] = loop.create_future()
        halfway = _Halfway(loop, self._notify)
        super().__init__(halfway, None, [_Finder()], [], (), None)

    async def read(self, call: Any) -> Exception | None:
        """Return the error if grpcio cannot read the call, otherwise None."""
        self._result = asyncio.get_running_loop().create_future()
        self._given.put_nowait(call)
        done, _ = await asyncio.wait([self._result], timeout=_PATIENCE)
        return self._result.result() if done else _ReadError("nothing was read")

    def _notify(self, error: Exception | None = None) -> None:
        if not self._result.done():
            self._result.set_result(error)

    async def close(self) -> None:
        """End the loop, within a limited time."""
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
        except Exception as error:  # noqa: BLE001 - it is the result of `read`
            self._notify(error)


class _Halfway:
    """An event loop for `_CallReader` that stops each call before it is served.

    Args:
        loop: the real event loop, which runs everything else.
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
        """Run a coroutine of `_CallReader`; run one of grpcio only up to `_Finder`.

        grpcio's coroutine creates a second task for another coroutine; the exception of
        `_Finder` ends both.
        """
        if isinstance(coroutine, CoroutineType):
            return self._loop.create_task(coroutine)
        if self._is_inside:
            coroutine.send(None)
        self._is_inside = True
        try:
            coroutine.send(None)
        except _FoundError:
            self._found()
        finally:
            self._is_inside = False
        ended = self._loop.create_future()
        ended.set_result(None)
        return ended
