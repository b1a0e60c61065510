"""Method handlers whose behaviour gets our context, for both runtimes.

One wrapper per kind of behaviour; serializers and everything else stay the user's.
Handlers are wrapped once, when they are registered. Only where the user has
interceptors, which may answer with other handlers, is each call's handler wrapped.
"""

from __future__ import annotations

import inspect
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import grpc

from grpcsecure.server.context import REFUSED, AsyncioContext, CallContext, admit
from grpcsecure.server.plain import as_coroutine
from grpcsecure.server.recorder import behaviour_of, is_coroutine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from concurrent.futures import Executor

    from grpcsecure.server.context import ListenerView

    Behaviour = Callable[..., Any]
    Wrap = Callable[[Any], Any]

__all__ = [
    "AsyncioInterceptor",
    "ThreadsInterceptor",
    "WrappedService",
    "asyncio_wrap",
    "threads_wrap",
]

_HANDLERS = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


class _Wrapped:
    """Wrapped handlers by method: made at the first call, found at the others.

    A user's interceptor may return a new handler for each call, so a remembered one
    counts only for the very handler it was made from. The names come from clients,
    so only those that have a handler are remembered, and no more than `_MOST`.
    """

    _MOST = 4096

    def __init__(self, wrap: Wrap) -> None:
        self._wrap = wrap
        self._known: dict[str, tuple[Any, Any]] = {}

    def __call__(self, method: str, handler: Any) -> Any:
        if handler is None:
            return None  # grpcio answers: method not found
        known = self._known.get(method)
        if known is not None and known[0] is handler:
            return known[1]
        wrapped = self._wrap(handler)
        if len(self._known) < self._MOST:
            self._known[method] = (handler, wrapped)
        return wrapped


class WrappedService(grpc.ServiceRpcHandler):
    """A generic handler whose method handlers are wrapped."""

    def __init__(self, service: Any, wrap: Wrap) -> None:
        self._service = service
        self._wrapped = _Wrapped(wrap)

    def service_name(self) -> str:
        """Return the name of the service."""
        name: str = self._service.service_name()
        return name

    def service(self, handler_call_details: Any) -> Any:
        """Return the wrapped handler of a method, or None."""
        handler = self._service.service(handler_call_details)
        return self._wrapped(handler_call_details.method, handler)


class ThreadsInterceptor(grpc.ServerInterceptor):
    """Goes before the user's interceptors of a threads server."""

    def __init__(self, wrap: Wrap) -> None:
        self._wrapped = _Wrapped(wrap)

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """Wrap what the inner interceptors and the service itself answer."""
        handler = continuation(handler_call_details)
        return self._wrapped(handler_call_details.method, handler)


class AsyncioInterceptor(grpc.aio.ServerInterceptor):
    """Goes before the user's interceptors of an asyncio server."""

    def __init__(self, wrap: Wrap) -> None:
        self._wrapped = _Wrapped(wrap)

    async def intercept_service(
        self, continuation: Any, handler_call_details: Any
    ) -> Any:
        """Wrap what the inner interceptors and the service itself answer."""
        handler = await continuation(handler_call_details)
        return self._wrapped(handler_call_details.method, handler)


def threads_wrap(view: ListenerView) -> Wrap:
    """Return what gives the method handlers of a threads server our context."""
    return lambda handler: _rebuild(handler, _threads(behaviour_of(handler), view))


def asyncio_wrap(view: ListenerView, pool: Executor) -> Wrap:
    """Return what gives the method handlers of an asyncio server our context."""
    return lambda handler: _rebuild(handler, _asyncio(handler, view, pool))


def _rebuild(handler: Any, behaviour: Behaviour) -> Any:
    construct = _HANDLERS[handler.request_streaming, handler.response_streaming]
    return construct(
        behaviour,
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )


def _threads(behaviour: Behaviour, view: ListenerView) -> Behaviour:
    # `callback` is there for behaviours in grpcio's experimental non-blocking style.
    def call(argument: Any, context: Any, *callback: Any) -> Any:
        caller = view.find(context)
        if caller is None:
            context.abort(*REFUSED)
        return behaviour(argument, CallContext(context, view, caller), *callback)

    for name in ("experimental_non_blocking", "experimental_thread_pool"):
        if hasattr(behaviour, name):
            setattr(call, name, getattr(behaviour, name))
    return call


def _asyncio(handler: Any, view: ListenerView, pool: Executor) -> Behaviour:
    behaviour = behaviour_of(handler)
    if not is_coroutine(behaviour):
        return as_coroutine(handler, view, pool)
    if handler.response_streaming:
        return _async_stream(behaviour, view)
    return _coroutine(behaviour, view)


def _coroutine(
    behaviour: Callable[..., Awaitable[Any]], view: ListenerView
) -> Behaviour:
    async def call(argument: Any, context: Any) -> Any:
        caller = await admit(context, view)
        with AsyncioContext(context, view, caller) as ours:
            return await behaviour(argument, ours)

    return call


def _async_stream(behaviour: Behaviour, view: ListenerView) -> Behaviour:
    async def call(argument: Any, context: Any) -> AsyncIterator[Any]:
        caller = await admit(context, view)
        with AsyncioContext(context, view, caller) as ours:
            responses = behaviour(argument, ours)
            if inspect.isawaitable(responses):  # it writes to the context itself
                await responses
                return
            async with aclosing(responses):
                async for response in responses:
                    yield response

    return call
