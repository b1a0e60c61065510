"""Message sizes, compression, keepalive and limits, on both engines and runtimes."""

from __future__ import annotations

import threading
from contextlib import contextmanager

import grpc
import pytest
from helloworld.helloworld_pb2 import HelloReply, HelloRequest
from support.guarded import listeners, make_call, serve
from support.raw_http2 import Session
from support.services import PATIENCE

CHAT = "/helloworld.Greeter/Chat"
LISTENERS = ("grpc-open", "open", "plain")
SERVICERS = {"threads": "Gated", "asyncio": "GatedAio"}

#: SETTINGS_MAX_CONCURRENT_STREAMS (RFC 9113, 6.5.2).
_MAX_STREAMS = 3


@contextmanager
def serving(folder, ca, runtime, *, limits=None, **settings):
    """Serve on a listener of each engine and in plaintext, with these settings."""
    folder.mkdir(exist_ok=True)
    on = {
        name: {**listener, **({"limits": limits} if limits else {})}
        for name, listener in listeners(*LISTENERS).items()
    }
    servicer = {"servicer": f"support.services:{SERVICERS[runtime]}"}
    with serve(folder, ca, runtime, on=on, servicer=servicer, **settings) as world:
        yield world


@pytest.fixture(name="runtime", scope="module", params=["threads", "asyncio"])
def _runtime(request):
    """The name of a runtime."""
    return request.param


@pytest.fixture(name="listener", params=LISTENERS)
def _listener(request):
    """The name of a listener."""
    return request.param


@pytest.fixture(name="strict", scope="module")
def _strict(runtime, tmp_path_factory, ca):
    """A server with small sizes and compression; gRPC's own limits of pings."""
    with serving(
        tmp_path_factory.mktemp("strict"),
        ca,
        runtime,
        limits={"max_calls_per_connection": 7},
        max_receive_message_size="4KiB",
        max_send_message_size="2KiB",
        compression="gzip",
    ) as world:
        yield world


@pytest.fixture(name="patient", scope="module")
def _patient(runtime, tmp_path_factory, ca):
    """A server that pings often, and permits pings every millisecond."""
    keepalive = {
        "time": "50ms",
        "timeout": f"{PATIENCE:g}s",
        "without_calls": True,
        "min_client_interval": "1ms",
    }
    folder = tmp_path_factory.mktemp("patient")
    with serving(folder, ca, runtime, keepalive=keepalive) as world:
        yield world


def chat(world, listener, name, **options):
    """Send a message of `name`; return the code, its details and the answers."""
    with world.channel(listener) as channel:
        message = HelloRequest(name=name).SerializeToString()
        return make_call(channel, CHAT, message, **options)


@pytest.mark.parametrize(
    ("size", "details"),
    [(1000, ""), (3000, "Sent message larger"), (5000, "Received message larger")],
)
def test_message_is_too_large(strict, listener, size, details):
    """A message above the size ends its call; the connection stays."""
    result = chat(strict, listener, "x" * size)
    assert details in result.details
    if details:
        assert result.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    else:
        assert [HelloReply.FromString(each) for each in result.messages] == [
            HelloReply(message="x" * size)
        ]


def test_size_is_that_of_the_decompressed_message(strict, listener):
    """A small message that becomes a large one is refused."""
    gzip = grpc.Compression.Gzip
    result = chat(strict, listener, "x" * 1_000_000, compression=gzip)
    assert result.code is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    ("accepted", "used"),
    [
        (None, None),
        (b"identity", None),
        (b"identity,deflate,gzip", b"gzip"),
        (b"identity,deflate", b"deflate"),
    ],
)
def test_response_is_compressed_for_clients_that_accept_it(
    strict, listener, accepted, used
):
    """The algorithm is one that the client has named, or none."""
    headers = [] if accepted is None else [(b"grpc-accept-encoding", accepted)]
    message = HelloRequest(name="x" * 1000).SerializeToString()
    with strict.socket(listener) as sock:
        fields, data = Session(sock).call(CHAT.encode(), message, *headers)
    assert data[0] == (used is not None)
    assert (used or b"identity") in fields
    assert (b"grpc-encoding" in fields) == (used is not None)
    assert len(data) < 200 if used else len(data) > 1000


def test_streams_of_a_connection(strict, listener):
    """The client learns the limit from the server's SETTINGS."""
    with strict.socket(listener) as sock:
        assert Session(sock).settings()[_MAX_STREAMS] == 7


@pytest.mark.parametrize("calls", [False, True])
def test_too_many_pings(strict, listener, calls):
    """By default a client that pings all the time is disconnected."""
    with strict.socket(listener) as sock:
        session = Session(sock)
        if calls:
            session.begin_call(CHAT.encode())
        pings = (session.ping() for _ in range(20))
        assert next(filter(None, pings)) == b"too_many_pings"


def test_client_with_keepalive(strict, listener):
    """A client of grpcio loses its call over too many pings."""
    options = [
        ("grpc.keepalive_time_ms", 10),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    with strict.channel(listener, "anonymous", *options) as channel:
        result = make_call(channel, CHAT, b"", ends=False)
    assert result.code is grpc.StatusCode.UNAVAILABLE
    assert "too many pings" in result.details.lower().replace("_", " ")


def test_permitted_pings(patient, listener):
    """A client may ping as often as the settings say, also without a call."""
    pause = threading.Event()
    with patient.socket(listener) as sock:
        session = Session(sock)
        for _ in range(10):
            assert session.ping() is None
            pause.wait(0.02)  # the least time between two pings is the subject


def test_server_pings(patient, listener):
    """The server pings an idle client, again and again."""
    with patient.socket(listener) as sock:
        session = Session(sock)
        for _ in range(3):
            session.answer_ping()


def test_client_that_does_not_answer(runtime, tmp_path, ca):
    """A client that answers no ping is disconnected."""
    keepalive = {"time": "50ms", "timeout": "50ms", "without_calls": True}
    keepalive["min_client_interval"] = "5m"
    with serving(tmp_path, ca, runtime, keepalive=keepalive) as world:
        assert all(is_disconnected(world, listener) for listener in LISTENERS)


def is_disconnected(world, listener):
    """Whether the server ends a connection whose client answers nothing."""
    try:
        with world.socket(listener) as sock:
            Session(sock).wait_for_end()
    except TimeoutError:
        return False
    except OSError:
        pass  # on a busy machine it may have ended before the client's first frame
    return True
