"""Draining over TLS, with both engines in one server, and also during a reload."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import ExitStack, contextmanager

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from helloworld.helloworld_pb2_grpc import GreeterStub
from support.bridge import eventually
from support.process import pid_1, serving
from support.reloading import (
    MODES,
    PATIENCE,
    Site,
    authority,
    channel,
    client,
    open_channel,
    refusal,
    text_of,
)
from support.servers import Conversation, failure, hello_request, socket_path

GATED = {
    "threads": "support.services:Gated",
    "asyncio": "support.services:GatedAio",
}

CUT = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


ENGINES = ("grpc", "bridge")


@pytest.fixture(name="runtime", params=["threads", "asyncio"])
def _runtime(request):
    """The name of a runtime."""
    return request.param


@pytest.fixture(name="site")
def _site(runtime, tmp_path):
    """A site with a listener of each engine and a servicer that keeps calls open."""
    site = Site(tmp_path, "bridge", runtime=runtime, servicer=GATED[runtime])
    public = site.config["listeners"].pop("public")
    for engine in ENGINES:
        tls = {**public["tls"], "engine": engine, "client_certificate": MODES[engine]}
        site.config["listeners"][engine] = {**public, "tls": tls}
    site.write()
    return site


class Client:
    """A client of one engine: a call in flight, and a second, idle connection."""

    def __init__(self, site, address, own, stack):
        self.gone = threading.Event()
        self.greeter = stack.enter_context(channel(site, address, own))
        self.second = stack.enter_context(channel(site, address, own, gone=self.gone))
        self.talk = Conversation(self.greeter)
        self.says("one")

    def says(self, word):
        """Check that the call in flight goes on."""
        assert self.talk(word) == word

    def wait_for_drain(self):
        """Wait until the server has closed the idle connection."""
        assert self.gone.wait(PATIENCE)

    def ends(self):
        """Check that the call in flight ends as usual."""
        assert self.talk.end() == []


@contextmanager
def clients_of(site, server):
    """Yield a client of each engine."""
    own = client("dns:ada.test", site.ca)
    with ExitStack() as stack:
        yield [
            Client(site, address, own, stack) for address in server.addresses.values()
        ]


def test_drain(site):
    """A drain lets calls in flight finish and refuses new ones; the exit code is 0.

    Before that, health watches get NOT_SERVING and end.
    """
    own = client("dns:ada.test", site.ca)
    with serving(site.path) as server, clients_of(site, server) as clients:
        with ExitStack() as stack:
            watches = []
            for address in server.addresses.values():
                watching = stack.enter_context(open_channel(site, address, own))
                stub = HealthStub(watching)
                watches.append(stub.Watch(HealthCheckRequest(), timeout=PATIENCE))
            for watch in watches:
                assert next(watch).status == HealthCheckResponse.SERVING
            unary = [
                each.greeter.SayHello.future(hello_request(), timeout=PATIENCE)
                for each in clients
            ]
            for each in clients:
                each.says("entered")
            server.signal()
            for watch in watches:
                assert next(watch).status == HealthCheckResponse.NOT_SERVING
                # The watch ends, so that no watcher delays the drain.
                assert list(watch) == []
        for each in clients:
            each.wait_for_drain()
            # On a new connection, and on the one that is still in use.
            assert refusal(each.second) is grpc.StatusCode.UNAVAILABLE
            assert refusal(each.greeter) is grpc.StatusCode.UNAVAILABLE
            for word in ("still", "here"):
                each.says(word)
        for each in clients:
            each.says("open")
        assert [each.result().message for each in unary] == ["done"] * len(clients)
        for each in clients:
            each.ends()
        assert server.wait() == 0
        assert "bridge.died" not in server.stderr


def test_draining_server_leaves_its_socket_path_to_the_next(site):
    """A server that binds a draining server's unix path keeps it when that one ends."""
    paths = []
    for engine in ENGINES:
        paths.append(socket_path(site.folder, f"{engine}.sock"))
        site.config["listeners"][engine]["address"] = f"unix:{paths[-1]}"
    site.write()
    with serving(site.path) as old, clients_of(site, old) as clients:
        old.signal()
        for each in clients:
            each.wait_for_drain()
        with serving(site.path) as new:
            for each in clients:
                each.says("two")
                each.ends()
            assert old.wait() == 0
            with clients_of(site, new) as late:
                for each in late:
                    each.says("three")
                    each.ends()
            new.signal()
            assert new.wait() == 0
    assert not any(path.exists() for path in paths)


def test_longest_durations(site):
    """With every duration at its maximum a server serves and drains."""
    longest = "366d"
    server = site.config["server"]
    server["shutdown_grace"] = server["switch_interval"] = longest
    site.config["reload"] = {"interval": longest}
    for listener in site.config["listeners"].values():
        listener["max_connection_age"] = longest
        listener["max_connection_age_grace"] = longest
        listener["tls"]["handshake_timeout"] = longest
    site.write()
    with serving(site.path) as process, clients_of(site, process) as clients:
        process.signal()
        for each in clients:
            each.says("two")
            each.ends()
        assert process.wait() == 0
        assert "bridge.died" not in process.stderr


