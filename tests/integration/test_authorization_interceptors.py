"""Interceptors of allowed calls behave as in grpcio: calls go to both servers."""

from __future__ import annotations

import contextvars
import functools
import inspect
from contextlib import ExitStack, suppress

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from support.bridge import eventually
from support.bridge_certs import authority
from support.guarded import connect, listeners, serve
from support.scripted_service import METHODS, Message, plain_server, read, write
from support.services import PATIENCE

from grpcsecure.server.rpc import authorizer

RUNTIMES = {"threads": "ScriptedServicer", "asyncio": "AioScriptedServicer"}
RULES = {"default": "allow"}

MAKERS = {
    "unary": grpc.unary_unary_rpc_method_handler,
    "response stream": grpc.unary_stream_rpc_method_handler,
    "request stream": grpc.stream_unary_rpc_method_handler,
    "both streams": grpc.stream_stream_rpc_method_handler,
}


class Answers(grpc.ServerInterceptor):
    """An interceptor that returns the result of `answer(handler, details)`."""

    def __init__(self, answer):
        self._answer = answer

    def intercept_service(self, continuation, handler_call_details):
        """Ask for the handler, and answer."""
        return self._answer(continuation(handler_call_details), handler_call_details)


class AnswersAio(grpc.aio.ServerInterceptor):
    """`Answers` for asyncio."""

    def __init__(self, answer):
        self._answer = answer

    async def intercept_service(self, continuation, handler_call_details):
        """Ask for the handler, and answer."""
        handler = await continuation(handler_call_details)
        return self._answer(handler, handler_call_details)


def interceptor(runtime, answer):
    """Return an interceptor for a runtime."""
    return (Answers if runtime == "threads" else AnswersAio)(answer)


@pytest.fixture(params=RUNTIMES)
def runtime(request):
    """A runtime of grpcio."""
    return request.param


@pytest.fixture
def served(runtime, tmp_path):
    """A function that starts a grpcio and a grpcsecure server with interceptors.

    It returns a channel to each.
    """
    with ExitStack() as stack:

        def served(*answers):
            interceptors = [interceptor(runtime, answer) for answer in answers]
            plain = stack.enter_context(
                plain_server(runtime, interceptors=interceptors)
            )
            world = stack.enter_context(
                serve(
                    tmp_path,
                    authority("test CA"),
                    runtime,
                    interceptors=interceptors,
                    on=listeners("plain"),
                    authorization=RULES,
                    servicer={
                        "servicer": f"support.scripted_service:{RUNTIMES[runtime]}",
                        "register": "support.scripted_service:register",
                    },
                    reflection=False,
                )
            )
            return [
                stack.enter_context(connect(address, None))
                for address in (plain, world.server.addresses["plain"])
            ]

        yield served


def call(channel, path, *messages):
    """Make a call; return all that a client can observe of it."""
    made = channel.stream_stream(path)(iter(messages), timeout=PATIENCE)
    received = []
    with suppress(grpc.RpcError):
        received.extend(made)
    return made.code(), made.details(), received, [*made.trailing_metadata()]


def assert_same(channels, path, *messages):
    """Assert that a call has the same outcome on both servers; return the outcome."""
    expected, made = (call(channel, path, *messages) for channel in channels)
    assert made == expected
    return made


def refuse(request, context):
    """Abort, in threads."""
    context.set_trailing_metadata((("x-why", "because"),))
    context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "come back later")


async def refuse_aio(request, context):
    """Abort, in asyncio."""
    context.set_trailing_metadata((("x-why", "because"),))
    await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "come back later")


@pytest.mark.parametrize("kind", MAKERS)
def test_handler_that_aborts(served, runtime, kind):
    """A handler of an interceptor may abort, even if it is of another kind."""
    behaviour = refuse if runtime == "threads" else refuse_aio
    channels = served(lambda handler, details: MAKERS[kind](behaviour))
    made = {assert_same(channels, path, b"echo")[:2] for path, *_ in METHODS.values()}
    assert made == {(grpc.StatusCode.RESOURCE_EXHAUSTED, "come back later")}
    nowhere = assert_same(channels, "/no.Such/Method", b"")
    assert nowhere[0] is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_no_handler(served):
    """An interceptor may hide a method."""
    channels = served(lambda handler, details: None)
    for path, *_ in METHODS.values():
        made = assert_same(channels, path, b"echo")
        assert made[:2] == (grpc.StatusCode.UNIMPLEMENTED, "Method not found!")


def test_other_handler(served, runtime):
    """An interceptor may answer in a service's place, with its own serializers."""

    def shout(message, context):
        return message + b"!"

    async def shout_aio(message, context):
        return message + b"!"

    behaviour = shout if runtime == "threads" else shout_aio
    handler = grpc.unary_unary_rpc_method_handler(
        behaviour,
        request_deserializer=bytes.upper,
        response_serializer=lambda message: message * 2,
    )
    channels = served(lambda _handler, _details: handler)
    for path in (METHODS["unary"][0], "/no.Such/Method"):
        assert assert_same(channels, path, b"ho")[2] == [b"HO!HO!"]


