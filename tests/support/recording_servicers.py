"""Servicers and interceptors that keep what a call's context tells about its caller."""

from __future__ import annotations

import inspect
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
from helloworld.helloworld_pb2_grpc import GreeterServicer
from support.services import reply

import grpcsecure

if TYPE_CHECKING:
    from grpcsecure import Peer

__all__ = [
    "AioViewInterceptor",
    "AioViewServicer",
    "RecordedView",
    "View",
    "ViewInterceptor",
    "ViewServicer",
    "recorded_views",
]


class View(NamedTuple):
    """Everything that a context tells about its caller."""

    auth_context: dict[str, list[bytes]]
    peer: str
    identities: list[bytes] | None
    identity_key: str | None
    verdict: Peer

    @classmethod
    def of(cls, context: Any) -> View:
        """Ask a context everything."""
        return cls(
            context.auth_context(),
            context.peer(),
            context.peer_identities(),
            context.peer_identity_key(),
            grpcsecure.peer(context),
        )


class RecordedView(NamedTuple):
    """What was seen, by whom, and the context itself."""

    by: str
    view: View
    context: Any


_RECORDED: dict[str, list[RecordedView]] = defaultdict(list)


def recorded_views(name: str) -> list[RecordedView]:
    """Return what was seen of calls under `name`, in order, and forget it."""
    return _RECORDED.pop(name, [])


def _record(by: str, request: Any, context: Any) -> None:
    _RECORDED[request.name].append(RecordedView(by, View.of(context), context))


class ViewServicer(GreeterServicer):
    """Looks at its callers in each of the four kinds of method."""

    def SayHello(self, request, context):
        """Look once."""
        _record("servicer", request, context)
        return reply("seen")

    def SayHelloManyTimes(self, request, context):
        """Look before the first and after the last reply."""
        _record("servicer", request, context)
        yield reply("seen")
        _record("servicer", request, context)

    def SayHelloToAll(self, request_iterator, context):
        """Look at each request."""
        for request in request_iterator:
            _record("servicer", request, context)
        return reply("seen")

    def Chat(self, request_iterator, context):
        """Look at each request."""
        for request in request_iterator:
            _record("servicer", request, context)
            yield reply("seen")


class AioViewServicer(GreeterServicer):
    """`ViewServicer` for asyncio."""

    async def SayHello(self, request, context):
        """Look once."""
        _record("servicer", request, context)
        return reply("seen")

    async def SayHelloManyTimes(self, request, context):
        """Look before the first and after the last reply."""
        _record("servicer", request, context)
        yield reply("seen")
        _record("servicer", request, context)

    async def SayHelloToAll(self, request_iterator, context):
        """Look at each request."""
        async for request in request_iterator:
            _record("servicer", request, context)
        return reply("seen")

    async def Chat(self, request_iterator, context):
        """Look at each request."""
        async for request in request_iterator:
            _record("servicer", request, context)
            yield reply("seen")


class ViewInterceptor(grpc.ServerInterceptor):
    """An interceptor as users write them: wraps unary methods, asks their context."""

    def intercept_service(self, continuation, handler_call_details):
        """Wrap the handler."""
        return _recorded(continuation(handler_call_details))


class AioViewInterceptor(grpc.aio.ServerInterceptor):
    """`ViewInterceptor` for asyncio."""

    async def intercept_service(self, continuation, handler_call_details):
        """Wrap the handler."""
        return _recorded(await continuation(handler_call_details))


def _recorded(handler: Any) -> Any:
    if handler is None or handler.unary_unary is None:
        return handler
    behaviour = handler.unary_unary

    async def watch_coroutine(request, context):
        _record("interceptor", request, context)
        return await behaviour(request, context)

    def watch(request, context):
        _record("interceptor", request, context)
        return behaviour(request, context)

    return grpc.unary_unary_rpc_method_handler(
        watch_coroutine if inspect.iscoroutinefunction(behaviour) else watch,
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )
