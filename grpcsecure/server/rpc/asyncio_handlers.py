"""Handlers of an asyncio server: authorize each call, then run the servicer's method.

Coroutines run on the loop, plain methods in the thread pool (`sync_in_asyncio`). A
refused call ends before any of its messages is read.
"""

from __future__ import annotations

import inspect
from contextlib import aclosing
from time import monotonic
from typing import TYPE_CHECKING, Any

import grpc

from grpcsecure.server.rpc import authorizer
from grpcsecure.server.rpc.authorizer import NOT_FOUND, GuardedMethod
from grpcsecure.server.rpc.call_context import AsyncioContext
from grpcsecure.server.rpc.handlers import make_handler
from grpcsecure.server.rpc.sync_in_asyncio import PlainContext, run_stream, run_unary
from grpcsecure.server.services.recorder import behaviour_of, is_coroutine

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from concurrent.futures import Executor

    from grpcsecure.server.rpc.authorizer import Authorizer

    Behaviour = Callable[..., Any]

__all__ = ["AsyncioCalls", "HandlerRunner", "authorize", "read_messages"]


class AsyncioCalls:
    """Makes the handlers of one listener of an asyncio server.

    Args:
        authorizer: the listener's authorizer.
        pool: where plain methods run.
    """

    def __init__(self, authorizer: Authorizer, pool: Executor) -> None:
        self._authorizer = authorizer
        self._pool = pool

    def wrap(self, method: str, handler: Any) -> Any:
        """Return a handler that authorizes the call, then runs `handler`."""
        guarded = GuardedMethod(self._authorizer, method)
        runner = HandlerRunner(handler, guarded, self._pool)

        async def unary(requests: Any, context: Any) -> Any:
            caller = await authorize(guarded, context)
            return await runner.unary(requests, context, caller)

        async def stream(requests: Any, context: Any) -> AsyncGenerator[Any, None]:
            caller = await authorize(guarded, context)
            async with aclosing(runner.stream(requests, context, caller)) as responses:
                async for response in responses:
                    yield response

        return make_handler(
            stream if handler.response_streaming else unary,
            response_streaming=handler.response_streaming,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def unknown(self, method: str) -> Any:
        """Return the handler of a method that no servicer has."""
        guarded = GuardedMethod(self._authorizer, method, exists=False)

        async def call(_requests: Any, context: Any) -> None:
            await authorize(guarded, context)
            await context.abort(*NOT_FOUND)

        return make_handler(call, response_streaming=True)


async def authorize(method: GuardedMethod, context: Any) -> Any:
    """Return the caller of an allowed call; abort a refused one."""
    caller, refusal = method.authorize(context)
    if refusal is not None:
        await context.abort(*refusal)
    return caller


class HandlerRunner:
    """Runs the behaviour of one handler for calls that are authorized."""

    __slots__ = (
        "_behaviour",
        "_is_plain",
        "_method",
        "_pool",
        "_request_streaming",
        "_view",
        "response_streaming",
    )

    def __init__(self, handler: Any, method: GuardedMethod, pool: Executor) -> None:
        self._behaviour = behaviour_of(handler)
        self._is_plain = not is_coroutine(self._behaviour)
        self._pool = pool
        self._method = method
        self._view = method.authorizer.view
        self._request_streaming = handler.request_streaming
        self.response_streaming = handler.response_streaming

    async def _only(self, context: Any) -> Any:
        """Return the one message of a unary call; abort the call if there is none."""
        began = monotonic()
        message = await context.read()
        if message is grpc.aio.EOF:
            await context.abort(
                grpc.StatusCode.UNIMPLEMENTED,
                f'"{self._method.name}" requires exactly one request message.',
            )
        if monotonic() - began >= authorizer.FRESH:
            await authorize(self._method, context)
        return message

    async def _open(
        self, requests: Any, context: Any, caller: Any
    ) -> tuple[Any, Any, Any]:
        """Return the argument of the behaviour, its context and its caller."""
        if not self._request_streaming:
            return await self._only(context), context, caller
        late = _LateContext(context, self._method)
        del requests  # grpcio's iterator reads from its own context
        return read_messages(late), late, late if caller is context else caller

    async def unary(self, requests: Any, context: Any, caller: Any) -> Any:
        """Return the response of a behaviour that has one."""
        requests, context, caller = await self._open(requests, context, caller)
        if self._is_plain:
            with PlainContext(context, self._view, caller) as plain:
                if self._request_streaming:
                    requests = plain.requests()
                return await run_unary(self._behaviour, requests, plain, self._pool)
        with AsyncioContext(context, self._view, caller) as wrapped:
            return await self._behaviour(requests, wrapped)

    async def stream(
        self, requests: Any, context: Any, caller: Any
    ) -> AsyncGenerator[Any, None]:
        """Yield the responses of a behaviour that has a stream of them."""
        requests, context, caller = await self._open(requests, context, caller)
        if self._is_plain:
            with PlainContext(context, self._view, caller) as plain:
                if self._request_streaming:
                    requests = plain.requests()
                async with aclosing(
                    run_stream(self._behaviour, requests, plain, self._pool)
                ) as responses:
                    async for response in responses:
                        yield response
            return
        with AsyncioContext(context, self._view, caller) as wrapped:
            responses = self._behaviour(requests, wrapped)
            if inspect.isawaitable(responses):  # the method calls `context.write`
                await responses
                return
            async with aclosing(responses):
                async for response in responses:
                    yield response


async def read_messages(context: Any) -> AsyncGenerator[Any, None]:
    """Yield the client's messages."""
    while (message := await context.read()) is not grpc.aio.EOF:
        yield message


class _LateContext:
    """Wrapper of a streaming call's context; decides again at a late first message."""

    def __init__(self, context: Any, method: GuardedMethod) -> None:
        self._context = context
        self._method = method
        self._began: float | None = monotonic()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def read(self) -> Any:
        message = await self._context.read()
        began, self._began = self._began, None
        if began is None or message is grpc.aio.EOF:
            return message
        if monotonic() - began >= authorizer.FRESH:
            await authorize(self._method, self._context)
        return message
