"""Draining over TLS, with both engines and both runtimes, also during a reload."""

from __future__ import annotations

import os
import signal
import threading

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from support.bridge import eventually
from support.process import pid_1, serving
from support.reloading import (
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


@pytest.fixture(name="site", params=["grpc", "bridge"])
def _site(request, runtime, tmp_path):
    """A site whose servicer keeps calls open on request."""
    return Site(tmp_path, request.param, runtime=runtime, servicer=GATED[runtime])


@pytest.fixture(name="runtime", params=["threads", "asyncio"])
def _runtime(request):
    """The name of a runtime."""
    return request.param


def test_drain(site):
    """A drain lets calls in flight finish and refuses new ones; the exit code is 0.

    Before that, health watches get NOT_SERVING and end.
    """
    own = client("dns:ada.test", site.ca)
    gone = threading.Event()
    with serving(site.path) as server:
        address = server.addresses["public"]
        with (
            channel(site, address, own) as greeter,
            channel(site, address, own, gone=gone) as second,
            open_channel(site, address, own) as watching,
        ):
            watch = HealthStub(watching).Watch(HealthCheckRequest(), timeout=PATIENCE)
            assert next(watch).status == HealthCheckResponse.SERVING
            talk = Conversation(greeter)
            unary = greeter.SayHello.future(hello_request(), timeout=PATIENCE)
            assert talk("entered") == "entered"
            server.signal()
            assert next(watch).status == HealthCheckResponse.NOT_SERVING
            # The watch ends, so that no watcher delays the drain.
            assert list(watch) == []
            assert gone.wait(PATIENCE)
            # On a new connection, and on the one that is still in use.
            assert refusal(second) is grpc.StatusCode.UNAVAILABLE
            assert refusal(greeter) is grpc.StatusCode.UNAVAILABLE
            for word in ("still", "here"):
                assert talk(word) == word
            assert talk("open") == "open"
            assert unary.result().message == "done"
            assert talk.end() == []
            assert server.wait() == 0
            assert "bridge.died" not in server.stderr


def test_draining_server_leaves_its_socket_path_to_the_next(site):
    """A server that binds a draining server's unix path keeps it when that one ends."""
    path = socket_path(site.folder)
    site.config["listeners"]["public"]["address"] = f"unix:{path}"
    site.write()
    own = client("dns:ada.test", site.ca)
    gone = threading.Event()
    with serving(site.path) as old:
        address = old.addresses["public"]
        with (
            channel(site, address, own) as greeter,
            channel(site, address, own, gone=gone),
        ):
            talk = Conversation(greeter)
            assert talk("one") == "one"
            old.signal()
            assert gone.wait(PATIENCE)
            with serving(site.path) as new:
                assert talk("two") == "two"
                assert talk.end() == []
                assert old.wait() == 0
                with channel(site, address, own) as late:
                    talk = Conversation(late)
                    assert talk("three") == "three"
                    assert talk.end() == []
                new.signal()
                assert new.wait() == 0
    assert not path.exists()


def test_longest_durations(site):
    """With every duration at its maximum a server serves and drains."""
    longest = "366d"
    server = site.config["server"]
    server["shutdown_grace"] = server["switch_interval"] = longest
    site.config["reload"] = {"interval": longest}
    listener = site.config["listeners"]["public"]
    listener["max_connection_age"] = listener["max_connection_age_grace"] = longest
    listener["tls"]["handshake_timeout"] = longest
    site.write()
    with serving(site.path) as process:
        address = process.addresses["public"]
        with channel(site, address, client("dns:ada.test", site.ca)) as greeter:
            talk = Conversation(greeter)
            assert talk("one") == "one"
            process.signal()
            assert talk("two") == "two"
            assert talk.end() == []
            assert process.wait() == 0
            assert "bridge.died" not in process.stderr


@pytest.mark.parametrize("how", ["grace", "second signal"])
def test_long_streams_are_cut(how, site):
    """Streams are cut after the grace period or at a second signal; exit code 4."""
    grace = {"grace": "1s", "second signal": "1h"}[how]
    site.config["server"]["shutdown_grace"] = grace
    site.write()
    own = client("dns:ada.test", site.ca)
    gone = threading.Event()
    with serving(site.path) as server:
        address = server.addresses["public"]
        with (
            channel(site, address, own) as greeter,
            channel(site, address, own, gone=gone),
        ):
            talk = Conversation(greeter)
            assert talk("one") == "one"
            server.signal()
            assert gone.wait(PATIENCE)
            assert talk("two") == "two"
            if how == "second signal":
                server.signal()
            assert failure(talk.wait_for_end)[0] in CUT
            assert server.wait() == 4


class TestWithReloads:
    """Stop signals that arrive while files change."""

    def test_drain_during_a_reload(self, site):
        """A reload in progress neither delays a drain nor makes it fail."""
        own = client("dns:ada.test", site.ca)
        with serving(site.path) as server:
            with channel(site, server.addresses["public"], own) as greeter:
                talk = Conversation(greeter)
                assert talk("one") == "one"
                site.rotate()
                site.put("ca.pem", text_of(site.ca, authority("other")))
                server.signal(signal.SIGHUP)
                server.signal()
                assert talk("two") == "two"
                assert talk.end() == []
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
        own = client("dns:ada.test", site.ca)
        gone = threading.Event()
        with serving(site.path) as server:
            address = server.addresses["public"]
            with (
                channel(site, address, own) as greeter,
                channel(site, address, own, gone=gone),
            ):
                talk = Conversation(greeter)
                assert talk("one") == "one"
                server.signal()
                assert gone.wait(PATIENCE)
                site.put("ca.pem", text_of(authority("other")))
                server.signal(signal.SIGHUP)
                assert talk("two") == "two"
                assert talk.end() == []
            assert server.wait() == 0
            assert "reload." not in server.stderr

    def test_many_hangups_do_no_harm(self, site):
        """A burst of SIGHUPs leads to one reload after the other and no crash."""
        own = client("dns:ada.test", site.ca)
        with serving(site.path) as server:
            for _ in range(50):
                server.signal(signal.SIGHUP)
            eventually(lambda: "reload.unchanged" in server.stderr)
            with channel(site, server.addresses["public"], own) as greeter:
                talk = Conversation(greeter)
                assert talk("one") == "one"
                assert talk.end() == []
            server.signal()
            assert server.wait() == 0
            assert "Traceback" not in server.stderr


def test_as_pid_1(site):
    """As process 1 of a container it reloads, drains and ends its bridge process."""
    own = client("dns:ada.test", site.ca)
    with serving(site.path, prefix=pid_1()) as server:
        with channel(site, server.addresses["public"], own) as greeter:
            talk = Conversation(greeter)
            assert talk("one") == "one"
            inner = server.child
            site.rotate()
            os.kill(inner, signal.SIGHUP)
            eventually(lambda: "reload.applied" in server.stderr)
            os.kill(inner, signal.SIGTERM)
            assert talk("two") == "two"
            assert talk.end() == []
        assert server.wait() == 0
        assert "pid 1  " in server.stderr


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
