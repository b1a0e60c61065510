"""grpc.health.v1 in both runtimes: per service, overall, and while draining."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from queue import SimpleQueue

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from support.servers import RUNTIMES, custom, failure, running
from support.services import PATIENCE, reply

import grpcsecure
from grpcsecure.server.services.health import AsyncioHealth, ThreadsHealth
from grpcsecure.server.services.health_board import HealthBoard

SERVING = HealthCheckResponse.SERVING
NOT_SERVING = HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = HealthCheckResponse.SERVICE_UNKNOWN

SERVICE = custom(SayHello=lambda request, context: reply("hi"))


@pytest.fixture(name="server", params=list(RUNTIMES))
def _server(request):
    """A running server."""
    with running(request.param, SERVICE) as server:
        yield server


@pytest.fixture(name="health")
def _health(server):
    """A client of its health service."""
    with grpc.insecure_channel(server.addresses["public"]) as channel:
        yield HealthStub(channel)


def watch(health, service=""):
    """Begin to watch, and return the stream of statuses."""
    replies = health.Watch(HealthCheckRequest(service=service), timeout=PATIENCE)
    return (reply.status for reply in replies)


@pytest.mark.parametrize("service", ["", "helloworld.Greeter"])
def test_serving_overall_and_per_service(health, service):
    """The server as a whole and each of its services are SERVING."""
    request = HealthCheckRequest(service=service)
    assert health.Check(request, timeout=PATIENCE).status == SERVING


def test_unknown_service_is_not_found(health):
    """For an unknown service, Check fails and Watch reports SERVICE_UNKNOWN."""
    request = HealthCheckRequest(service="no.such.Service")
    code, _ = failure(lambda: health.Check(request, timeout=PATIENCE))
    assert code is grpc.StatusCode.NOT_FOUND
    assert next(watch(health, "no.such.Service")) == SERVICE_UNKNOWN


def test_watches_end_with_not_serving(server, health):
    """A drain is reported to every watching client, and waits for none of them."""
    statuses = [watch(health), watch(health, "helloworld.Greeter")]
    assert [next(each) for each in statuses] == [SERVING, SERVING]
    assert server.stop() is True
    assert [list(each) for each in statuses] == [[NOT_SERVING], [NOT_SERVING]]


def test_watch_of_an_unknown_service_does_not_hold_the_drain(server, health):
    """The drain does not wait for a client that watches an unknown service."""
    statuses = watch(health, "no.such.Service")
    assert next(statuses) == SERVICE_UNKNOWN
    assert server.stop() is True
    assert list(statuses) in ([], [NOT_SERVING])


class SlowContext:
    """A context of a call that sends slowly."""

    def __init__(self):
        self.is_sending = asyncio.Event()
        self.goes_on = asyncio.Event()
        self.sent = []

    async def write(self, response):
        """Send a message, one at a time."""
        assert not self.is_sending.is_set()
        self.is_sending.set()
        await self.goes_on.wait()
        self.is_sending.clear()
        self.sent.append(response.status)


@pytest.mark.parametrize("service", ["", "no.such.Service"])
def test_drain_lets_a_status_be_sent_to_its_end(service):
    """A drain while a message is being sent does not end its watch before that."""

    async def drain():
        board = HealthBoard()
        board.settle([])
        health, context = AsyncioHealth(board), SlowContext()
        request = HealthCheckRequest(service=service)
        watch = asyncio.ensure_future(health.Watch(request, context))
        await context.is_sending.wait()
        board.drain()
        # Everything that can run does so before the message has been sent.
        for _ in range(20):
            await asyncio.sleep(0)
        assert not watch.done()
        context.goes_on.set()
        await watch
        return context.sent

    last = [] if service else [NOT_SERVING]
    first = SERVICE_UNKNOWN if service else SERVING
    assert asyncio.run(drain()) == [first, *last]


def test_client_that_stops_watching_is_forgotten(health, server):
    """A cancelled watch does not delay the drain."""
    replies = health.Watch(HealthCheckRequest(), timeout=PATIENCE)
    next(replies)
    replies.cancel()
    assert server.stop() is True


@pytest.mark.skipif(
    not hasattr(health_pb2, "HealthListResponse"),
    reason="grpcio-health-checking has no List",
)
def test_list_has_all_services(server, health):
    """It has the server as a whole, too; and NOT_SERVING while draining."""
    reply = health.List(health_pb2.HealthListRequest(), timeout=PATIENCE)
    statuses = {name: each.status for name, each in reply.statuses.items()}
    assert statuses[""] == SERVING
    assert len(statuses) > 1
    assert set(statuses.values()) == {SERVING}
    for name in statuses:
        request = HealthCheckRequest(service=name)
        assert health.Check(request, timeout=PATIENCE).status == SERVING


def test_watch_that_begins_while_draining_ends_at_once():
    """A watch that gets its thread only after the drain began does not delay it."""

    class Context:
        def add_callback(self, callback):
            return True

    board = HealthBoard()
    board.settle(["helloworld.Greeter"])
    health = ThreadsHealth(board)
    board.drain()
    sent = []
    health.Watch(HealthCheckRequest(), Context(), sent.append)
    assert [each and each.status for each in sent] == [NOT_SERVING, None]


class Passing(grpc.ServerInterceptor):
    """An interceptor that wraps each streaming handler in another handler."""

    def intercept_service(self, continuation, handler_call_details):
        """Return a handler that passes on the responses of the service."""
        handler = continuation(handler_call_details)
        if not handler.response_streaming:
            return handler

        def call(request, context):
            yield from handler.unary_stream(request, context)

        return grpc.unary_stream_rpc_method_handler(
            call,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )


def test_watch_behind_an_interceptor():
    """A Watch handler that an interceptor wrapped works, and ends with the drain."""
    with (
        running("threads", SERVICE, interceptors=(Passing(),)) as server,
        grpc.insecure_channel(server.addresses["public"]) as channel,
    ):
        gone, stays = (
            HealthStub(channel).Watch(HealthCheckRequest(), timeout=PATIENCE)
            for _ in range(2)
        )
        assert next(gone).status == next(stays).status == SERVING
        gone.cancel()
        assert server.stop() is True
        assert [reply.status for reply in stays] == [NOT_SERVING]


def test_clients_that_leave_at_not_serving_do_not_hold_the_drain():
    """Ending one watch never waits for another, even if all clients leave at once."""
    with (
        running("threads", SERVICE, threads=2) as server,
        contextlib.ExitStack() as clients,
    ):
        replies = []
        for _ in range(8):
            channel = clients.enter_context(
                grpc.insecure_channel(server.addresses["public"])
            )
            watching = HealthStub(channel).Watch(HealthCheckRequest(), timeout=PATIENCE)
            replies.append(watching)
            assert next(watching).status == SERVING
        leaving = [
            threading.Thread(target=lambda w=watching: (next(w), w.cancel()))
            for watching in replies
        ]
        for thread in leaving:
            thread.start()
        assert server.stop() is True
        for thread in leaving:
            thread.join(PATIENCE)


def test_health_may_be_switched_off():
    """With `health: false` the service is not registered."""
    with (
        running("threads", SERVICE, health=False) as server,
        grpc.insecure_channel(server.addresses["public"]) as channel,
    ):
        health = HealthStub(channel)
        code, _ = failure(lambda: health.Check(HealthCheckRequest(), timeout=PATIENCE))
        assert code is grpc.StatusCode.UNIMPLEMENTED


@pytest.fixture(name="board")
def _board():
    """The health of one service."""
    board = HealthBoard()
    board.settle(["a.B"])
    return board


def test_drain_overrides_what_is_set(board):
    """A service that sets itself SERVING while the server drains stays NOT_SERVING."""
    board.set("a.B", serving=True)
    board.drain()
    board.set("a.B", serving=True)
    assert [board.is_serving(name) for name in ("", "a.B")] == [False, False]


def test_set_before_the_services_are_known(board):
    """A factory may set a health before the names are known; a wrong one is found."""
    early = HealthBoard()
    early.set("c.D", serving=False)
    early.settle(["c.D"])
    assert early.is_serving("c.D") is False
    early = HealthBoard()
    early.set("c.E", serving=False)
    with pytest.raises(grpcsecure.StartupError, match=r"did you mean `c\.D`"):
        early.settle(["c.D"])


class Reading:
    """A client of a watch; one that does not read blocks the thread that sends."""

    def __init__(self, board, *, reads=True):
        self.got = SimpleQueue()
        self.goes_on = threading.Event()
        self.is_stuck = threading.Event()
        self.reads = reads
        ThreadsHealth.Watch(board, HealthCheckRequest(service="a.B"), self, self.send)

    def add_callback(self, callback):
        """Accept a callback for the end of the call."""
        return True

    def send(self, response):
        """Take a message, or None at the end."""
        if not self.reads and not self.got.empty():
            self.is_stuck.set()
            assert self.goes_on.wait(PATIENCE)
        self.got.put(response and response.status)


def test_client_that_does_not_read_holds_up_no_change(board):
    """It neither blocks a servicer nor keeps later changes from other clients."""
    health = ThreadsHealth(board)
    stuck, reads = Reading(health, reads=False), Reading(health)
    assert reads.got.get(timeout=PATIENCE) == SERVING
    board.set("a.B", serving=False)
    assert stuck.is_stuck.wait(PATIENCE)
    board.set("a.B", serving=True)
    board.drain()
    statuses = iter(lambda: reads.got.get(timeout=PATIENCE), None)
    assert [*statuses][-1] == NOT_SERVING
    stuck.goes_on.set()
    statuses = iter(lambda: stuck.got.get(timeout=PATIENCE), None)
    assert [*statuses] == [SERVING, NOT_SERVING]


def test_changes_from_many_threads_end_in_the_last_one(board):
    """A watching client ends up with the status in force, and sees no status twice."""
    health = ThreadsHealth(board)
    client = Reading(health)

    def change():
        for serving in (False, True) * 50:
            board.set("a.B", serving=serving)

    threads = [threading.Thread(target=change) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    board.drain()
    got = [*iter(lambda: client.got.get(timeout=PATIENCE), None)]
    assert got[-1] == NOT_SERVING
    assert all(one != two for one, two in itertools.pairwise(got))
