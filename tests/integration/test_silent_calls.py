"""In the threads runtime a unary call takes a thread only once its message has arrived.

Until then it occupies no thread, so clients that open calls and send no message cannot
starve other clients.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from support.bridge import eventually
from support.effort import repeats
from support.guarded import GREETER, KINDS, entered, listeners, make_call, serve
from support.raw_http2 import (
    Answer,
    exchange,
    open_call,
    read_answer,
    reset_call,
    send_data,
)
from support.services import PATIENCE
from support.silent_clients import SilentCall, counted_calls, known_calls, silent_calls

from grpcsecure.server.grpcio import sync_server

#: Plaintext, engine grpc, engine bridge; `OPEN` needs no certificate, for raw calls.
LISTENERS = ("plain", "grpc-mutual", "mutual")
OPEN = ("plain", "grpc-open", "open")

OK = grpc.StatusCode.OK
CUT = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
UNKNOWN = (grpc.StatusCode.UNAUTHENTICATED, "not authenticated")
FORBIDDEN = (grpc.StatusCode.PERMISSION_DENIED, "not authorized")
NOT_FOUND = (grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
TOO_MANY = (grpc.StatusCode.RESOURCE_EXHAUSTED, "Concurrent RPC limit exceeded!")

#: Kinds of method that take exactly one request message.
UNARY = ("unary", "response stream")

THREADS = 2

#: Allow every caller: without an `authorization` block, and by a rule.
RULES = {
    "no rules": None,
    "rules": {
        "default": "allow",
        "rules": {"all": {"allow": ["anyone"], "methods": [f"{GREETER}/*"]}},
    },
}

PATH = KINDS["unary"].encode()


@pytest.fixture(scope="module")
def serve_few(ca):
    """A function that starts a server with few threads; its options are `serve`'s."""

    def serve_few(folder, *names, **settings):
        on = listeners(*names)
        return serve(folder, ca, "threads", on=on, threads=THREADS, **settings)

    return serve_few


@pytest.fixture(scope="module", params=RULES)
def world(request, serve_few, tmp_path_factory):
    """A server with few threads."""
    folder = tmp_path_factory.mktemp("world")
    rules = RULES[request.param]
    with serve_few(folder, *LISTENERS, authorization=rules) as world:
        yield world


@pytest.fixture(scope="module")
def narrow(serve_few, tmp_path_factory):
    """A server whose listeners each run at most one call at a time."""
    folder = tmp_path_factory.mktemp("narrow")
    with serve_few(folder, *LISTENERS, *OPEN[1:], max_concurrent_rpcs=1) as world:
        yield world


@pytest.fixture(params=LISTENERS)
def listener(request):
    """A listener of each engine, and one in plaintext."""
    return request.param


def runtime_of(world):
    """Return the runtime that runs the servers of `world`."""
    return world.server._background


def status_of(answer):
    """Return the status code and details of an answer."""
    return answer.code, answer.details


class TestSilentCalls:
    """Calls whose request message does not arrive."""

    @pytest.mark.parametrize("kind", UNARY)
    def test_holds_no_thread(self, world, listener, kind):
        """Other calls are answered, and the silent ones once they send a message."""
        entered()
        with (
            world.channel(listener, "billing") as channel,
            world.channel(listener, "billing") as other,
            silent_calls(channel, KINDS[kind], runtime_of(world), 5 * THREADS) as calls,
        ):
            for method in KINDS.values():
                assert make_call(other, method, b"").code is OK
            assert status_of(make_call(other, f"{GREETER}/Nope")) == NOT_FOUND
            assert len(entered()) == len(KINDS)
            eventually(lambda: known_calls(runtime_of(world)) == len(calls))
            for each in calls:
                each.send(b"")
            assert {each.result().code for each in calls} == {OK}
            assert len(entered()) == len(calls)

    def test_does_not_delay_a_denial(self, serve_few, tmp_path, listener):
        """A refused call is denied meanwhile, whether it sends a message or not."""
        method = KINDS["response stream"]
        rules = {
            "default": "allow",
            "rules": {"no": {"deny": ["anyone"], "methods": [method]}},
        }
        with (
            serve_few(tmp_path, listener, authorization=rules) as world,
            world.channel(listener, "billing") as channel,
            silent_calls(channel, KINDS["unary"], runtime_of(world), 5 * THREADS),
        ):
            answers = {
                status_of(make_call(channel, method, ends=False)),
                status_of(make_call(channel, method, b"")),
            }
        assert answers == {UNKNOWN if listener == "plain" else FORBIDDEN}
        assert entered() == []

    @pytest.mark.parametrize("kind", UNARY)
    def test_end_without_a_message(self, world, listener, kind):
        """A call that ends without its message fails with UNIMPLEMENTED.

        Other silent calls, as many as there are threads, do not delay that.
        """
        entered()
        text = f'"{KINDS[kind]}" requires exactly one request message.'
        with (
            world.channel(listener, "billing") as channel,
            silent_calls(channel, KINDS[kind], runtime_of(world), THREADS) as calls,
        ):
            for each in calls:
                each.send()
                answer = each.result()
                assert status_of(answer) == (grpc.StatusCode.UNIMPLEMENTED, text)
                assert answer.messages == ()
        assert entered() == []
        eventually(lambda: known_calls(runtime_of(world)) == 0)


