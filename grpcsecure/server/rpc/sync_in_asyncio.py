"""Plain (synchronous) methods under the asyncio runtime: run in the thread pool.

grpcio does this too, but gives such methods a context without `is_active`, `cancel`,
`code` or callbacks on streams, and runs a streaming method that is not a generator in
the event loop itself. Here a plain method has the same context as in the threads
runtime.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import aclosing, suppress
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

import grpc

from grpcsecure.server.rpc.call_context import AsyncioContext, no_exception

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
    from concurrent.futures import Executor, Future

    from grpcsecure.server.rpc.call_context import ListenerView

__all__ = ["PlainContext", "pull_requests", "run_stream", "run_unary"]

_END = object()


def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a user's function; convert a raised `BaseException` to an `Exception`.

    An `Exception` ends the call with a status. A `SystemExit` or `KeyboardInterrupt`
    has no meaning in a thread, and would end the event loop if it was raised there.
    """
    try:
        return function(*arguments)
    except Exception:
        raise
    except BaseException as error:
        raise no_exception(error) from error


async def run_unary(
    behaviour: Callable[..., Any], argument: Any, context: PlainContext, pool: Executor
) -> Any:
    """Run a plain method with one response in the pool; return its response."""
    run = copy_context().run
    return await asyncio.wrap_future(
        pool.submit(run, _call, behaviour, argument, context)
    )


async def run_stream(
    behaviour: Callable[..., Any], argument: Any, context: PlainContext, pool: Executor
) -> AsyncGenerator[Any, None]:
    """Run a plain method with a stream of responses in the pool; yield them."""
    async with aclosing(
        _iterate(lambda: behaviour(argument, context), pool)
    ) as responses:
        async for response in responses:
            yield response


async def _iterate(
    call: Callable[[], Any], pool: Executor
) -> AsyncGenerator[Any, None]:
    """Yield from the iterable that `call` returns; each step runs in the pool."""
    run = copy_context().run
    pending: Future[Any] = pool.submit(run, _call, lambda: iter(call()))
    responses: Any = None
    try:
        responses = await asyncio.wrap_future(pending)
        while True:
            pending = pool.submit(run, _call, lambda: next(responses, _END))
            response = await asyncio.wrap_future(pending)
            if response is _END:
                return
            yield response
    finally:
        # The last step of a cancelled call may still run. Close the generator after
        # it, and in the pool: the generator's clean-up code may block.
        pending.add_done_callback(lambda _: _close(responses, pool, run))


def _close(responses: Any, pool: Executor, run: Callable[..., Any]) -> None:
    close = getattr(responses, "close", None)
    if close is not None:
        with suppress(RuntimeError):  # the pool is shut down: the server has stopped
            pool.submit(run, close)


def _wait(coroutine: Coroutine[Any, Any, Any], loop: asyncio.AbstractEventLoop) -> Any:
    return asyncio.run_coroutine_threadsafe(coroutine, loop).result()


def pull_requests(requests: Any, loop: asyncio.AbstractEventLoop) -> Iterator[Any]:
    """Yield the messages of an asynchronous iterator; to be called from a thread."""
    messages = aiter(requests)

    async def pull() -> Any:
        return await anext(messages, _END)

    while (message := _wait(pull(), loop)) is not _END:
        yield message


class PlainContext(AsyncioContext):
    """The API of `grpc.ServicerContext` for a thread, on top of an asyncio context.

    Only methods that asyncio contexts lack or that must be awaited there are defined
    here. The thread of a cancelled call goes on running, so a lock separates the end
    of the call from the thread's queries about it.
    """

    def __init__(self, context: Any, view: ListenerView, caller: Any) -> None:
        super().__init__(context, view, caller)
        self._loop = asyncio.get_running_loop()
        self._lock = threading.RLock()

    def requests(self) -> Iterator[Any]:
        """Yield the client's messages; to be called from a thread."""
        while True:
            message = _wait(self._context.read(), self._loop)
            if message is grpc.aio.EOF:
                return
            yield message

    def finish(self) -> None:
        """Mark the call as over: answered, aborted or cancelled."""
        with self._lock:
            super().finish()

    def peer(self) -> str:
        """Return the client's address in grpcio's notation."""
        with self._lock:
            return super().peer()

    def peer_identities(self) -> Any:
        """Return the names of the client, or None."""
        with self._lock:
            return super().peer_identities()

    def peer_identity_key(self) -> Any:
        """Return the name of the property that holds `peer_identities`, or None."""
        with self._lock:
            return super().peer_identity_key()

    def auth_context(self) -> Any:
        """Return the properties of the connection."""
        with self._lock:
            return super().auth_context()

    def is_active(self) -> bool:
        """Whether the call still runs, so that the client waits for the response."""
        return not (self._over or self._context.done())

    def add_callback(self, callback: Callable[[], None]) -> bool:
        """Call `callback` when the call ends; return False if it has ended already."""
        if not self.is_active():
            return False
        self._context.add_done_callback(lambda _context: callback())
        return True

    def cancel(self) -> None:
        """End the call as cancelled."""
        self.abort(grpc.StatusCode.CANCELLED, "cancelled by the server")

    def abort(self, code: grpc.StatusCode, details: str = "") -> None:
        """End the call with `code`; always raises."""
        _wait(self._context.abort(code, details), self._loop)

    def abort_with_status(self, status: Any) -> None:
        """End the call with `status`; always raises."""
        _wait(self._context.abort_with_status(status), self._loop)

    def send_initial_metadata(self, initial_metadata: Any) -> None:
        """Send the initial metadata now."""
        _wait(self._context.send_initial_metadata(initial_metadata), self._loop)
