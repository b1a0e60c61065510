"""`grpcsecure.health`: the health that a service sets, as clients see it."""

from __future__ import annotations

import asyncio
import itertools
import sys
import textwrap

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from helloworld.helloworld_pb2_grpc import GreeterStub
from support.process import run, serving, write_config
from support.servers import failure, greeting_of
from support.services import PATIENCE

import grpcsecure

SERVICE = "helloworld.Greeter"
SERVING = HealthCheckResponse.SERVING
NOT_SERVING = HealthCheckResponse.NOT_SERVING

#: A service that sets its health to the name that it is called with.
MODULES = {
    "threads": """
        import grpcsecure
        from support.services import GreeterServicer, reply

        class Greeter(GreeterServicer):
            def __init__(self, *, ready=True):
                self.health = grpcsecure.health("helloworld.Greeter")
                self.health.set(serving=ready)

            def SayHello(self, request, context):
                if request.name == "typo":
                    grpcsecure.health("helloworld.Greter").set(serving=True)
                self.health.set(serving=request.name == "up")
                return reply(request.name)
        """,
    "asyncio": """
        import asyncio
        import grpcsecure
        from support.services import GreeterServicer, reply

        class Greeter(GreeterServicer):
            def __init__(self, *, ready=True):
                self.health = grpcsecure.health("helloworld.Greeter")
                self.health.set(serving=ready)

            async def SayHello(self, request, context):
                if request.name == "typo":
                    grpcsecure.health("helloworld.Greter").set(serving=True)
                if request.name == "up":
                    self.health.set(serving=True)
                else:
                    await asyncio.to_thread(self.health.set, serving=False)
                return reply(request.name)
        """,
}

_NUMBERS = itertools.count()


