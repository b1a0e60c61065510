"""Calls of a sync server before they get a thread, handled on grpcio's own thread.

That thread must not end. pytest fails the running test if an exception is raised on it.
"""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue

import grpc
import pytest
from helloworld.helloworld_pb2_grpc import GreeterStub
from support.bridge import eventually
from support.guarded import KINDS, make_call
from support.servers import (
    assemble,
    custom,
    greeting_of,
    hello_request,
    plaintext,
    running,
)
from support.services import PATIENCE, reply
from support.silent_clients import SilentCall, counted_calls, known_calls, silent_calls

from grpcsecure.model.authorization import Authorization
from grpcsecure.server.grpcio import sync_server
from grpcsecure.server.grpcio.pool import Pool
from grpcsecure.server.grpcio.sync_server import SyncServerHook
from grpcsecure.server.rpc.threads_handlers import ThreadsCalls

CANCELLED = grpc.StatusCode.CANCELLED
OK = grpc.StatusCode.OK

UNARY = ("unary", "response stream")


@pytest.fixture(name="kind", params=UNARY)
def _kind(request):
    """A kind of method that takes one message."""
    return request.param


class Entered:
    """A servicer whose methods record the names in requests, and wait for "hold"."""

    def __init__(self):
        self.names = []
        self.held = threading.Semaphore(0)
        self.release = threading.Event()

    def _enter(self, name):
        self.names.append(name)
        if name == "hold":
            self.held.release()
            assert self.release.wait(PATIENCE)
        return reply(name)

    def service(self):
        """Return the config entry of the servicer."""

        def one(request, context):
            return self._enter(request.name)

        def many(request, context):
            yield self._enter(request.name)

        def to_all(requests, context):
            return self._enter("+".join(request.name for request in requests))

        def chat(requests, context):
            for request in requests:
                yield self._enter(request.name)

        return custom(
            SayHello=one, SayHelloManyTimes=many, SayHelloToAll=to_all, Chat=chat
        )