class TestCounting:
    """A call that waits for its message counts as running until it ends."""

    @pytest.mark.parametrize("kind", UNARY)
    def test_silent_call_counts(self, narrow, listener, kind):
        """A silent call counts towards `max_concurrent_rpcs` until it is answered."""
        with (
            narrow.channel(listener, "billing") as channel,
            silent_calls(channel, KINDS[kind], runtime_of(narrow)) as [silent],
        ):
            for method in KINDS.values():
                assert status_of(make_call(channel, method, b"")) == TOO_MANY
            silent.send(b"")
            assert silent.result().code is OK
            eventually(lambda: make_call(channel, KINDS[kind], b"").code is OK)

    @pytest.mark.parametrize("kind", UNARY)
    @pytest.mark.parametrize("how", ["cancel", "end", "close the connection"])
    def test_client_that_leaves_frees_its_slot(self, narrow, listener, kind, how):
        """However the client ends its silent call, the next call is served."""
        entered()
        with (
            narrow.channel(listener, "billing") as other,
            narrow.channel(listener, "billing") as channel,
            silent_calls(channel, KINDS[kind], runtime_of(narrow)) as [silent],
        ):
            assert status_of(make_call(other, KINDS[kind], b"")) == TOO_MANY
            if how == "cancel":
                silent.cancel()
            elif how == "end":
                silent.send()
            else:
                channel.close()
            eventually(lambda: make_call(other, KINDS[kind], b"").code is OK)
            assert len(entered()) == 1
        eventually(lambda: known_calls(runtime_of(narrow)) == 0)

    @pytest.mark.parametrize("listener", OPEN)
    @pytest.mark.parametrize("sent", [b"", b"\0\0", b"\0\0\0\0\x0ahalf"])
    @pytest.mark.parametrize("how", ["reset", "end", "close the connection"])
    def test_incomplete_message(self, narrow, listener, sent, how):
        """An incomplete message reaches no servicer; its call ends with its client."""
        entered()
        with narrow.socket(listener) as sock:
            open_call(sock, PATH)
            eventually(lambda: known_calls(runtime_of(narrow)) == 1)
            send_data(sock, sent, ends=how == "end")
            if how == "reset":
                reset_call(sock)
            if how == "end":
                text = f'"{PATH.decode()}" requires exactly one request message.'
                assert read_answer(sock) == Answer(grpc.StatusCode.UNIMPLEMENTED, text)
            if how != "close the connection":
                eventually(lambda: counted_calls(runtime_of(narrow)) == 0)
        eventually(lambda: counted_calls(runtime_of(narrow)) == 0)
        assert entered() == []
        with narrow.socket(listener) as sock:
            assert exchange(sock, PATH).code is OK
        eventually(lambda: known_calls(runtime_of(narrow)) == 0)

    @pytest.mark.parametrize("listener", OPEN)
    def test_deadline(self, narrow, listener):
        """The server itself ends a call at its deadline and serves the next one."""
        entered()
        with narrow.socket(listener) as sock:
            open_call(sock, PATH, (b"grpc-timeout", b"200m"))
            assert read_answer(sock).code is grpc.StatusCode.DEADLINE_EXCEEDED
            assert entered() == []
            eventually(lambda: counted_calls(runtime_of(narrow)) == 0)
            with narrow.socket(listener) as other:
                assert exchange(other, PATH).code is OK
        eventually(lambda: known_calls(runtime_of(narrow)) == 0)


