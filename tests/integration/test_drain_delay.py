"""`server.drain_delay`: health is NOT_SERVING, and the server still serves."""

from __future__ import annotations

import asyncio
import signal
import threading
from contextlib import contextmanager

import grpc
import grpc.aio
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from helloworld.helloworld_pb2_grpc import GreeterStub
from support.bridge import eventually
from support.process import serving, write_config
from support.reloading import MODES, PATIENCE, Site, channel, client, open_channel
from support.servers import Conversation, failure, greeting_of, hello_request

import grpcsecure

GATED = {
    "threads": "support.services:Gated",
    "asyncio": "support.services:GatedAio",
}
GREETERS = ["helloworld.greeter:Greeter", "helloworld.greeter_aio:Greeter"]

SERVING = HealthCheckResponse.SERVING
NOT_SERVING = HealthCheckResponse.NOT_SERVING

CUT = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


@pytest.fixture(name="site", params=["threads", "asyncio"])
def _site(request, tmp_path):
    """A site with a listener of each engine and a plaintext one for probes."""
    site = Site(
        tmp_path, "bridge", runtime=request.param, servicer=GATED[request.param]
    )
    public = site.config["listeners"].pop("public")
    for engine, mode in MODES.items():
        tls = {**public["tls"], "engine": engine, "client_certificate": mode}
        site.config["listeners"][engine] = {**public, "tls": tls}
    site.config["listeners"]["probes"] = {
        "address": "127.0.0.1:0",
        "plaintext": True,
        "services": ["grpc.health.v1.Health"],
    }
    return site


def delay(site, how_long):
    """Set the delay of a site."""
    site.config["server"].update(drain_delay=how_long, shutdown_grace="1h")
    site.write()


def health(channel, service=""):
    """Return the answer of `Check`."""
    request = HealthCheckRequest(service=service)
    return HealthStub(channel).Check(request, timeout=PATIENCE).status


def test_it_serves_on_with_health_not_serving(site):
    """New connections and calls are served until the delay ends, by a second signal.

    Watches get NOT_SERVING and go on, probes are answered, and a reload is applied.
    """
    delay(site, "1h")
    own = client("dns:ada.test", site.ca)
    with (
        serving(site.path) as server,
        grpc.insecure_channel(server.addresses["probes"]) as probes,
    ):
        watch = HealthStub(probes).Watch(HealthCheckRequest(), timeout=2 * PATIENCE)
        assert next(watch).status == SERVING
        server.signal()
        list(iter(server.next_notification, "STOPPING=1"))  # a status comes before it
        assert next(watch).status == NOT_SERVING
        assert health(probes) == NOT_SERVING
        assert health(probes, "helloworld.Greeter") == NOT_SERVING
        site.rotate()
        eventually(lambda: "reload.applied" in server.stderr)
        for engine in MODES:
            with channel(site, server.addresses[engine], own) as greeter:
                talk = Conversation(greeter)
                assert talk("late") == "late"
                assert talk.end() == []
        with open_channel(site, server.addresses["bridge"], own) as late:
            assert health(late) == NOT_SERVING
            talk = Conversation(GreeterStub(late))
            assert talk("running") == "running"
            server.signal(signal.SIGINT)
            assert failure(talk.wait_for_end)[0] in CUT
        assert server.wait() == 4
        assert "reason=SIGTERM  grace=1h  delay=1h" in server.stderr
        assert "warning: server.cutting  reason=second signal" in server.stderr


def test_the_drain_follows(site):
    """After the delay a running call finishes, and the exit code is 0."""
    delay(site, "10ms")
    own = client("dns:ada.test", site.ca)
    gone = threading.Event()
    with serving(site.path) as server:
        address = server.addresses["grpc"]
        with (
            channel(site, address, own) as greeter,
            channel(site, address, own, gone=gone) as idle,
        ):
            Conversation(idle).end()
            talk = Conversation(greeter)
            assert talk("running") == "running"
            server.signal()
            assert gone.wait(PATIENCE)
            assert talk("still here") == "still here"
            assert talk.end() == []
        assert server.wait() == 0
        assert "server.cutting" not in server.stderr


@contextmanager
def embedded(tmp_path, servicer):
    """Yield a started server with a delay of an hour, and a channel to it."""
    path = write_config(tmp_path / "server.yaml", servicer, drain_delay="1h")
    server = grpcsecure.load(path)
    server.start()
    try:
        with grpc.insecure_channel(server.addresses["public"]) as to_it:
            yield server, to_it
    finally:
        server.stop(0)


@pytest.mark.parametrize("servicer", GREETERS)
def test_embedded_stop_waits_until_cut(servicer, tmp_path):
    """`stop()` keeps serving for the delay; `cut()` of another thread ends it."""
    with embedded(tmp_path, servicer) as (server, to_it):
        assert health(to_it) == SERVING
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        eventually(lambda: health(to_it) == NOT_SERVING)
        server.health("helloworld.Greeter").set(serving=True)
        assert health(to_it, "helloworld.Greeter") == NOT_SERVING
        assert greeting_of(GreeterStub(to_it)).startswith("Hello")
        server.cut()
        stopping.join(PATIENCE)
        assert not stopping.is_alive()


@pytest.mark.parametrize("servicer", GREETERS)
def test_stop_with_a_grace_has_no_delay(servicer, tmp_path):
    """A program that gives the grace itself does not wait an hour before it."""
    with embedded(tmp_path, servicer) as (server, to_it):
        assert health(to_it) == SERVING
        server.stop(1)
        assert failure(lambda: health(to_it))[0] is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("servicer", GREETERS)
def test_end_of_async_with(servicer, tmp_path):
    """`async with` serves for the delay too; a cancelled task drains at once."""
    path = write_config(tmp_path / "server.yaml", servicer, drain_delay="1h")

    async def is_over(address):
        """Return whether the delay has begun, and a new call is served in it."""
        async with grpc.aio.insecure_channel(address) as to_it:
            response = await HealthStub(to_it).Check(HealthCheckRequest())
            if response.status == NOT_SERVING:
                call = GreeterStub(to_it).SayHello(hello_request())
                assert (await call).message.startswith("Hello")
            return response.status == NOT_SERVING

    async def main():
        server = grpcsecure.load(path)

        async def serve():
            async with server:
                started.set()

        started = asyncio.Event()
        task = asyncio.create_task(serve())
        await started.wait()
        while not await is_over(server.addresses["public"]):
            pass
        if servicer == GREETERS[0]:  # its threads are beside the loop
            server.cut()
            await task
        else:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        async with grpc.aio.insecure_channel(server.addresses["public"]) as to_it:
            with pytest.raises(grpc.aio.AioRpcError):
                await HealthStub(to_it).Check(HealthCheckRequest())

    asyncio.run(main())
