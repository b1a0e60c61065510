"""The calls of an asyncio server: admitted, then handed to the servicer's method.

Coroutines run on the loop, plain methods in the thread pool (`plain`). A refused call
ends before anything of it is read.
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
from grpcsecure.server.rpc.handlers import NO_STREAM, make_handler
from grpcsecure.server.rpc.sync_in_asyncio import PlainContext, run_stream, run_unary
from grpcsecure.server.services.recorder import behaviour_of, is_coroutine

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from concurrent.futures import Executor

    from grpcsecure.server.rpc.authorizer import Authorizer

    Behaviour = Callable[..., Any]

__all__ = ["AsyncioCalls"]


class AsyncioCalls:
    """Makes the handlers of one listener of an asyncio server.

    Args:
        authorizer: the listener's.
        pool: where plain methods run.
    """

    def __init__(self, authorizer: Authorizer, pool: Executor) -> None:
        self._authorizer = authorizer
        self._pool = pool

    def wrap(self, method: str, handler: Any) -> Any:
        """Return a handler that admits the call, then does what `handler` does."""
        guarded = GuardedMethod(self._authorizer, method)
        servant = _Servant(handler, guarded, self._pool)

        async def unary(requests: Any, context: Any) -> Any:
            caller = await _admit(guarded, context)
            return await servant.unary(requests, context, caller)

        async def stream(requests: Any, context: Any) -> AsyncGenerator[Any, None]:
            caller = await _admit(guarded, context)
            async with aclosing(servant.stream(requests, context, caller)) as responses:
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
            await _admit(guarded, context)
            await context.abort(*NOT_FOUND)

        return make_handler(call, response_streaming=True)

    def intercepted(
        self, base: Any, continuation: Callable[[Any], Any], details: Any
    ) -> Any:
        """Return a handler that admits the call, then asks the user's interceptors."""
        # Messages pass as bytes: whose serializers they need, the interceptors say.
        guarded = GuardedMethod(self._authorizer, details.method, base is not None)
        streaming = base is None or base.response_streaming

        async def ask(context: Any) -> tuple[_Servant, Any, Any]:
            caller = await _admit(guarded, context)
            handler = await continuation(details)
            if handler is None:
                await context.abort(*NOT_FOUND)
            typed = _TypedContext(context, handler)
            servant = _Servant(handler, guarded, self._pool)
            return servant, typed, typed if caller is context else caller

        async def unary(_requests: Any, context: Any) -> Any:
            servant, typed, caller = await ask(context)
            requests = _messages(typed)
            if servant.response_streaming:
                async with aclosing(
                    servant.stream(requests, typed, caller)
                ) as responses:
                    await anext(responses, None)
                await context.abort(*NO_STREAM)  # it has not ended the call by itself
            response = await servant.unary(requests, typed, caller)
            return typed.serialize_last(response)

        async def stream(_requests: Any, context: Any) -> AsyncGenerator[Any, None]:
            servant, typed, caller = await ask(context)
            requests = _messages(typed)
            if not servant.response_streaming:
                response = await servant.unary(requests, typed, caller)
                yield typed.serialize(response)
                return
            async with aclosing(servant.stream(requests, typed, caller)) as responses:
                async for response in responses:
                    yield typed.serialize(response)

        return make_handler(
            stream if streaming else unary, response_streaming=streaming
        )


async def _admit(method: GuardedMethod, context: Any) -> Any:
    """Return the caller; a call that is refused ends here."""
    caller, refusal = method.authorize(context)
    if refusal is not None:
        await context.abort(*refusal)
    return caller


class _Servant:
    """Does what one handler does, for calls that are admitted."""

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
        """Return the one message of a unary call; without it the call ends."""
        began = monotonic()
        message = await context.read()
        if message is grpc.aio.EOF:
            await context.abort(
                grpc.StatusCode.UNIMPLEMENTED,
                f'"{self._method.name}" requires exactly one request message.',
            )
        if monotonic() - began >= authorizer.FRESH:
            await _admit(self._method, context)
        return message

    async def unary(self, requests: Any, context: Any, caller: Any) -> Any:
        if not self._request_streaming:
            requests = await self._only(context)
        if self._is_plain:
            with PlainContext(context, self._view, caller) as plain:
                if self._request_streaming:
                    requests = plain.requests()
                return await run_unary(self._behaviour, requests, plain, self._pool)
        with AsyncioContext(context, self._view, caller) as ours:
            return await self._behaviour(requests, ours)

    async def stream(
        self, requests: Any, context: Any, caller: Any
    ) -> AsyncGenerator[Any, None]:
        if not self._request_streaming:
            requests = await self._only(context)
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
        with AsyncioContext(context, self._view, caller) as ours:
            responses = self._behaviour(requests, ours)
            if inspect.isawaitable(responses):  # it writes to the context itself
                await responses
                return
            async with aclosing(responses):
                async for response in responses:
                    yield response


async def _messages(context: Any) -> AsyncGenerator[Any, None]:
    while (message := await context.read()) is not grpc.aio.EOF:
        yield message


class _TypedContext:
    """grpcio's context of a call whose messages are bytes, with a handler's types."""

    def __init__(self, context: Any, handler: Any) -> None:
        self._context = context
        self._deserializer = handler.request_deserializer
        self._serializer = handler.response_serializer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def serialize(self, response: Any) -> Any:
        """Do what grpcio does with a response."""
        if isinstance(response, str):
            response = response.encode()
        return response if self._serializer is None else self._serializer(response)

    def serialize_last(self, response: Any) -> Any:
        """Do what grpcio does with the response of a unary method."""
        if self._context.code() in (None, grpc.StatusCode.OK):
            return self.serialize(response)
        return b""  # not sent: the code that was set is the answer

    async def read(self) -> Any:
        message = await self._context.read()
        if message is grpc.aio.EOF or self._deserializer is None:
            return message
        return self._deserializer(message)

    async def write(self, response: Any) -> None:
        await self._context.write(self.serialize(response))