class TestDrain:
    """How a server with silent clients stops."""

    @pytest.mark.parametrize("how", ["cancel", "close the connection"])
    def test_drain_does_not_wait_for_a_client_that_left(
        self, serve_few, tmp_path, listener, how
    ):
        """The drain cuts no call and ends long before the grace period is over."""
        with (
            serve_few(tmp_path, listener) as world,
            world.channel(listener, "billing") as channel,
            silent_calls(
                channel, KINDS["unary"], runtime_of(world), 2 * THREADS
            ) as calls,
        ):
            if how == "close the connection":
                channel.close()
            else:
                for each in calls:
                    each.cancel()
            assert world.server.stop(10 * PATIENCE) is True

    @pytest.mark.parametrize("kind", UNARY)
    def test_silent_call_may_finish(self, serve_few, tmp_path, listener, kind):
        """The drain waits for the message of a silent call, and for its answer."""
        with (
            serve_few(tmp_path, listener) as world,
            world.channel(listener, "billing") as channel,
            world.channel(listener, "billing") as other,
            silent_calls(channel, KINDS[kind], runtime_of(world)) as [silent],
            ThreadPoolExecutor(1) as drain,
        ):
            stopped = drain.submit(world.server.stop, 2 * PATIENCE)
            eventually(
                lambda: (
                    make_call(other, KINDS[kind], b"").code
                    is grpc.StatusCode.UNAVAILABLE
                )
            )
            assert not stopped.done()
            silent.send(b"")
            assert silent.result().code is OK
            assert stopped.result(PATIENCE) is True

    @pytest.mark.parametrize("kind", UNARY)
    def test_silent_call_is_cut(self, serve_few, tmp_path, listener, kind):
        """A silent call is cut after the grace period, and `stop` returns False."""
        with (
            serve_few(tmp_path, listener) as world,
            world.channel(listener, "billing") as channel,
            silent_calls(channel, KINDS[kind], runtime_of(world), 2 * THREADS) as calls,
        ):
            entered()
            runtime = runtime_of(world)
            assert world.server.stop(0) is False
            assert {each.result().code for each in calls} <= {*CUT}
            eventually(lambda: (known_calls(runtime), counted_calls(runtime)) == (0, 0))
            assert entered() == []


def test_many_calls_on_few_threads(world, listener):
    """Calls of every kind are answered beside silent and cancelled calls."""
    count = repeats(12, 40)

    def some(_):
        with world.channel(listener, "billing") as channel:
            silent = [SilentCall(channel, KINDS[kind]) for kind in UNARY]
            codes = []
            for number in range(count):
                for kind, method in KINDS.items():
                    sent = [b""] * (1 if kind in UNARY else number % 4)
                    codes.append(make_call(channel, method, *sent).code)
                leaving = SilentCall(channel, KINDS[UNARY[number % 2]])
                leaving.cancel()
            for each in silent:
                each.send(b"")
                codes.append(each.result().code)
            return codes

    with ThreadPoolExecutor(4) as clients:
        codes = [code for codes in clients.map(some, range(4)) for code in codes]
    assert codes == [OK] * 4 * (4 * count + len(UNARY))
    runtime = runtime_of(world)
    eventually(lambda: (known_calls(runtime), counted_calls(runtime)) == (0, 0))


@pytest.mark.parametrize("internals", ["known_calls", "unknown"])
class TestUnknownInternals:
    """A grpcio with unknown internals assigns threads to calls itself."""

    @pytest.fixture(autouse=True)
    def _internals(self, internals, monkeypatch):
        if internals == "unknown":
            monkeypatch.setattr(sync_server, "_IN_POOL", set())

    def test_calls_are_served(self, serve_few, tmp_path, listener):
        """All four kinds of call are served, and servicers see the caller's names."""
        with serve_few(
            tmp_path,
            listener,
            authorization={"default": "allow"},
            identities={"billing": {"common_name": "billing"}},
        ) as world:
            answers = {
                world.make_call(listener, "billing", method)
                for method in KINDS.values()
            }
            [(code, _, messages)] = answers
            assert code is OK
            assert (b"billing" in messages[0]) == (listener != "plain")
            assert len(entered()) == len(KINDS)

    def test_calls_are_refused_before_a_message(self, serve_few, tmp_path, listener):
        """Denied calls get the same status, unknown methods too; no servicer runs."""
        with (
            serve_few(tmp_path, listener, authorization={"default": "deny"}) as world,
            world.channel(listener, "billing") as channel,
        ):
            methods = [*KINDS.values(), "/no.Such/Method"]
            # More calls than there are threads: a denial must not keep a thread.
            answers = {
                status_of(make_call(channel, method, ends=False))
                for method in 2 * methods
            }
        assert answers == {UNKNOWN if listener == "plain" else FORBIDDEN}
        assert entered() == []

    def test_client_that_leaves_frees_its_slot(self, serve_few, tmp_path, listener):
        """A cancelled call no longer counts, and the drain does not wait for it."""
        with (
            serve_few(tmp_path, listener, max_concurrent_rpcs=1) as world,
            world.channel(listener, "billing") as channel,
            silent_calls(channel, KINDS["unary"], runtime_of(world)) as [silent],
        ):
            silent.cancel()
            eventually(lambda: make_call(channel, KINDS["unary"], b"").code is OK)
            assert world.server.stop(PATIENCE) is True
