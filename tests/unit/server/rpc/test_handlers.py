"""Contexts, handlers and interceptors as servicers see them, in both runtimes."""

from __future__ import annotations

import asyncio
import functools
import threading
from dataclasses import replace
from typing import NamedTuple

import grpc
import pytest
from support.guarded import KINDS, make_call
from support.servers import (
    custom,
    failure,
    greeting_of,
    hello_request,
    plaintext,
    running,
)
from support.services import PATIENCE, reply

import grpcsecure
from grpcsecure.model.transport import Limits
from grpcsecure.server.rpc.call_context import AsyncioContext


@pytest.fixture(name="runtime", params=["threads", "asyncio"])
def _runtime(request):
    """The name of a runtime; plain methods run under both."""
    return request.param


def greet(request, context):
    """Reply with the name in the request."""
    return reply(request.name)


class TestContext:
    """The context of a call has grpcio's whole API."""

    def test_is_a_servicer_context(self, runtime):
        """`isinstance(context, grpc.ServicerContext)` is true."""

        def say_hello(request, context):
            return reply(isinstance(context, grpc.ServicerContext))

        with (
            running(runtime, custom(SayHello=say_hello)) as server,
            server.greeter() as greeter,
        ):
            assert greeting_of(greeter) == "True"

    def test_takes_attributes(self, runtime):
        """Interceptors and servicers can set attributes on it, as on grpcio's own."""

        def say_hello(request, context):
            context.user = request.name
            return reply(context.user)

        with (
            running(runtime, custom(SayHello=say_hello)) as server,
            server.greeter() as greeter,
        ):
            assert greeting_of(greeter, "Ada") == "Ada"

    def test_plain_method_has_the_whole_api(self, runtime):
        """A plain method has the same context API in threads and under asyncio."""
        ended = threading.Event()

        def say_hello(request, context):
            assert context.is_active()
            assert context.add_callback(ended.set)
            assert context.peer().startswith("ipv4:127.0.0.1:")
            assert context.time_remaining() > 0
            assert dict(context.invocation_metadata())["x-word"] == "hi"
            context.send_initial_metadata((("x-first", "1"),))
            context.set_trailing_metadata((("x-last", "2"),))
            context.set_code(grpc.StatusCode.OK)
            return reply("whole")

        with running(runtime, custom(SayHello=say_hello)) as server:
            with server.greeter() as greeter:
                answer, call = greeter.SayHello.with_call(
                    hello_request(), timeout=PATIENCE, metadata=(("x-word", "hi"),)
                )
            assert answer.message == "whole"
            assert dict(call.initial_metadata())["x-first"] == "1"
            assert dict(call.trailing_metadata())["x-last"] == "2"
            assert ended.wait(PATIENCE)

    def test_abort_reaches_the_client(self, runtime):
        """A plain method can end its call with any status."""

        def say_hello(request, context):
            context.abort(grpc.StatusCode.NOT_FOUND, "no such person")

        with (
            running(runtime, custom(SayHello=say_hello)) as server,
            server.greeter() as greeter,
        ):
            assert failure(lambda: greeting_of(greeter)) == (
                grpc.StatusCode.NOT_FOUND,
                "no such person",
            )

    def test_ending_with_a_status_object(self, runtime):
        """`abort_with_status` takes the status objects of rich error models."""

        class Status(NamedTuple):
            code: grpc.StatusCode
            details: str
            trailing_metadata: tuple

        class Rich(Status, grpc.Status):
            pass

        def say_hello(request, context):
            context.abort_with_status(
                Rich(grpc.StatusCode.DATA_LOSS, "lost", (("x-what", "all"),))
            )

        with (
            running(runtime, custom(SayHello=say_hello)) as server,
            server.greeter() as greeter,
        ):
            with pytest.raises(grpc.RpcError) as caught:
                greeting_of(greeter)
            assert caught.value.code() is grpc.StatusCode.DATA_LOSS
            assert caught.value.details() == "lost"
            assert dict(caught.value.trailing_metadata())["x-what"] == "all"

    def test_cancelling_from_inside(self, runtime):
        """`cancel` ends the call with CANCELLED."""

        def say_hello(request, context):
            context.cancel()
            return reply("unheard")

        with (
            running(runtime, custom(SayHello=say_hello)) as server,
            server.greeter() as greeter,
        ):
            assert failure(lambda: greeting_of(greeter))[0] is grpc.StatusCode.CANCELLED

    def test_cancelled_call_is_inactive(self, runtime):
        """After a cancellation by the client, `is_active` returns False."""
        inactive = threading.Event()

        def say_hello_many_times(request, context):
            context.add_callback(inactive.set)
            while context.is_active():
                yield reply("again")

        service = custom(SayHelloManyTimes=say_hello_many_times)
        with running(runtime, service) as server, server.greeter() as greeter:
            replies = greeter.SayHelloManyTimes(hello_request(), timeout=PATIENCE)
            assert next(replies).message == "again"
            replies.cancel()
            assert inactive.wait(PATIENCE)
            assert server.stop() is True

    def test_asyncio_context_of_an_ended_call_raises(self):
        """Asking a context for its peer after the call raises instead of crashing."""
        kept = []

        async def say_hello(request, context):
            kept.append(context)
            return reply("done")

        with running("asyncio", custom(SayHello=say_hello)) as server:
            with server.greeter() as greeter:
                greeting_of(greeter)
            assert server.stop() is True
        (context,) = kept
        for method in ("peer", "auth_context", "peer_identities"):
            with pytest.raises(RuntimeError, match="the call is over"):
                getattr(context, method)()
        with pytest.raises(RuntimeError, match="the call is over"):
            grpcsecure.peer(context)

    def test_plain_context_of_an_ended_call_raises(self):
        """The same holds for a plain method under the asyncio runtime."""
        kept = []

        def say_hello(request, context):
            kept.append(context)
            return reply("done")

        with running("asyncio", custom(SayHello=say_hello)) as server:
            with server.greeter() as greeter:
                greeting_of(greeter)
            assert server.stop() is True
        (context,) = kept
        assert not context.is_active()
        assert context.add_callback(lambda: None) is False
        with pytest.raises(RuntimeError, match="the call is over"):
            context.peer()


class TestPeer:
    """`grpcsecure.peer` on contexts of plaintext calls, and on foreign ones."""

    def test_plaintext_peer_is_anonymous(self, runtime):
        """Without TLS a peer is anonymous; its address and listener are known."""

        def say_hello(request, context):
            peer = grpcsecure.peer(context)
            assert peer.address == context.peer()
            assert peer.certificate is None
            return reply(f"{peer.state.value} {peer.listener} {peer.is_verified}")

        with (
            running(runtime, custom(SayHello=say_hello)) as server,
            server.greeter() as greeter,
        ):
            assert greeting_of(greeter) == "anonymous public False"

    @pytest.mark.parametrize(
        "context", [None, object(), "context"], ids=["none", "object", "text"]
    )
    def test_foreign_context_is_a_type_error(self, context):
        """A foreign context raises; it does not count as an anonymous call."""
        with pytest.raises(TypeError, match="served by grpcsecure"):
            grpcsecure.peer(context)

    def test_context_of_a_plain_grpc_server_is_a_type_error(self):
        """In a servicer of a plain grpcio server, `grpcsecure.peer` raises."""
        from concurrent.futures import ThreadPoolExecutor

        from helloworld.helloworld_pb2_grpc import (
            GreeterStub,
            add_GreeterServicer_to_server,
        )
        from support.services import Custom

        def say_hello(request, context):
            with pytest.raises(TypeError, match="got _Context"):
                grpcsecure.peer(context)
            return reply("refused")

        server = grpc.server(ThreadPoolExecutor(1))
        add_GreeterServicer_to_server(Custom(SayHello=say_hello), server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            assert greeting_of(GreeterStub(channel)) == "refused"
        server.stop(0).wait(PATIENCE)

    def test_wrapped_context_is_seen_through(self, runtime):
        """A user's wrapper that passes attributes on works like the context itself."""

        class Wrapper:
            def __init__(self, context):
                self._context = context

            def __getattr__(self, name):
                return getattr(self._context, name)

        def say_hello(request, context):
            return reply(grpcsecure.peer(Wrapper(context)).listener)

        with (
            running(runtime, custom(SayHello=say_hello)) as server,
            server.greeter() as greeter,
        ):
            assert greeting_of(greeter) == "public"


class _AsyncCall:
    async def __call__(self, request, context):
        return reply(f"called {request.name}")


class _AsyncGenerator:
    async def __call__(self, request, context):
        for number in range(2):
            yield reply(number)


async def _prefixed(prefix, request, context):
    return reply(prefix + request.name)


def _decorated(function):
    @functools.wraps(function)
    def wrapper(*arguments):
        return function(*arguments)

    return wrapper


@_decorated
async def _say_hello(request, context):
    return reply(f"decorated {request.name}")


@_decorated
async def _many(request, context):
    for number in range(2):
        yield reply(number)


async def _write(request, context):
    for number in range(2):
        await context.write(reply(number))


class TestCoroutines:
    """Every way to write a coroutine method is recognized."""

    @pytest.mark.parametrize(
        ("method", "answer"),
        [
            (_say_hello, "decorated Ada"),
            (functools.partial(_prefixed, "partial "), "partial Ada"),
            (_AsyncCall(), "called Ada"),
        ],
        ids=["decorated", "partial", "callable"],
    )
    def test_unary(self, method, answer):
        """A decorated, partial or callable-object coroutine is awaited."""
        with (
            running("asyncio", custom(SayHello=method)) as server,
            server.greeter() as greeter,
        ):
            assert greeting_of(greeter) == answer

    @pytest.mark.parametrize(
        "method",
        [_many, functools.partial(_many), _AsyncGenerator(), _write],
        ids=["decorated", "partial", "callable", "writes"],
    )
    def test_response_stream(self, method):
        """A wrapped async generator and a coroutine that writes both stream."""
        with (
            running("asyncio", custom(SayHelloManyTimes=method)) as server,
            server.greeter() as greeter,
        ):
            replies = greeter.SayHelloManyTimes(hello_request(), timeout=PATIENCE)
            assert [r.message for r in replies] == ["0", "1"]

    def test_cancelled_generator_is_closed(self):
        """The `finally` of an async generator runs when its client cancels."""
        closed = threading.Event()

        async def many(request, context):
            try:
                while True:
                    yield reply("again")
            finally:
                closed.set()

        with (
            running("asyncio", custom(SayHelloManyTimes=many)) as server,
            server.greeter() as greeter,
        ):
            replies = greeter.SayHelloManyTimes(hello_request(), timeout=PATIENCE)
            next(replies)
            replies.cancel()
            assert closed.wait(PATIENCE)


class TestPlainMethodsUnderAsyncio:
    """Plain methods run in the pool, never in the event loop."""

    def test_all_steps_run_in_the_pool(self):
        """A generator's steps and its clean-up after a cancellation may block."""
        threads = set()
        closed = threading.Event()

        def many(request, context):
            threads.add(threading.current_thread().name)
            try:
                while True:
                    yield reply("again")
            finally:
                threads.add(threading.current_thread().name)
                closed.set()

        with (
            running("asyncio", custom(SayHelloManyTimes=many)) as server,
            server.greeter() as greeter,
        ):
            replies = greeter.SayHelloManyTimes(hello_request(), timeout=PATIENCE)
            next(replies)
            replies.cancel()
            assert closed.wait(PATIENCE)
        assert all(name.startswith("grpcsecure_") for name in threads), threads

    def test_any_iterable_streams(self):
        """A streaming method may return any iterable of replies."""

        def many(request, context):
            return [reply("a"), reply("b")]

        with (
            running("asyncio", custom(SayHelloManyTimes=many)) as server,
            server.greeter() as greeter,
        ):
            replies = greeter.SayHelloManyTimes(hello_request(), timeout=PATIENCE)
            assert [r.message for r in replies] == ["a", "b"]

    def test_request_stream_is_an_iterator(self):
        """A plain method reads the client's messages with `for`."""

        def to_all(request_iterator, context):
            return reply("+".join(request.name for request in request_iterator))

        with (
            running("asyncio", custom(SayHelloToAll=to_all)) as server,
            server.greeter() as greeter,
        ):
            requests = iter([hello_request("a"), hello_request("b")])
            answer = greeter.SayHelloToAll(requests, timeout=PATIENCE)
            assert answer.message == "a+b"

    def test_loop_stays_free(self):
        """While a plain method blocks, other calls are served."""
        release = threading.Event()

        def say_hello(request, context):
            if request.name == "wait":
                assert release.wait(PATIENCE)
            return reply(request.name)

        with (
            running("asyncio", custom(SayHello=say_hello)) as server,
            server.greeter() as greeter,
        ):
            waiting = greeter.SayHello.future(hello_request("wait"), timeout=PATIENCE)
            assert greeting_of(greeter, "other") == "other"
            release.set()
            assert waiting.result().message == "wait"


class Odd(BaseException):
    """A BaseException that is not an `Exception` and that no framework knows."""


def plain_that_raises(error):
    """Return a servicer whose methods raise `error` for a request named "exit"."""

    def one(request, context):
        if request.name == "exit":
            raise error
        return reply(request.name)

    def many(request, context):
        yield reply("first")
        yield one(request, context)

    def to_all(requests, context):
        return one(next(requests), context)

    def chat(requests, context):
        for request in requests:
            yield one(request, context)

    return custom(SayHello=one, SayHelloManyTimes=many, SayHelloToAll=to_all, Chat=chat)


def coroutines_that_raise(error):
    """Return the same for asyncio."""

    async def one(request, context):
        if request.name == "exit":
            raise error
        return reply(request.name)

    async def many(request, context):
        yield reply("first")
        yield await one(request, context)

    async def to_all(requests, context):
        return await one(await anext(aiter(requests)), context)

    async def chat(requests, context):
        async for request in requests:
            yield await one(request, context)

    return custom(SayHello=one, SayHelloManyTimes=many, SayHelloToAll=to_all, Chat=chat)


class TestExit:
    """A servicer that calls `sys.exit` fails its call at once, and not the server."""

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, Odd])
    @pytest.mark.parametrize(
        ("runtime", "make"),
        [
            ("threads", plain_that_raises),
            ("asyncio", plain_that_raises),
            ("asyncio", coroutines_that_raise),
        ],
    )
    def test_call_is_answered(self, runtime, make, error, kind, caplog):
        """The call gets a status; the thread or event loop and other calls go on."""
        with (
            running(runtime, make(error), threads=1) as server,
            grpc.insecure_channel(server.addresses["public"]) as channel,
        ):
            for _ in range(2):
                request = hello_request("exit").SerializeToString()
                answer = make_call(channel, KINDS[kind], request)
                assert answer.code is grpc.StatusCode.UNKNOWN
                assert error.__name__ in answer.details
            answer = make_call(
                channel, KINDS[kind], hello_request("Ada").SerializeToString()
            )
            assert answer.code is grpc.StatusCode.OK
            assert server.stop() is True
        logged = [record for record in caplog.records if record.exc_info]
        assert [error.__name__ in record.exc_text for record in logged] == [True] * 2

    def test_real_interrupt_is_passed_on(self):
        """On the main thread it may be Ctrl+C, and the loop belongs to the user."""

        def interrupt():
            with AsyncioContext(None, None, None):
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            interrupt()

    def test_callback_style(self):
        """A method that raises after its callback ended the stream changes nothing."""

        def many(request, context, send):
            send(reply("first"))
            send(None)
            raise SystemExit

        many.experimental_non_blocking = True
        with (
            running("threads", custom(SayHelloManyTimes=many)) as server,
            server.greeter() as greeter,
        ):
            replies = greeter.SayHelloManyTimes(hello_request(), timeout=PATIENCE)
            assert [each.message for each in replies] == ["first"]
            assert server.stop() is True


