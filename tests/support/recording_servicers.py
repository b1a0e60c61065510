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

__all__ = ["AioOnlooker", "Onlooker", "Sight", "View", "Viewer", "ViewerAio", "sights"]


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


class Sight(NamedTuple):
    """What was seen, by whom, and the context itself."""

    by: str
    view: View
    context: Any


_SIGHTS: dict[str, list[Sight]] = defaultdict(list)


def sights(name: str) -> list[Sight]:
    """Return what was seen of calls under `name`, in order, and forget it."""
    return _SIGHTS.pop(name, [])


def _look(by: str, request: Any, context: Any) -> None:
    _SIGHTS[request.name].append(Sight(by, View.of(context), context))


class Viewer(GreeterServicer):
    """Looks at its callers in each of the four kinds of method."""

    def SayHello(self, request, context):
        """Look once."""
        _look("servicer", request, context)
        return reply("seen")

    def SayHelloManyTimes(self, request, context):
        """Look before the first and after the last reply."""
        _look("servicer", request, context)
        yield reply("seen")
        _look("servicer", request, context)

    def SayHelloToAll(self, request_iterator, context):
        """Look at each request."""
        for request in request_iterator:
            _look("servicer", request, context)
        return reply("seen")

    def Chat(self, request_iterator, context):
        """Look at each request."""
        for request in request_iterator:
            _look("servicer", request, context)
            yield reply("seen")


class ViewerAio(GreeterServicer):
    """`Viewer` for asyncio."""

    async def SayHello(self, request, context):
        """Look once."""
        _look("servicer", request, context)
        return reply("seen")

    async def SayHelloManyTimes(self, request, context):
        """Look before the first and after the last reply."""
        _look("servicer", request, context)
        yield reply("seen")
        _look("servicer", request, context)

    async def SayHelloToAll(self, request_iterator, context):
        """Look at each request."""
        async for request in request_iterator:
            _look("servicer", request, context)
        return reply("seen")

    async def Chat(self, request_iterator, context):
        """Look at each request."""
        async for request in request_iterator:
            _look("servicer", request, context)
            yield reply("seen")


class Onlooker(grpc.ServerInterceptor):
    """An interceptor as users write them: wraps unary methods, asks their context."""

    def intercept_service(self, continuation, handler_call_details):
        """Wrap the handler."""
        return _watched(continuation(handler_call_details))


class AioOnlooker(grpc.aio.ServerInterceptor):
    """`Onlooker` for asyncio."""

    async def intercept_service(self, continuation, handler_call_details):
        """Wrap the handler."""
        return _watched(await continuation(handler_call_details))


def _watched(handler: Any) -> Any:
    if handler is None or handler.unary_unary is None:
        return handler
    behaviour = handler.unary_unary

    async def watch_coroutine(request, context):
        _look("interceptor", request, context)
        return await behaviour(request, context)

    def watch(request, context):
        _look("interceptor", request, context)
        return behaviour(request, context)

    return grpc.unary_unary_rpc_method_handler(
        watch_coroutine if inspect.iscoroutinefunction(behaviour) else watch,
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )
