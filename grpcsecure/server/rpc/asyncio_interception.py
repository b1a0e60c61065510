"""Runs the interceptors of an asyncio server, after the decision on each call.

They choose the handler, as in grpcio; its serializers and all else of it stay in use.
Interceptors of tracing libraries await every method, which fails with grpcio's plain
ones. Here they get a coroutine, or an asynchronous generator, for a plain method.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import grpc

from grpcsecure.server.rpc.asyncio_handlers import (
    HandlerRunner,
    read_messages,
)
from grpcsecure.server.rpc.authorizer import NOT_FOUND, GuardedMethod
from grpcsecure.server.rpc.call_context import no_exception
from grpcsecure.server.rpc.denied_calls import AsyncioDeniedContext, show_denied_on_loop
from grpcsecure.server.rpc.handlers import NO_STREAM, make_handler, rebuild_handler
from grpcsecure.server.rpc.interceptor_chain import (
    CHANGED,
    ChangedMethodError,
    DecidedCall,
    find_call,
    may_run,
)
from grpcsecure.server.rpc.sync_in_asyncio import (
    PlainContext,
    pull_requests,
    run_stream,
    run_unary,
)
from grpcsecure.server.services.recorder import behaviour_of, is_coroutine

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from concurrent.futures import Executor

    from grpcsecure.server.rpc.authorizer import Authorizer
    from grpcsecure.server.rpc.call_context import ListenerView
    from grpcsecure.server.rpc.interceptor_chain import Chain

    Behaviour = Callable[..., Any]

__all__ = ["AsyncioInterceptedCalls"]


class AsyncioInterceptedCalls:
    """Makes the handlers of one listener of an asyncio server with interceptors.

    Args:
        authorizer: the listener's authorizer.
        pool: where plain methods run.
        chain: the interceptors.
    """

    def __init__(self, authorizer: Authorizer, pool: Executor, chain: Chain) -> None:
        self._authorizer = authorizer
        self._pool = pool
        self._chain = chain

    def wrap(self, method: str, handler: Any) -> Any:
        """Return a handler that authorizes the call, then runs the interceptors."""
        return _intercept(self._authorizer, self._pool, method, handler, self._chain)

    def unknown(self, method: str) -> Any:
        """Return the handler of a method that no servicer has."""
        return _intercept(self._authorizer, self._pool, method, None, self._chain)


def _intercept(
    authorizer: Authorizer, pool: Executor, method: str, base: Any, chain: Chain
) -> Any:
    """Return a handler that authorizes the call, then runs the interceptors.

    Args:
        authorizer: that of the listener.
        pool: where plain methods run.
        method: the path of the method.
        base: the handler that is registered for it, or None.
        chain: the interceptors.
    """
    # Messages pass as bytes: the interceptors choose the handler, and so which
    # serializers the messages need.
    guarded = GuardedMethod(authorizer, method, base is not None)
    view = authorizer.view
    streaming = base is None or base.response_streaming
    bound = None if base is None else _bind(method, base, view, pool)

    async def choose(context: Any) -> tuple[HandlerRunner, _TypedContext, Any]:
        caller, refusal = guarded.authorize(context)
        if refusal is not None:
            if chain.sees_denied:
                denied = DecidedCall(view.name, method, is_denied=True)
                shown = AsyncioDeniedContext(context, view, caller, refusal)
                await show_denied_on_loop(chain, denied, base, shown)
            await context.abort(*refusal)
        is_native = caller is context
        call = DecidedCall(
            view.name, method, is_denied=False, caller=None if is_native else caller
        )
        handler = await _choose(chain, call, bound, context)
        typed = _TypedContext(context, handler, call)
        runner = HandlerRunner(handler, guarded, pool)
        return runner, typed, typed if is_native else caller

    async def unary(_requests: Any, context: Any) -> Any:
        runner, typed, caller = await choose(context)
        requests = read_messages(typed)
        if runner.response_streaming:
            async with aclosing(runner.stream(requests, typed, caller)) as responses:
                await anext(responses, None)
            # The handler did not end the call itself, so it would send a stream.
            await context.abort(*NO_STREAM)
        response = await runner.unary(requests, typed, caller)
        return typed.serialize_last(response)

    async def stream(_requests: Any, context: Any) -> AsyncGenerator[Any, None]:
        runner, typed, caller = await choose(context)
        requests = read_messages(typed)
        if not runner.response_streaming:
            response = await runner.unary(requests, typed, caller)
            yield typed.serialize(response)
            return
        async with aclosing(runner.stream(requests, typed, caller)) as responses:
            async for response in responses:
                yield typed.serialize(response)

    return make_handler(stream if streaming else unary, response_streaming=streaming)


async def _choose(chain: Chain, call: DecidedCall, bound: Any, context: Any) -> Any:
    """Return the handler that the interceptors choose; abort if there is none."""
    handler = None
    try:
        handler = await chain.choose_on_loop(call, context.invocation_metadata(), bound)
    except ChangedMethodError:
        await context.abort(*CHANGED)
    except SystemExit as error:  # it would end the event loop
        raise no_exception(error) from error
    if handler is None:
        await context.abort(*NOT_FOUND)
    return handler


def _bind(method: str, handler: Any, view: ListenerView, pool: Executor) -> Any:
    """Return a handler for interceptors that only runs for calls of its method."""
    behaviour = behaviour_of(handler)
    if not is_coroutine(behaviour):
        behaviour = _awaitable(handler, view, pool)

    async def check(context: Any) -> None:
        if not may_run(method, context):
            await context.abort(*CHANGED)

    if inspect.isasyncgenfunction(inspect.unwrap(behaviour)):

        @functools.wraps(behaviour)
        async def stream(requests: Any, context: Any) -> AsyncGenerator[Any, None]:
            await check(context)
            async with aclosing(behaviour(requests, context)) as responses:
                async for response in responses:
                    yield response

        return rebuild_handler(handler, stream)

    @functools.wraps(behaviour)
    async def run(requests: Any, context: Any) -> Any:
        await check(context)
        return await behaviour(requests, context)

    return rebuild_handler(handler, run)


def _awaitable(handler: Any, view: ListenerView, pool: Executor) -> Behaviour:
    """Return a plain method as one for the event loop; it runs in the pool."""
    behaviour = behaviour_of(handler)

    def begin(requests: Any, context: Any) -> tuple[Any, PlainContext]:
        call = find_call(context)
        caller = context if call is None or call.caller is None else call.caller
        if handler.request_streaming:
            requests = pull_requests(requests, asyncio.get_running_loop())
        return requests, PlainContext(context, view, caller)

    async def unary(requests: Any, context: Any) -> Any:
        requests, plain = begin(requests, context)
        with plain:
            return await run_unary(behaviour, requests, plain, pool)

    async def stream(requests: Any, context: Any) -> AsyncGenerator[Any, None]:
        requests, plain = begin(requests, context)
        with plain:
            async with aclosing(
                run_stream(behaviour, requests, plain, pool)
            ) as responses:
                async for response in responses:
                    yield response

    return stream if handler.response_streaming else unary


class _TypedContext:
    """Wrapper of grpcio's context that (de)serializes with a handler's functions.

    For calls whose messages grpcio passes as bytes.
    """

    def __init__(self, context: Any, handler: Any, call: DecidedCall) -> None:
        self._grpcsecure_call = call
        self._context = context
        self._deserializer = handler.request_deserializer
        self._serializer = handler.response_serializer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def serialize(self, response: Any) -> Any:
        """Serialize a response as grpcio does."""
        if isinstance(response, str):
            response = response.encode()
        return response if self._serializer is None else self._serializer(response)

    def serialize_last(self, response: Any) -> Any:
        """Serialize the response of a unary method as grpcio does."""
        if self._context.code() in (None, grpc.StatusCode.OK):
            return self.serialize(response)
        return b""  # not sent: the call ends with the code that the method set

    async def read(self) -> Any:
        message = await self._context.read()
        if message is grpc.aio.EOF or self._deserializer is None:
            return message
        return self._deserializer(message)

    async def write(self, response: Any) -> None:
        await self._context.write(self.serialize(response))
