"""Servicers and interceptors that record a call's view of its caller."""

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
    """Everything that a call's context reports about the caller."""

    auth_context: dict[str, list[bytes]]
    peer: str
    identities: list[bytes] | None
    identity_key: str | None
    verdict: Peer

    @classmethod
    def of(cls, context: Any) -> View:
        """Call every method of a context that is about the caller."""
        return cls(
            context.auth_context(),
            context.peer(),
            context.peer_identities(),
            context.peer_identity_key(),
            grpcsecure.peer(context),
        )


class RecordedView(NamedTuple):
    """A view, who recorded it ("servicer" or "interceptor"), and the context."""

    by: str
    view: View
    context: Any


_RECORDED: dict[str, list[RecordedView]] = defaultdict(list)


def recorded_views(name: str) -> list[RecordedView]:
    """Return and remove the views recorded in calls with `name`, in order."""
    return _RECORDED.pop(name, [])


def _record(by: str, request: Any, context: Any) -> None:
    _RECORDED[request.name].append(RecordedView(by, View.of(context), context))


class ViewServicer(GreeterServicer):
    """Records its view of the caller in each of the four kinds of method."""

    def SayHello(self, request, context):
        """Record once."""
        _record("servicer", request, context)
        return reply("seen")

    def SayHelloManyTimes(self, request, context):
        """Record before the first and after the last reply."""
        _record("servicer", request, context)
        yield reply("seen")
        _record("servicer", request, context)

    def SayHelloToAll(self, request_iterator, context):
        """Record at each request."""
        for request in request_iterator:
            _record("servicer", request, context)
        return reply("seen")

    def Chat(self, request_iterator, context):
        """Record at each request."""
        for request in request_iterator:
            _record("servicer", request, context)
            yield reply("seen")


class AioViewServicer(GreeterServicer):
    """`ViewServicer` for asyncio."""

    async def SayHello(self, request, context):
        """Record once."""
        _record("servicer", request, context)
        return reply("seen")

    async def SayHelloManyTimes(self, request, context):
        """Record before the first and after the last reply."""
        _record("servicer", request, context)
        yield reply("seen")
        _record("servicer", request, context)

    async def SayHelloToAll(self, request_iterator, context):
        """Record at each request."""
        async for request in request_iterator:
            _record("servicer", request, context)
        return reply("seen")

    async def Chat(self, request_iterator, context):
        """Record at each request."""
        async for request in request_iterator:
            _record("servicer", request, context)
            yield reply("seen")


class ViewInterceptor(grpc.ServerInterceptor):
    """A typical user's interceptor: wraps unary methods and reads their context."""

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
