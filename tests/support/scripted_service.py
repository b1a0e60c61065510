"""A service whose requests say what it does, and plain grpcio servers of it.

The text `unreadable` cannot be deserialized, and `unwritable` cannot be serialized.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

import grpc
from support.services import PATIENCE

__all__ = [
    "METHODS",
    "SCRIPTS",
    "AioScriptedServicer",
    "ScriptedServicer",
    "plain_server",
    "register",
]

SERVICE = "test.Scripted"

#: The four kinds of method: path, whether requests and responses are streams.
METHODS = {
    "unary": (f"/{SERVICE}/Unary", False, False),
    "response stream": (f"/{SERVICE}/ResponseStream", False, True),
    "request stream": (f"/{SERVICE}/RequestStream", True, False),
    "both streams": (f"/{SERVICE}/BothStreams", True, True),
}

TRAILING = (("x-last", "2"), ("x-last-bin", b"\0\xff"))


class Message(NamedTuple):
    """A message. Not a `str`, because grpcio's asyncio treats those differently."""

    text: str


def read(data: bytes) -> Message:
    """Deserialize a message."""
    if data == b"unreadable":
        raise ValueError("unreadable indeed")
    return Message(data.decode())


def write(message: Message) -> bytes:
    """Serialize a message."""
    if message.text == "unwritable":
        raise ValueError("unwritable indeed")
    return message.text.encode()


def _raise(context):
    raise ValueError("my fault")


def _raise_stop(context):
    raise StopIteration("my fault")


def _set_code(context):
    context.set_code(grpc.StatusCode.FAILED_PRECONDITION)
    context.set_details("not yet")


def _set_code_and_reply(context):
    _set_code(context)
    return "unheard"


def _set_code_and_raise(context):
    _set_code(context)
    raise ValueError("my fault")


def _trail(context):
    context.set_trailing_metadata(TRAILING)
    return "trailed"


def _compress(context):
    context.set_compression(grpc.Compression.Gzip)
    return "x" * 10_000


def _carried(context):
    return str(
        sorted(
            (key, value)
            for key, value in context.invocation_metadata()
            if key.startswith("x-")
        )
    )


#: Functions that a method calls before its first response, by the text of the request.
#: The result is the text of the response.
SCRIPTS = {
    "raise": _raise,
    "raise stop": _raise_stop,
    "set code": _set_code,
    "set code and reply": _set_code_and_reply,
    "set code and raise": _set_code_and_raise,
    "trail": _trail,
    "compress": _compress,
    "big": lambda context: "x" * 2_000_000,
    "empty": lambda context: "",
    "none": lambda context: None,
    "unwritable response": lambda context: "unwritable",
    "deadline": lambda context: str(0 < context.time_remaining() < 2 * PATIENCE),
    "metadata": _carried,
}

#: Requests that end the call by `abort`: code, details and trailing metadata.
ABORTS = {
    "abort": (grpc.StatusCode.NOT_FOUND, "gone", ()),
    "abort without details": (grpc.StatusCode.ABORTED, "", ()),
    "abort with any text": (grpc.StatusCode.DATA_LOSS, "größer: 100 %\n", ()),
    "abort and trail": (grpc.StatusCode.NOT_FOUND, "gone", TRAILING),
}
INITIAL = (("x-first", "1"),)


def _without_late(request):
    return Message(request.text.removesuffix(" late"))


def _joined(requests):
    return Message(",".join(request.text for request in requests))


def _response(request, context):
    if request.text not in SCRIPTS:
        return request
    text = SCRIPTS[request.text](context)
    return None if text is None else Message(text)


class ScriptedServicer:
    """Does in each kind of method what the first request says."""

    def unary(self, request, context):
        """One request, one response."""
        return self._execute(request, context)

    def response_stream(self, request, context):
        """One request, two responses."""
        yield self._execute(request, context)
        if request.text.endswith("late"):
            self._execute(_without_late(request), context)
        yield Message("again")

    def request_stream(self, requests, context):
        """Many requests, one response to the first."""
        messages = [*requests]
        return (
            self._execute(*messages, context)
            if len(messages) == 1
            else _joined(messages)
        )

    def both_streams(self, requests, context):
        """A response to each request."""
        for request in requests:
            yield self._execute(request, context)

    def _execute(self, request, context):
        if request.text in ABORTS:
            code, details, trailing = ABORTS[request.text]
            if trailing:
                context.set_trailing_metadata(trailing)
            context.abort(code, details)
        if request.text == "initial":
            context.send_initial_metadata(INITIAL)
        return _response(request, context)


class AioScriptedServicer(ScriptedServicer):
    """`ScriptedServicer` for asyncio."""

    async def unary(self, request, context):
        """One request, one response."""
        return await self._execute(request, context)

    async def response_stream(self, request, context):
        """One request, two responses."""
        yield await self._execute(request, context)
        if request.text.endswith("late"):
            await self._execute(_without_late(request), context)
        yield Message("again")

    async def request_stream(self, requests, context):
        """Many requests, one response to the first."""
        messages = [request async for request in requests]
        if len(messages) == 1:
            return await self._execute(*messages, context)
        return _joined(messages)

    async def both_streams(self, requests, context):
        """A response to each request."""
        async for request in requests:
            yield await self._execute(request, context)

    async def _execute(self, request, context):
        if request.text in ABORTS:
            code, details, trailing = ABORTS[request.text]
            if trailing:
                context.set_trailing_metadata(trailing)
            await context.abort(code, details)
        if request.text == "initial":
            await context.send_initial_metadata(INITIAL)
        return _response(request, context)


def handlers(servicer):
    """Return the handlers of a servicer by method name."""
    make = {
        "Unary": grpc.unary_unary_rpc_method_handler,
        "ResponseStream": grpc.unary_stream_rpc_method_handler,
        "RequestStream": grpc.stream_unary_rpc_method_handler,
        "BothStreams": grpc.stream_stream_rpc_method_handler,
    }
    behaviours = (
        servicer.unary,
        servicer.response_stream,
        servicer.request_stream,
        servicer.both_streams,
    )
    return {
        name: kind(behaviour, request_deserializer=read, response_serializer=write)
        for (name, kind), behaviour in zip(make.items(), behaviours, strict=True)
    }


def register(servicer, server):
    """Register `servicer` as generated code would."""
    made = handlers(servicer)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(SERVICE, made),)
    )
    server.add_registered_method_handlers(SERVICE, made)


@contextmanager
def plain_server(runtime, *, interceptors=(), options=()):
    """Serve with grpcio alone while the block runs; yield the address."""
    serve = _plain_threads if runtime == "threads" else _plain_asyncio
    with serve(interceptors, [("grpc.so_reuseport", 0), *options]) as address:
        yield address


@contextmanager
def _plain_threads(interceptors, options):
    server = grpc.server(
        ThreadPoolExecutor(8), interceptors=interceptors, options=options
    )
    register(ScriptedServicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(0).wait(PATIENCE)


@contextmanager
def _plain_asyncio(interceptors, options):
    started = threading.Event()
    end = []
    ports = []

    async def main():
        server = grpc.aio.server(interceptors=interceptors, options=options)
        register(AioScriptedServicer(), server)
        ports.append(server.add_insecure_port("127.0.0.1:0"))
        await server.start()
        over = asyncio.Event()
        loop = asyncio.get_running_loop()
        end.append(lambda: loop.call_soon_threadsafe(over.set))
        started.set()
        await over.wait()
        await server.stop(0)

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    assert started.wait(PATIENCE)
    yield f"127.0.0.1:{ports[0]}"
    end[0]()
    thread.join(PATIENCE)