class TestInterceptors:
    """A user's interceptors run inside grpcsecure's, and receive its context."""

    def test_threads(self):
        """Wrapped behaviours are called with a context that knows the listener."""
        seen = []

        class Interceptor(grpc.ServerInterceptor):
            def intercept_service(self, continuation, handler_call_details):
                handler = continuation(handler_call_details)

                def call(request, context):
                    seen.append(grpcsecure.peer(context).listener)
                    context.user = "Grace"
                    return handler.unary_unary(request, context)

                return grpc.unary_unary_rpc_method_handler(
                    call,
                    request_deserializer=handler.request_deserializer,
                    response_serializer=handler.response_serializer,
                )

        def say_hello(request, context):
            return reply(context.user)

        service = custom(SayHello=say_hello)
        with (
            running("threads", service, interceptors=(Interceptor(),)) as server,
            server.greeter() as greeter,
        ):
            assert [greeting_of(greeter), greeting_of(greeter)] == ["Grace", "Grace"]
        assert seen == ["public", "public"]

    def test_asyncio(self):
        """The same for `grpc.aio.ServerInterceptor`."""
        seen = []

        class Interceptor(grpc.aio.ServerInterceptor):
            async def intercept_service(self, continuation, handler_call_details):
                handler = await continuation(handler_call_details)

                async def call(request, context):
                    seen.append(grpcsecure.peer(context).listener)
                    await asyncio.sleep(0)
                    return await handler.unary_unary(request, context)

                return grpc.unary_unary_rpc_method_handler(
                    call,
                    request_deserializer=handler.request_deserializer,
                    response_serializer=handler.response_serializer,
                )

        async def say_hello(request, context):
            return reply(request.name)

        service = custom(SayHello=say_hello)
        with (
            running("asyncio", service, interceptors=(Interceptor(),)) as server,
            server.greeter() as greeter,
        ):
            assert [greeting_of(greeter, "a"), greeting_of(greeter, "b")] == ["a", "b"]
        assert seen == ["public", "public"]

    def test_interceptor_can_replace_the_handler(self, runtime):
        """The handler that an interceptor returns serves the call, or refuses it."""
        denied = grpc.unary_unary_rpc_method_handler(
            lambda request, context: context.abort(
                grpc.StatusCode.PERMISSION_DENIED, "no"
            )
        )

        class Threads(grpc.ServerInterceptor):
            def intercept_service(self, continuation, handler_call_details):
                return denied

        class Asyncio(grpc.aio.ServerInterceptor):
            async def intercept_service(self, continuation, handler_call_details):
                return denied

        one = Threads() if runtime == "threads" else Asyncio()
        with (
            running(runtime, custom(SayHello=greet), interceptors=(one,)) as server,
            server.greeter() as greeter,
        ):
            assert failure(lambda: greeting_of(greeter)) == (
                grpc.StatusCode.PERMISSION_DENIED,
                "no",
            )