@pytest.fixture(name="load")
def _load(tmp_path, monkeypatch):
    """A function that writes a module and loads a config that serves its `Greeter`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])

    def load(text, **arguments):
        module = f"healthy_{next(_NUMBERS)}"
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(text))
        entry = {"servicer": f"{module}:Greeter", "with": arguments}
        config = write_config(tmp_path / f"{module}.json", entry)
        return grpcsecure.load(config)

    return load


@pytest.fixture(name="server", params=list(MODULES))
def _server(request, load):
    """A running server of a service that sets its own health."""
    with load(MODULES[request.param]) as server:
        yield server


@pytest.fixture(name="channel")
def _channel(server):
    """A connection to it."""
    with grpc.insecure_channel(server.addresses["public"]) as channel:
        yield channel


def check(channel, service=SERVICE):
    """Return the status of a service."""
    request = HealthCheckRequest(service=service)
    return HealthStub(channel).Check(request, timeout=PATIENCE).status


def status_of(server, service=SERVICE):
    """Return the status of a service of a server, asked on a connection of its own."""
    with grpc.insecure_channel(server.addresses["public"]) as channel:
        return check(channel, service)


def watch(channel, service=SERVICE):
    """Begin to watch, and return the stream of statuses."""
    request = HealthCheckRequest(service=service)
    replies = HealthStub(channel).Watch(request, timeout=PATIENCE)
    return (reply.status for reply in replies)


def test_service_sets_its_health(channel):
    """Check answers what a handler has set; the server as a whole is not changed."""
    greeter = GreeterStub(channel)
    assert check(channel) == SERVING
    greeting_of(greeter, "down")
    assert check(channel) == NOT_SERVING
    assert check(channel, "") == SERVING
    greeting_of(greeter, "up")
    assert check(channel) == SERVING


def test_watch_streams_each_change(server, channel):
    """A watching client gets each status, and NOT_SERVING when the server drains."""
    greeter, statuses, other = GreeterStub(channel), watch(channel), watch(channel, "")
    assert (next(statuses), next(other)) == (SERVING, SERVING)
    greeting_of(greeter, "down")
    assert next(statuses) == NOT_SERVING
    greeting_of(greeter, "up")
    assert next(statuses) == SERVING
    assert server.stop() is True
    assert [list(statuses), list(other)] == [[NOT_SERVING], [NOT_SERVING]]


@pytest.mark.skipif(
    not hasattr(health_pb2, "HealthListResponse"),
    reason="grpcio-health-checking has no List",
)
def test_list_has_what_was_set(channel):
    """List has the status of each service."""
    greeting_of(GreeterStub(channel), "down")
    listed = HealthStub(channel).List(health_pb2.HealthListRequest(), timeout=PATIENCE)
    statuses = {name: each.status for name, each in listed.statuses.items()}
    assert statuses == {"": SERVING, SERVICE: NOT_SERVING}


def test_unknown_service_names_the_nearest(server, channel):
    """A name that no servicer provides is an error, and changes nothing."""
    code, details = failure(lambda: greeting_of(GreeterStub(channel), "typo"))
    assert code is grpc.StatusCode.UNKNOWN
    assert (
        "no service `helloworld.Greter`; did you mean `helloworld.Greeter`" in details
    )
    with pytest.raises(
        grpcsecure.UsageError, match=r"did you mean `helloworld\.Greeter"
    ):
        server.health("Greeter").set(serving=False)
    assert check(channel) == SERVING


@pytest.mark.parametrize("runtime", MODULES)
def test_constructor_sets_the_health_of_its_own_server(load, runtime):
    """Two servers of one program have a health each, from their first answer on."""
    with (
        load(MODULES[runtime], ready=False) as one,
        load(MODULES[runtime], ready=True) as two,
    ):
        assert [status_of(one), status_of(two)] == [NOT_SERVING, SERVING]
        one.health(SERVICE).set(serving=True)
        two.health().set(serving=False)
        assert [status_of(one), status_of(two)] == [SERVING, SERVING]
        assert [status_of(one, ""), status_of(two, "")] == [SERVING, NOT_SERVING]
        grpcsecure.health(SERVICE).set(serving=False)  # elsewhere: of all servers
        assert [status_of(one), status_of(two)] == [NOT_SERVING, NOT_SERVING]


@pytest.mark.parametrize("runtime", MODULES)
def test_what_a_server_sets_at_its_end_is_not_for_the_next(load, runtime):
    """A server that starts after another one has ended begins as SERVING."""
    with load(MODULES[runtime]) as server:
        assert status_of(server) == SERVING
    grpcsecure.health(SERVICE).set(serving=False)  # as a close hook may
    text = "from helloworld.greeter import Greeter"
    with load(text) as server:
        assert status_of(server) == SERVING


def test_async_with_sets_health_on_the_loop(load):
    """It works on the caller's event loop, too."""

    async def serve():
        async with load(MODULES["asyncio"]) as server:
            server.health(SERVICE).set(serving=False)
            return await asyncio.to_thread(status_of, server)

    assert asyncio.run(serve()) == NOT_SERVING


def test_module_sets_health_when_it_is_imported(tmp_path):
    """`serve` begins with what the module has set; a handler may change it."""
    text = """
        import grpcsecure
        from support.services import GreeterServicer, reply

        HEALTH = grpcsecure.health("helloworld.Greeter")
        HEALTH.set(serving=False)

        class Greeter(GreeterServicer):
            def SayHello(self, request, context):
                HEALTH.set(serving=True)
                return reply("up")
        """
    (tmp_path / "warming.py").write_text(textwrap.dedent(text))
    config = write_config(tmp_path / "server.json", "warming:Greeter")
    with (
        serving(config, cwd=tmp_path) as server,
        grpc.insecure_channel(server.addresses["public"]) as channel,
    ):
        statuses = watch(channel)
        assert next(statuses) == NOT_SERVING
        greeting_of(GreeterStub(channel))
        assert next(statuses) == SERVING


def test_unknown_service_at_import_stops_the_start(tmp_path):
    """A wrong name that a module sets at import is found before anything listens."""
    text = """
        import grpcsecure
        from helloworld.greeter import Greeter
        grpcsecure.health("helloworld.Greter").set(serving=False)
        """
    (tmp_path / "mistaken.py").write_text(textwrap.dedent(text))
    config = write_config(tmp_path / "server.json", "mistaken:Greeter")
    done = run("serve", config, cwd=tmp_path)
    assert done.returncode == 3
    assert done.stderr == (
        "error: the health of `helloworld.Greter` was set, which no servicer provides;"
        " did you mean `helloworld.Greeter`?\n"
    )
