"""The guard before grpcio's asyncio server, and the restart of a crashed server.

No real malformed call is sent: the tests make the reader report calls as malformed, and
crash servers by raising in them.
"""

from __future__ import annotations

import logging
import shutil
import socket
from contextlib import contextmanager, suppress
from queue import SimpleQueue

import grpc
import pytest
from cryptography import x509
from helloworld.helloworld_pb2_grpc import GreeterStub
from support.bridge_certs import certificate
from support.guarded import AioRecordingInterceptor, entered, listeners, serve
from support.raw_http2 import Answer, exchange
from support.servers import Conversation, failure, greeting_of
from support.services import PATIENCE

from grpcsecure.server.grpcio import aio_server
from grpcsecure.server.runtime import listener_restarter

#: Plaintext, engine grpc, engine bridge.
LISTENERS = ("plain", "grpc-open", "open")

#: The path of an unknown method. Such calls are read before the accept loop gets them.
UNKNOWN = b"/test.Unknown/Method"
NOT_FOUND = Answer(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")

CUT = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}

# In releases that need none, all methods come to the code that crashes here.
pytestmark = pytest.mark.skipif(
    not aio_server._READS_FIRST, reason="this grpcio needs no guard"
)


class MalformedError(Exception):
    """The error of a call that grpcio cannot read."""

    object = UNKNOWN


@pytest.fixture
def reads(monkeypatch):
    """The results of all readings of calls before the accept loop, in order."""
    results = []
    read = aio_server._CallReader.read

    async def record(reader, call):
        results.append(await read(reader, call))
        return results[-1]

    monkeypatch.setattr(aio_server._CallReader, "read", record)
    return results


@pytest.fixture
def malformed(monkeypatch, reads):
    """A switch, initially on, that makes the reader report calls as malformed."""
    read = aio_server._CallReader.read
    switch = {"on": True}

    async def fail(reader, call):
        result = await read(reader, call)
        return MalformedError() if switch["on"] else result

    monkeypatch.setattr(aio_server._CallReader, "read", fail)
    return switch


@pytest.fixture
def events(monkeypatch):
    """A queue of the server's log records; calls of `UNKNOWN` crash the server."""

    async def end(_core, _call):
        raise RuntimeError("ended by the test")

    monkeypatch.setattr(aio_server._Core, "_read", end)
    queue: SimpleQueue[logging.LogRecord] = SimpleQueue()
    handler = logging.Handler()
    handler.emit = queue.put
    logger = logging.getLogger("grpcsecure")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield queue
    logger.removeHandler(handler)
    logger.setLevel(level)


def next_event(events, name):
    """Wait for the event `name`, skip other log records, and return its record."""
    while True:
        record = events.get(timeout=PATIENCE)
        if record.msg == name:
            return record


@contextmanager
def world_of(folder, ca, *names, **settings):
    """Run a server on these listeners; its servicer keeps calls open on request."""
    on, gated = listeners(*names), {"servicer": "support.services:GatedAio"}
    with serve(folder, ca, "asyncio", servicer=gated, on=on, **settings) as world:
        yield world


def call(world, listener, path=UNKNOWN):
    """Make one raw call over a new connection; return its answer."""
    with world.socket(listener) as sock:
        return exchange(sock, path)


def answers(world, listener):
    """Return the echo of `Chat` over a new connection."""
    with world.channel(listener) as channel:
        talk = Conversation(GreeterStub(channel))
        answer = talk("hello")
        talk.end()
        return answer


def crash(world, events, listener):
    """Crash the server of a listener, and wait until it has been restarted."""
    with suppress(OSError), world.socket(listener) as sock:  # reset counts too
        assert exchange(sock, UNKNOWN).code in {None, *CUT}
    crashed = next_event(events, "server.crashed")
    assert crashed.listener == listener
    assert crashed.reason == "RuntimeError: ended by the test"
    assert next_event(events, "server.restarted").listener == listener


@pytest.mark.parametrize("listener", LISTENERS)
def test_every_call_of_an_unknown_method_is_read_first(tmp_path, ca, listener, reads):
    """The accept loop gets no call that could end it; known methods are not read."""
    with world_of(tmp_path, ca, listener) as world:
        for number in range(1, 4):
            assert call(world, listener) == NOT_FOUND
            assert reads == [None] * number
        assert answers(world, listener) == "hello"
        assert len(reads) == 3


@pytest.mark.parametrize("listener", LISTENERS)
def test_malformed_call_disturbs_no_other_call(tmp_path, ca, listener, malformed):
    """Such calls get an answer; calls on new and open connections go on."""
    with (
        world_of(tmp_path, ca, listener, max_concurrent_rpcs=2) as world,
        world.channel(listener) as channel,
    ):
        talk = Conversation(GreeterStub(channel))
        assert talk("hello") == "hello"
        for is_malformed in (True, True, False, True, False):
            malformed["on"] = is_malformed
            assert call(world, listener) == NOT_FOUND
        assert talk("hello") == "hello"
        assert answers(world, listener) == "hello"
        assert talk.end() == []
        assert world.server.stop(PATIENCE)


def test_malformed_call_does_not_delay_a_drain(tmp_path, ca, malformed):
    """A drain ends as soon as the calls in flight have ended."""
    with world_of(tmp_path, ca, "plain", shutdown_grace="1h") as world:
        for _ in range(3):
            assert call(world, "plain") == NOT_FOUND
        assert world.server.stop()


