"""An allowed call is served exactly as grpcio serves it, byte for byte.

Each call is made twice: to a server of grpcio alone, and to a grpcsecure server.
"""

from __future__ import annotations

import threading
from contextlib import ExitStack, suppress

import grpc
import pytest
from support.bridge_certs import authority
from support.guarded import connect, listeners, serve
from support.scripted_service import ABORTS, METHODS, SCRIPTS, plain_server
from support.services import PATIENCE

#: Channel options that limit the size of a request message.
SMALL = {"grpc.max_receive_message_length": 1000}

RULES = {
    "default": "deny",
    "rules": {
        "known": {
            "allow": ["billing", "anonymous"],
            "methods": ["/test.Scripted/*"],
        }
    },
}
IDENTITIES = {"billing": {"common_name": "billing"}}


class Pass(grpc.ServerInterceptor):
    """An interceptor that changes nothing."""

    def intercept_service(self, continuation, handler_call_details):
        """Pass the call on."""
        return continuation(handler_call_details)


class PassAio(grpc.aio.ServerInterceptor):
    """`Pass` for asyncio."""

    async def intercept_service(self, continuation, handler_call_details):
        """Pass the call on."""
        return await continuation(handler_call_details)


#: Runtime, and the name of the servicer that it serves.
RUNTIMES = {"threads": "ScriptedServicer", "asyncio": "AioScriptedServicer"}


@pytest.fixture(scope="module", params=RUNTIMES)
def runtime(request):
    """A runtime of grpcio."""
    return request.param


@pytest.fixture(scope="module")
def plain(runtime):
    """The address of a server of grpcio alone."""
    with plain_server(runtime, options=SMALL.items()) as address:
        yield address


@pytest.fixture(scope="module", params=[False, True], ids=["", "interceptors"])
def world(request, runtime, tmp_path_factory):
    """A grpcsecure server with rules."""
    passing = Pass() if runtime == "threads" else PassAio()
    with serve(
        tmp_path_factory.mktemp("world"),
        authority("test CA"),
        runtime,
        interceptors=[passing] if request.param else [],
        on=listeners("plain", "grpc-mutual", "mutual"),
        authorization=RULES,
        identities=IDENTITIES,
        servicer={
            "servicer": f"support.scripted_service:{RUNTIMES[runtime]}",
            "register": "support.scripted_service:register",
        },
        reflection=False,
        channel_options=SMALL,
    ) as world:
        yield world


@pytest.fixture(params=METHODS)
def kind(request):
    """One of the four kinds of method."""
    return request.param


def call(channel, kind, *messages, **options):
    """Make a call; return all that a client can observe of it."""
    options.setdefault("timeout", PATIENCE)
    made = channel.stream_stream(METHODS[kind][0])(iter(messages), **options)
    received = []
    with suppress(grpc.RpcError):
        received.extend(made)
    return (
        made.code(),
        made.details(),
        received,
        [*made.initial_metadata()],
        [*made.trailing_metadata()],
    )


@pytest.fixture(scope="module")
def compare(plain, world):
    """A function that makes a call on both servers and asserts equal outcomes.

    All calls that are compared use the same connections.
    """
    with ExitStack() as stack:
        reference = stack.enter_context(connect(plain, None))
        channels = {
            listener: stack.enter_context(world.channel(listener, "billing"))
            for listener in ("plain", "grpc-mutual", "mutual")
        }

        def compare(kind, *messages, **options):
            expected = call(reference, kind, *messages, **options)
            for listener, channel in channels.items():
                assert call(channel, kind, *messages, **options) == expected, listener
            return expected

        yield compare


@pytest.mark.parametrize("act", [*SCRIPTS, *ABORTS, "initial", "echo"])
def test_method(compare, kind, act):
    """Outcomes are equal for every act: return, raise, abort, set code or metadata."""
    metadata = (("x-a", "1"), ("x-a", "2"), ("x-b-bin", b"\0\xff"))
    compare(kind, act.encode(), metadata=metadata)


def test_calls_are_served(compare, kind):
    """The calls that are compared do reach the servicer and get its answer."""
    code, _, received, _, _ = compare(kind, b"echo")
    assert code is grpc.StatusCode.OK
    assert received[0] == b"echo"


@pytest.mark.parametrize("act", ["raise", "abort", "unwritable response"])
def test_failure_within_a_stream(compare, act):
    """A method that fails after its first response ends the call the same way."""
    compare("both streams", b"echo", b"echo", act.encode(), b"echo")
    compare("response stream", f"{act} late".encode())


def test_no_message(compare, world, kind):
    """A unary call without a message gets a clear error; grpcio's own varies."""
    path, requests, _ = METHODS[kind]
    if requests:
        compare(kind)
        return
    for listener in ("plain", "grpc-mutual", "mutual"):
        with world.channel(listener, "billing") as channel:
            code, details, received, _, _ = call(channel, kind)
        assert code is grpc.StatusCode.UNIMPLEMENTED
        assert details == f'"{path}" requires exactly one request message.'
        assert received == []


def test_messages_that_are_too_many(compare, kind):
    """A unary method does not see further messages."""
    compare(kind, b"one", b"two", b"three")


def test_message_that_cannot_be_read(compare, kind):
    """An unreadable message ends the call, wherever in a stream it comes."""
    compare(kind, b"unreadable")
    compare(kind, b"fine", b"unreadable", b"fine")


def test_message_that_is_empty(compare, kind):
    """An empty message is a message."""
    compare(kind, b"")


def test_message_that_is_too_large(compare, kind):
    """The size limit of gRPC holds; the status is RESOURCE_EXHAUSTED."""
    code, *_ = compare(kind, b"x" * 1001)
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    compare(kind, b"x" * 1000)


@pytest.mark.parametrize(
    "compression", [grpc.Compression.Gzip, grpc.Compression.Deflate]
)
def test_compressed_messages(compare, kind, compression):
    """Compressed messages are read as any other."""
    compare(kind, b"x" * 900, compression=compression)


def test_deadline_before_the_message(plain, world, kind):
    """A call whose message does not arrive in time ends with DEADLINE_EXCEEDED."""
    made = set()
    with connect(plain, None) as channel:
        made.add(silent(channel, kind, timeout=0.2))
    for listener in ("plain", "mutual"):
        with world.channel(listener, "billing") as channel:
            made.add(silent(channel, kind, timeout=0.2))
    assert made == {grpc.StatusCode.DEADLINE_EXCEEDED}


def silent(channel, kind, **options):
    """Open a call, send no message, and return the status that the call ends with."""
    over = threading.Event()
    call = channel.stream_stream(METHODS[kind][0])(
        iter(lambda: over.wait(PATIENCE), True), **options
    )
    with pytest.raises(grpc.RpcError):
        next(call)
    over.set()
    return call.code()


def test_cancelling_before_the_message(world, kind, caplog):
    """A call that is cancelled before its first message logs nothing.

    But for a line of gRPC core's own, in asyncio: if the cancellation arrives between
    two of its steps, it reports the batch that failed.
    """
    for listener in ("plain", "grpc-mutual", "mutual"):
        with world.channel(listener, "billing") as channel:
            for _ in range(20):
                call_ = channel.stream_stream(METHODS[kind][0])(
                    iter(threading.Event().wait, True), timeout=PATIENCE
                )
                call_.cancel()
            assert call(channel, kind, b"echo")[0] is grpc.StatusCode.OK
    logged = [record.getMessage() for record in caplog.records]
    assert [text for text in logged if not text.startswith("ExecuteBatchError")] == []