@pytest.mark.parametrize("how", ["grace", "second signal"])
def test_long_streams_are_cut(how, site):
    """Streams are cut after the grace period or at a second signal; exit code 4."""
    grace = {"grace": "1s", "second signal": "1h"}[how]
    site.config["server"]["shutdown_grace"] = grace
    site.write()
    with serving(site.path) as server, clients_of(site, server) as clients:
        server.signal()
        for each in clients:
            each.wait_for_drain()
        if how == "second signal":
            for each in clients:
                each.says("two")
            server.signal()
        for each in clients:
            assert failure(each.talk.wait_for_end)[0] in CUT
        assert server.wait() == 4


class TestWithReloads:
    """Stop signals that arrive while files change."""

    def test_drain_during_a_reload(self, site):
        """A reload in progress neither delays a drain nor makes it fail."""
        with serving(site.path) as server:
            with clients_of(site, server) as clients:
                site.rotate()
                site.put("ca.pem", text_of(site.ca, authority("other")))
                server.signal(signal.SIGHUP)
                server.signal()
                for each in clients:
                    each.says("two")
                    each.ends()
            assert server.wait() == 0
            assert "Traceback" not in server.stderr

    def test_drain_while_a_reload_waits_for_a_pair(self, site):
        """A drain cancels a reload that waits for the other file of a key pair."""
        with serving(site.path) as server:
            site.put("server.key", site.new_pair().key_pem.decode())
            server.signal(signal.SIGHUP)
            server.signal()
            assert server.wait() == 0
            assert "reload.applied" not in server.stderr

    def test_reload_while_draining(self, site):
        """A draining server does not reload; its calls in flight go on."""
        with serving(site.path) as server:
            with clients_of(site, server) as clients:
                server.signal()
                for each in clients:
                    each.wait_for_drain()
                site.put("ca.pem", text_of(authority("other")))
                server.signal(signal.SIGHUP)
                for each in clients:
                    each.says("two")
                    each.ends()
            assert server.wait() == 0
            assert "reload." not in server.stderr

    def test_many_hangups_do_no_harm(self, site):
        """A burst of SIGHUPs leads to one reload after the other and no crash."""
        with serving(site.path) as server:
            for _ in range(50):
                server.signal(signal.SIGHUP)
            eventually(lambda: "reload.unchanged" in server.stderr)
            with clients_of(site, server) as clients:
                for each in clients:
                    each.ends()
            server.signal()
            assert server.wait() == 0
            assert "Traceback" not in server.stderr


def test_as_pid_1(site):
    """As process 1 of a container it reloads, drains and ends its bridge process."""
    with serving(site.path, prefix=pid_1()) as server:
        with clients_of(site, server) as clients:
            inner = server.child
            site.rotate()
            os.kill(inner, signal.SIGHUP)
            eventually(lambda: "reload.applied" in server.stderr)
            os.kill(inner, signal.SIGTERM)
            for each in clients:
                each.says("two")
                each.ends()
        assert server.wait() == 0


def test_bridge_that_dies_while_draining(runtime, tmp_path):
    """Connections of the killed bridge are lost; the server still ends its drain."""
    site = Site(tmp_path, "bridge", runtime=runtime, servicer=GATED[runtime])
    own = client("dns:ada.test", site.ca)
    gone = threading.Event()
    with serving(site.path) as server:
        address = server.addresses["public"]
        with (
            channel(site, address, own) as greeter,
            channel(site, address, own, gone=gone) as second,
        ):
            talk = Conversation(greeter)
            assert talk("one") == "one"
            server.signal()
            assert gone.wait(PATIENCE)
            os.kill(server.child, signal.SIGKILL)
            assert failure(talk.wait_for_end)[0] in CUT
            assert refusal(second) is grpc.StatusCode.UNAVAILABLE
            assert server.wait() in (0, 4)
            assert "Traceback" not in server.stderr


class Callers:
    """Clients that call in a row, each on its own connection, until `end`.

    A call waits for a connection, so it fails only if a server has taken and lost it.
    """

    def __init__(self, site, address, own, *, count):
        self.failures = []
        self.finished = 0
        self._is_over = threading.Event()
        self._threads = [
            threading.Thread(target=self._call, args=(site, address, own), daemon=True)
            for _ in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def _call(self, site, address, own):
        with open_channel(site, address, own) as opened:
            greeter = GreeterStub(opened)
            while not self._is_over.is_set():
                try:
                    greeter.SayHello(
                        hello_request(), timeout=PATIENCE, wait_for_ready=True
                    )
                except grpc.RpcError as error:
                    self.failures.append((error.code(), error.details()))
                self.finished += 1

    def wait_for(self, calls):
        """Wait until so many further calls have ended."""
        enough = self.finished + calls
        eventually(lambda: self.finished >= enough, what="the calls")

    def end(self):
        """Let each client finish its call; return the failed ones."""
        self._is_over.set()
        for thread in self._threads:
            thread.join()
        return self.failures


def test_deploy_loses_no_call(runtime, tmp_path):
    """Another server takes over the address of one that drains: every call succeeds.

    A grpcio server that is stopped refuses a call of nearly each of these clients
    (grpc/grpc#41785); the bridge tells them to leave before.
    """
    site = Site(tmp_path, "bridge", runtime=runtime)
    address = f"unix:{socket_path(tmp_path)}"
    site.config["listeners"]["public"]["address"] = address
    site.write()
    own = client("dns:ada.test", site.ca)
    with serving(site.path) as server:
        callers = Callers(site, address, own, count=8)
        callers.wait_for(100)
        server.signal()
        assert server.wait() == 0
    with serving(site.path):
        callers.wait_for(50)
        assert callers.end() == []
