"""Interceptors for tests, of both runtimes, and a record of what they saw."""

from __future__ import annotations

import functools
import inspect

import grpc
from support.scripted_service import METHODS

__all__ = [
    "SEEN",
    "AioMeddling",
    "AioObserver",
    "Meddling",
    "Observer",
    "make_observer",
]

#: What the interceptors saw, in order.
SEEN: list[tuple[object, ...]] = []

#: What `Meddling` does, set by each test.
ACT: list[str] = []

#: Handlers of earlier calls, by their methods.
_KEPT: dict[str, object] = {}


def _kinds(handler):
    name = "stream" if handler.request_streaming else "unary"
    name += "_stream" if handler.response_streaming else "_unary"
    return getattr(handler, name), getattr(grpc, f"{name}_rpc_method_handler")


def _rebuilt(handler, behaviour):
    make = _kinds(handler)[1]
    return make(behaviour, handler.request_deserializer, handler.response_serializer)


class Observer(grpc.ServerInterceptor):
    """Records each call with the peer and the status that it ends with."""

    def __init__(self, name="observer", token=None):
        self._name = name

    def intercept_service(self, continuation, handler_call_details):
        """Wrap the handler."""
        SEEN.append((self._name, "asked", handler_call_details.method))
        handler = continuation(handler_call_details)
        if handler is None:
            return None
        behaviour, _ = _kinds(handler)

        def note(context):
            context.set_trailing_metadata((("x-seen-by", self._name),))
            SEEN.append((self._name, "peer", context.peer()))

        def unary(request, context):
            note(context)
            try:
                return behaviour(request, context)
            finally:
                SEEN.append((self._name, "code", context.code()))

        def stream(request, context):
            note(context)
            try:
                yield from behaviour(request, context)
            finally:
                SEEN.append((self._name, "code", context.code()))

        return _rebuilt(handler, stream if handler.response_streaming else unary)


class AioObserver(grpc.aio.ServerInterceptor):
    """`Observer` for asyncio."""

    def __init__(self, name="observer", token=None):
        self._name = name

    async def intercept_service(self, continuation, handler_call_details):
        """Wrap the handler."""
        SEEN.append((self._name, "asked", handler_call_details.method))
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        behaviour, _ = _kinds(handler)

        def note(context):
            context.set_trailing_metadata((("x-seen-by", self._name),))
            SEEN.append((self._name, "peer", context.peer()))

        async def unary(request, context):
            note(context)
            try:
                return await behaviour(request, context)
            finally:
                SEEN.append((self._name, "code", context.code()))

        async def stream(request, context):
            note(context)
            try:
                async for response in behaviour(request, context):
                    yield response
            finally:
                SEEN.append((self._name, "code", context.code()))

        return _rebuilt(handler, stream if handler.response_streaming else unary)


def make_observer(name: str) -> Observer:
    """Return an interceptor, as a factory of the config."""
    return Observer(name)


#: The method that `Meddling` wants instead of the one that was called.
OTHER = METHODS["both streams"][0]


def _other_details(details):
    return details._replace(method=OTHER)


def _answering(handler):
    """Return a handler that answers OK in the place of another."""

    def ok(requests, context):
        context.set_code(grpc.StatusCode.OK)
        context.set_trailing_metadata((("grpc-status", "0"),))
        return b"meddled"

    def ok_stream(requests, context):
        yield ok(requests, context)

    async def ok_aio(requests, context):
        return ok(requests, context)

    async def ok_stream_aio(requests, context):
        yield ok(requests, context)
        await context.write(b"meddled")

    is_aio = ACT[0].endswith("aio")
    choices = (ok_aio, ok_stream_aio) if is_aio else (ok, ok_stream)
    behaviour = choices[handler.response_streaming]
    return _kinds(handler)[1](behaviour)


def _hiding(handler):
    """Return a handler that hides every exception behind an OK."""
    behaviour, make = _kinds(handler)

    @functools.wraps(behaviour)
    def unary(request, context):
        try:
            return behaviour(request, context)
        except Exception:  # noqa: BLE001 - it meddles
            return b"meddled"

    async def unary_aio(request, context):
        try:
            return await behaviour(request, context)
        except Exception:  # noqa: BLE001 - it meddles
            return b"meddled"

    if handler.response_streaming:
        return handler
    return make(unary_aio if inspect.iscoroutinefunction(behaviour) else unary)


def _meddle(details, handler):
    """Return what an interceptor that meddles returns for a handler."""
    act = ACT[0].removesuffix(" aio")
    if act == "answer":
        return _answering(handler)
    if act == "hide":
        return _hiding(handler)
    if act == "none":
        return None
    if act == "raise":
        raise ValueError("meddled")
    if act == "exit":
        raise SystemExit(3)
    if act == "replay":
        _KEPT.setdefault(details.method, handler)
        return _KEPT.get(OTHER, handler)
    return handler


class Meddling(grpc.ServerInterceptor):
    """Tries to change the decision on a call, or its method."""

    def intercept_service(self, continuation, handler_call_details):
        """Meddle as `ACT` says."""
        if ACT[0].startswith("other"):
            try:
                return continuation(_other_details(handler_call_details))
            except Exception:  # noqa: BLE001 - it meddles
                return continuation(handler_call_details)
        continuation(handler_call_details)  # twice is no harm
        return _meddle(handler_call_details, continuation(handler_call_details))


class AioMeddling(grpc.aio.ServerInterceptor):
    """`Meddling` for asyncio."""

    async def intercept_service(self, continuation, handler_call_details):
        """Meddle as `ACT` says."""
        if ACT[0].startswith("other"):
            try:
                return await continuation(_other_details(handler_call_details))
            except Exception:  # noqa: BLE001 - it meddles
                return await continuation(handler_call_details)
        await continuation(handler_call_details)  # twice is no harm
        return _meddle(handler_call_details, await continuation(handler_call_details))