def test_rules_and_interceptors_see_a_malformed_call(tmp_path, ca, malformed):
    """Rules apply to a malformed call; interceptors get its method as text."""
    on, users = listeners("plain"), [AioRecordingInterceptor()]
    with serve(tmp_path, ca, "asyncio", on=on, interceptors=users) as world:
        assert call(world, "plain") == NOT_FOUND
        assert entered() == [f"asked for {UNKNOWN.decode()}"]
        world.enforce({"default": "deny"})
        assert call(world, "plain").code is grpc.StatusCode.UNAUTHENTICATED
        assert entered() == []


def test_reader_that_ends_is_replaced(tmp_path, ca, reads, monkeypatch):
    """A call that cannot be read ends only the reader, which is replaced."""
    read = aio_server._CallReader.read
    with world_of(tmp_path, ca, "plain") as world:

        async def read_nothing(reader, call):
            assert isinstance(await read(reader, object()), TypeError)
            return MalformedError()

        for _ in range(2):
            monkeypatch.setattr(aio_server._CallReader, "read", read_nothing)
            assert call(world, "plain") == NOT_FOUND
            monkeypatch.setattr(aio_server._CallReader, "read", read)
            assert call(world, "plain") == NOT_FOUND
        assert reads[1::2] == [None, None]
        assert answers(world, "plain") == "hello"


@pytest.mark.parametrize("listener", LISTENERS)
def test_crashed_server_is_replaced(tmp_path, ca, listener, events):
    """Calls on it are cut; new calls are served at the same address, repeatedly."""
    with (
        world_of(tmp_path, ca, listener) as world,
        world.channel(listener) as channel,
    ):
        talk = Conversation(GreeterStub(channel))
        assert talk("hello") == "hello"
        for _ in range(12):  # more often than one restart makes attempts
            crash(world, events, listener)
            assert answers(world, listener) == "hello"
        code, _ = failure(lambda: talk("hello"))
        assert code in CUT
        [served] = world.server._background._runtime._served
        assert len(served.servers) <= 2


def test_crash_of_one_listener_leaves_the_others(tmp_path, ca, events):
    """Each listener has its own server; the crash of one does not affect the others."""
    with (
        world_of(tmp_path, ca, *LISTENERS) as world,
        world.channel("open") as channel,
    ):
        talk = Conversation(GreeterStub(channel))
        assert talk("hello") == "hello"
        crash(world, events, "plain")
        crash(world, events, "grpc-open")
        assert talk("hello") == "hello"
        assert talk.end() == []


def test_restarted_server_has_the_certificates_in_force(tmp_path, ca, events):
    """The restarted server uses certificates reloaded before and after the crash."""

    def renew():
        pair = certificate("localhost", issuer=ca, names=[x509.DNSName("localhost")])
        (tmp_path / "server.pem").write_bytes(pair.chain_pem)
        (tmp_path / "server.key").write_bytes(pair.key_pem)
        world.server.reload()
        next_event(events, "reload.applied")
        return pair.der

    with world_of(tmp_path, ca, "grpc-open") as world:
        world.server.look_after()
        for _ in range(2):
            expected = renew()
            crash(world, events, "grpc-open")
            with world.socket("grpc-open") as sock:
                assert sock.getpeercert(binary_form=True) == expected
        expected = renew()
        with world.socket("grpc-open") as sock:
            assert sock.getpeercert(binary_form=True) == expected


@pytest.mark.parametrize("listener", LISTENERS)
@pytest.mark.parametrize("moment", ["sent", "server.crashed", "server.restarted"])
def test_drain_works_at_every_moment(tmp_path, ca, listener, moment, events):
    """A drain ends a restart at any moment, and nothing listens afterwards."""
    with world_of(tmp_path, ca, listener) as world, world.socket(listener) as sock:
        with suppress(OSError):  # reset
            exchange(sock, UNKNOWN)
        if moment != "sent":
            next_event(events, moment)
        world.server.stop(0)
        port = int(world.server.addresses[listener].rpartition(":")[2])
        with socket.socket() as late:
            assert late.connect_ex(("127.0.0.1", port)) != 0


def test_running_calls_of_a_restarted_server_are_drained(tmp_path, ca, events):
    """A drain waits for the calls in flight on the restarted server."""
    with world_of(tmp_path, ca, "plain") as world:
        crash(world, events, "plain")
        with world.channel("plain") as channel:
            greeter = GreeterStub(channel)
            talk = Conversation(greeter)
            assert talk("open") == "open"
            assert greeting_of(greeter) == "done"
            assert not world.server.stop(0)
            assert failure(lambda: talk("hello"))[0] in CUT


def test_listener_that_cannot_restart_is_reported(tmp_path, ca, events, monkeypatch):
    """If a listener cannot be bound again, `on_failure` runs and may call `stop`."""
    monkeypatch.setattr(listener_restarter, "_PAUSES", (0.0, 0.001))
    folder = tmp_path / "s"
    folder.mkdir()
    on = {"plain": {"address": f"unix:{folder}/s.sock", "plaintext": True}}
    failed: SimpleQueue[object] = SimpleQueue()

    def stop(reason):
        failed.put(reason)
        failed.put(world.server.stop(0))

    with serve(tmp_path, ca, "asyncio", on=on) as world:
        world.server.on_failure = stop
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(PATIENCE)
            sock.connect(f"{folder}/s.sock")
            shutil.rmtree(folder)
            with suppress(OSError):
                exchange(sock, UNKNOWN)
        reason = f"listener `plain` cannot listen on unix:{folder}/s.sock: "
        gave_up = next_event(events, "server.gave_up")
        assert gave_up.reason.startswith(reason)
        assert failed.get(timeout=PATIENCE) == (
            f"listener `plain` cannot be served again: {gave_up.reason}"
        )
        assert failed.get(timeout=PATIENCE) is True