def test_unknown_method_is_unimplemented(runtime):
    """A call of an unknown method ends with UNIMPLEMENTED, as in grpcio."""
    with (
        running(runtime, custom(SayHello=greet)) as server,
        grpc.insecure_channel(server.addresses["public"]) as channel,
    ):
        call = channel.unary_unary("/helloworld.Greeter/NoSuchMethod")
        code, _ = failure(lambda: call(b"", timeout=PATIENCE))
        assert code is grpc.StatusCode.UNIMPLEMENTED


def test_exception_of_a_servicer_is_unknown(runtime):
    """An exception of a servicer ends only its own call."""

    def say_hello(request, context):
        if request.name == "fail":
            raise ValueError("my fault")
        return reply(request.name)

    with (
        running(runtime, custom(SayHello=say_hello)) as server,
        server.greeter() as greeter,
    ):
        code, _ = failure(lambda: greeting_of(greeter, "fail"))
        assert code is grpc.StatusCode.UNKNOWN
        assert greeting_of(greeter, "Ada") == "Ada"


@pytest.mark.parametrize(("of_server", "of_listener"), [(1, None), (None, 1), (9, 1)])
def test_too_many_calls_are_refused(runtime, of_server, of_listener):
    """Beyond the limit of the listener, or of all, it ends with RESOURCE_EXHAUSTED."""
    entered, release = threading.Event(), threading.Event()

    def say_hello(request, context):
        entered.set()
        assert release.wait(PATIENCE)
        return reply(request.name)

    service = custom(SayHello=say_hello)
    with (
        running(
            runtime,
            service,
            listeners=[replace(plaintext(), limits=Limits(max_calls=of_listener))],
            max_concurrent_rpcs=of_server,
        ) as server,
        server.greeter() as greeter,
    ):
        first = greeter.SayHello.future(hello_request("first"), timeout=PATIENCE)
        assert entered.wait(PATIENCE)
        code, _ = failure(lambda: greeting_of(greeter, "second"))
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        release.set()
        assert first.result().message == "first"