def test_method_that_only_an_interceptor_has(served, runtime, monkeypatch):
    """A second decision on the call does not take it for a servicer's method either."""

    def echo(message, context):
        return message

    async def echo_aio(message, context):
        return message

    decided = []
    authorize = authorizer.Authorizer.authorize

    def authorize_and_record(self, context, method, *, exists=True):
        decided.append((method, exists))
        return authorize(self, context, method, exists=exists)

    monkeypatch.setattr(authorizer, "FRESH", 0)
    monkeypatch.setattr(authorizer.Authorizer, "authorize", authorize_and_record)
    behaviour = echo if runtime == "threads" else echo_aio
    handler = grpc.unary_unary_rpc_method_handler(behaviour)
    channels = served(lambda found, _details: found or handler)
    assert assert_same(channels, "/no.Such/Method", b"ho")[2] == [b"ho"]
    assert decided == [("/no.Such/Method", False)] * 2


def behaviour_of(handler):
    """Return the function of a handler, and grpc's factory of handlers of its kind."""
    for name, kind in (
        ("unary_unary", "unary"),
        ("unary_stream", "response stream"),
        ("stream_unary", "request stream"),
        ("stream_stream", "both streams"),
    ):
        if getattr(handler, name) is not None:
            return getattr(handler, name), MAKERS[kind]
    raise AssertionError("a handler without a function")


def wrapping(mark):
    """Return a function that wraps a handler so that it adds `mark` to the trailers."""

    def wrap(handler, details):
        behaviour, make = behaviour_of(handler)

        def note(context):
            context.set_trailing_metadata(
                (*(context.trailing_metadata() or ()), ("x-mark", mark))
            )

        @functools.wraps(behaviour)
        def plain(request, context):
            note(context)
            return behaviour(request, context)

        async def unary(request, context):
            note(context)
            return await behaviour(request, context)

        async def stream(request, context):
            note(context)
            async for response in behaviour(request, context):
                yield response

        wrapped = plain
        if inspect.iscoroutinefunction(behaviour):
            wrapped = unary
        elif inspect.isasyncgenfunction(behaviour):
            wrapped = stream
        return make(wrapped, handler.request_deserializer, handler.response_serializer)

    return wrap


@pytest.mark.parametrize("act", [b"echo", b"raise", b"abort", b"unwritable response"])
def test_wrapping(served, act):
    """Several interceptors wrap each other in order, for each kind of method."""
    channels = served(wrapping("outer"), wrapping("inner"))
    for path, *_ in METHODS.values():
        made = assert_same(channels, path, act)
        if act == b"echo":
            assert [value for _, value in made[3]] == ["outer", "inner"]


def test_interceptor_that_raises(served):
    """A raising interceptor ends only its own call, with UNKNOWN and any details."""

    def fail(handler, details):
        if details.method == METHODS["unary"][0]:
            raise ValueError("broken")
        return handler

    channels = served(fail)
    for channel in channels:
        code, *_ = call(channel, METHODS["unary"][0], b"echo")
        assert code is grpc.StatusCode.UNKNOWN
        made = call(channel, METHODS["both streams"][0], b"echo")
        assert made[0] is grpc.StatusCode.OK


WHO = contextvars.ContextVar("who", default="unset")


@pytest.mark.parametrize("kind", METHODS)
def test_context_variables(served, runtime, kind):
    """A context variable set by an interceptor reaches its own call's method only."""

    def remember(handler, details):
        for key, value in details.invocation_metadata:
            if key == "x-who":
                WHO.set(value)
        _, make = behaviour_of(handler)
        return make(RETURNING_WHO[runtime, handler.response_streaming], read, write)

    channels = served(remember)
    path = METHODS[kind][0]
    for channel in channels:
        for who, expected in (("ada", b"ada"), (None, b"unset"), ("bob", b"bob")):
            metadata = () if who is None else (("x-who", who),)
            made = channel.stream_stream(path)(
                iter([b"echo"]), timeout=PATIENCE, metadata=metadata
            )
            assert list(made) == [expected]


def _return_who(request, context):
    return Message(WHO.get())


def _return_who_stream(request, context):
    yield Message(WHO.get())


async def _return_who_aio(request, context):
    return Message(WHO.get())


async def _return_who_stream_aio(request, context):
    yield Message(WHO.get())


RETURNING_WHO = {
    ("threads", False): _return_who,
    ("threads", True): _return_who_stream,
    ("asyncio", False): _return_who_aio,
    ("asyncio", True): _return_who_stream_aio,
}


def test_health_watch(served):
    """A watch keeps going behind interceptors, and ends with its client."""
    _, channel = served(lambda handler, details: handler)
    watch = "/grpc.health.v1.Health/Watch"
    request = HealthCheckRequest().SerializeToString()
    for _ in range(20):  # more watches than threads
        made = channel.unary_stream(watch)(request, timeout=PATIENCE)
        response = HealthCheckResponse.FromString(next(made))
        assert response.status == HealthCheckResponse.SERVING
        made.cancel()
    check = channel.unary_unary("/grpc.health.v1.Health/Check")
    eventually(lambda: check(request, timeout=PATIENCE) is not None)