@contextmanager
def channel_to(server):
    """Yield a plaintext channel with a separate connection."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(server.addresses["public"], options) as channel:
        yield channel


@contextmanager
def busy(server, entered, count):
    """Occupy `count` threads of the server while the block runs."""
    with channel_to(server) as channel:
        greeter = GreeterStub(channel)
        calls = [greeter.SayHello.future(hello_request("hold")) for _ in range(count)]
        for _ in calls:
            assert entered.held.acquire(timeout=PATIENCE)
        try:
            yield
        finally:
            entered.release.set()
            for each in calls:
                assert each.result(PATIENCE).message == "hold"


class TestClientThatLeaves:
    """Calls whose client has left are not served, as in grpcio alone."""

    @pytest.mark.parametrize("how", ["cancel", "deadline", "close the connection"])
    def test_while_its_message_waits_for_a_thread(self, kind, how):
        """The method is not called."""
        entered = Entered()
        timeout = 0.2 if how == "deadline" else PATIENCE
        with running("threads", entered.service(), threads=2) as server:
            with busy(server, entered, 2), channel_to(server) as channel:
                queued = SilentCall(channel, KINDS[kind], timeout=timeout)
                queued.send(hello_request("queued").SerializeToString())
                if how != "deadline":
                    eventually(lambda: len(server.runtime._pool._waiting) == 1)
                if how == "close the connection":
                    channel.close()
                elif how == "cancel":
                    queued.cancel()
                assert queued.result().code is not OK
                eventually(lambda: known_calls(server.runtime) == 2)
            with server.greeter() as greeter:
                assert greeting_of(greeter, "after") == "after"
            assert entered.names == ["hold", "hold", "after"]
            eventually(lambda: counted_calls(server.runtime) == 0)
            assert server.stop(PATIENCE) is True

    def test_after_its_method_has_begun(self, kind):
        """The method goes on, and the server works as before."""
        entered = Entered()
        with (
            running("threads", entered.service(), threads=2) as server,
            channel_to(server) as channel,
        ):
            call = SilentCall(channel, KINDS[kind])
            call.send(hello_request("hold").SerializeToString())
            assert entered.held.acquire(timeout=PATIENCE)
            call.cancel()
            eventually(lambda: known_calls(server.runtime) == 0)
            assert counted_calls(server.runtime) == 1
            entered.release.set()
            eventually(lambda: counted_calls(server.runtime) == 0)
            assert server.stop(PATIENCE) is True


class TestNoThread:
    """A call that gets no thread is cancelled; nothing else happens to the server."""

    def test_message_after_the_pool_was_shut_down(self, kind):
        """A call whose message comes too late is cancelled, for client and server."""
        entered = Entered()
        with (
            running("threads", entered.service()) as server,
            channel_to(server) as channel,
            silent_calls(channel, KINDS[kind], server.runtime, 3) as calls,
        ):
            server.runtime._pool.shutdown()
            speaking, ending, leaving = calls
            speaking.send(b"")
            assert speaking.result().code is CANCELLED
            ending.send()
            assert ending.result().code is CANCELLED
            leaving.cancel()
            eventually(
                lambda: (
                    known_calls(server.runtime) == counted_calls(server.runtime) == 0
                )
            )
            assert server.stop(PATIENCE) is True
        assert entered.names == []

    @pytest.mark.parametrize("kind", KINDS)
    def test_call_after_the_pool_was_shut_down(self, kind):
        """A call that comes after the shutdown is cancelled, and so is the next one."""
        entered = Entered()
        with (
            running("threads", entered.service(), max_concurrent_rpcs=1) as server,
            channel_to(server) as channel,
        ):
            server.runtime._pool.shutdown()
            for method in (KINDS[kind], KINDS[kind], "/no.Such/Method"):
                assert make_call(channel, method, b"").code is CANCELLED
                eventually(lambda: counted_calls(server.runtime) == 0)
            eventually(lambda: known_calls(server.runtime) == 0)
            assert server.stop(PATIENCE) is True
        assert entered.names == []

    @pytest.mark.parametrize("kind", KINDS)
    def test_the_system_gives_none(self, kind, monkeypatch):
        """Calls without a thread are cancelled; once there are threads, calls work."""
        start = threading.Thread.start

        def refuse(thread):
            if thread.name.startswith("grpcsecure_"):
                raise RuntimeError("can't start new thread")
            start(thread)

        entered = Entered()
        with (
            running("threads", entered.service(), max_concurrent_rpcs=1) as server,
            channel_to(server) as channel,
        ):
            monkeypatch.setattr(threading.Thread, "start", refuse)
            for _ in range(2):
                assert make_call(channel, KINDS[kind], b"").code is CANCELLED
                eventually(lambda: counted_calls(server.runtime) == 0)
            monkeypatch.undo()
            assert make_call(channel, KINDS[kind], b"").code is OK
            eventually(lambda: known_calls(server.runtime) == 0)


class TestPlainGrpcServer:
    """`SyncServerHook` in a plain `grpc.server`."""

    @pytest.fixture(name="pool")
    def _pool(self):
        pool = Pool(2, "test")
        yield pool
        pool.shutdown()
        pool.join()

    @staticmethod
    @contextmanager
    def _serving(pool, **handlers):
        """Serve the handlers as `/test.It/name`; yield a channel."""
        server = grpc.server(SyncServerHook(pool))
        generic = grpc.method_handlers_generic_handler("test.It", handlers)
        server.add_generic_rpc_handlers([generic])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
        assert server.stop(PATIENCE).wait(PATIENCE)

    def test_unguarded_handlers_go_to_the_pool(self, pool):
        """Handlers without an authorizer are served as in grpcio, of every kind."""
        handlers = {
            "One": grpc.unary_unary_rpc_method_handler(lambda one, _: one),
            "Many": grpc.unary_stream_rpc_method_handler(lambda one, _: iter([one])),
            "All": grpc.stream_unary_rpc_method_handler(lambda many, _: next(many)),
            "Chat": grpc.stream_stream_rpc_method_handler(lambda many, _: many),
        }
        with self._serving(pool, **handlers) as channel:
            for name in handlers:
                answer = make_call(channel, f"/test.It/{name}", b"word")
                assert (answer.code, answer.messages) == (OK, (b"word",))

    def test_function_goes_to_the_pool(self, pool):
        """Work that is not a call is passed on to the pool, as are its exceptions."""
        seen, over = SimpleQueue(), threading.Event()
        hook = SyncServerHook(pool)
        hook.submit(seen.put, "word").add_done_callback(lambda _: over.set())
        assert seen.get(timeout=PATIENCE) == "word"
        assert over.wait(PATIENCE)
        pool.shutdown()
        with pytest.raises(RuntimeError, match="shut down"):
            hook.submit(seen.put, "word")

    def test_bytes_of_a_message_are_released(self, pool):
        """The bytes of a request are freed while its method still runs."""
        read, checked = [], threading.Event()

        def deserialize(message):
            read.append(message)
            return len(message)

        def last(length, context):
            assert checked.wait(PATIENCE)
            return str(length).encode()

        handler = grpc.unary_unary_rpc_method_handler(last, deserialize)
        calls = ThreadsCalls(assemble(custom()).authorizer(plaintext()))
        with self._serving(pool, Last=calls.wrap("/test.It/Last", handler)) as channel:
            call = channel.unary_unary("/test.It/Last").future(b"x" * 100_000)
            eventually(lambda: len(read) == 1)
            # One reference is in the list, and one is the argument of `getrefcount`.
            eventually(lambda: sys.getrefcount(read[0]) <= 2, what="let go")
            checked.set()
            assert call.result(PATIENCE) == b"100000"


class TestExperimental:
    """grpcio's experimental styles of servicers."""

    def test_pool_of_its_own(self):
        """A method with its own pool runs there; refused calls stay refused."""
        names = []

        def say_hello(request, context):
            names.append(threading.current_thread().name)
            return reply(request.name)

        with ThreadPoolExecutor(1, "own") as own:
            say_hello.experimental_thread_pool = own
            service = custom(SayHello=say_hello)
            with running("threads", service) as server, server.greeter() as greeter:
                assert greeting_of(greeter) == "Ada"
            self._assert_closed(service, KINDS["unary"])
        assert names == ["own_0"]

    def test_callback_for_responses(self):
        """A method in callback style works; silent clients occupy no thread."""
        names = []

        def many(request, context, send):
            names.append(request.name)
            for text in (request.name, "again"):
                send(reply(text))
            send(None)

        many.experimental_non_blocking = True
        service, method = custom(SayHelloManyTimes=many), KINDS["response stream"]
        with (
            running("threads", service, threads=2) as server,
            channel_to(server) as channel,
            silent_calls(channel, method, server.runtime, 5),
            server.greeter() as greeter,
        ):
            replies = greeter.SayHelloManyTimes(hello_request("Ada"), timeout=PATIENCE)
            assert [each.message for each in replies] == ["Ada", "again"]
        self._assert_closed(service, method)
        assert names == ["Ada"]

    @staticmethod
    def _assert_closed(service, method):
        with (
            running("threads", service, authorization=Authorization()) as server,
            channel_to(server) as channel,
        ):
            for messages in ([], [b""]):
                answer = make_call(channel, method, *messages, ends=bool(messages))
                assert answer.code is grpc.StatusCode.UNAUTHENTICATED


def test_missing_name_leaves_calls_to_grpcio(monkeypatch):
    """If a private name is missing, the hook leaves all calls to grpcio."""
    assert sync_server._functions() == sync_server._IN_POOL != frozenset()
    monkeypatch.setattr(sync_server.grpcio.THREADS, "missing", ["grpc._server._abort"])
    assert sync_server._functions() == frozenset()
