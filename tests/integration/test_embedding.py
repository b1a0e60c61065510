"""The server as a library: `load`, `with`, `async with`, and their exceptions."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor, wait

import grpc
import grpc.aio
import pytest
from helloworld.helloworld_pb2_grpc import GreeterStub
from support.process import write_config
from support.servers import Connection, Conversation, greeting_of, hello_request
from support.services import PATIENCE

import grpcsecure
from grpcsecure.server.runtime import threads

THREADS = "helloworld.greeter:Greeter"
ASYNCIO = "helloworld.greeter_aio:Greeter"

GREETER = "from helloworld.greeter import Greeter\n"
GREETER_AIO = "from helloworld.greeter_aio import Greeter\n"

_NUMBERS = itertools.count()


@pytest.fixture(autouse=True)
def _own_import_state(monkeypatch, tmp_path):
    """Run the test in its own folder, and restore `sys.path` afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])


@pytest.fixture(name="served")
def _served(tmp_path):
    """A function that writes a user module and loads a config that serves `name`."""

    def load(text, name, *, entry=None, **server):
        module = f"embedded_{next(_NUMBERS)}"
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(text))
        path = write_config(tmp_path / "server.yaml", f"{module}:{name}", **server)
        config = json.loads(path.read_text())
        config["services"][0].update(entry or {})
        path.write_text(json.dumps(config))
        return grpcsecure.load(path)

    return load


def greet(server, listener="public"):
    """Return the greeting of a running server."""
    with grpc.insecure_channel(server.addresses[listener]) as channel:
        return greeting_of(GreeterStub(channel))


class TestLoad:
    """`load` checks the config as `validate` does, and starts nothing."""

    def test_errors_carry_their_report(self, tmp_path):
        """A bad config raises ConfigError, which has all findings as data."""
        path = tmp_path / "server.yaml"
        path.write_text("version: 1\nservces: []\n")
        with pytest.raises(grpcsecure.ConfigError, match=r"\[GS102\]") as caught:
            grpcsecure.load(path)
        assert "GS102" in {finding.code for finding in caught.value.report.findings}

    def test_missing_file_has_a_separate_error(self, tmp_path):
        """A missing file raises UnreadableConfigError, as nothing was checked."""
        with pytest.raises(grpcsecure.UnreadableConfigError, match="GS001"):
            grpcsecure.load(tmp_path / "none.yaml")

    def test_unknown_profile_names_the_nearest(self, tmp_path):
        """An unknown profile is the caller's error, not a finding about the file."""
        path = write_config(tmp_path / "server.yaml", THREADS)
        config = json.loads(path.read_text())
        path.write_text(json.dumps({**config, "profiles": {"prod": {}}}))
        with pytest.raises(grpcsecure.UsageError, match="did you mean `prod`"):
            grpcsecure.load(path, profile="prdo")

    def test_profile_and_environment_come_from_the_caller(self, tmp_path):
        """Variables are looked up in the `environ` that the caller passes."""
        path = write_config(tmp_path / "server.yaml", THREADS)
        config = json.loads(path.read_text())
        profile = {"server": {"shutdown_grace": "${GRACE}"}}
        path.write_text(json.dumps({**config, "profiles": {"small": profile}}))
        server = grpcsecure.load(path, profile="small", environ={"GRACE": "3s"})
        assert server.config.server.shutdown_grace == 3
        assert server.report.profile == "small"

    def test_warnings_are_in_the_report(self, tmp_path):
        """A config that loads may have warnings; they are in the report."""
        path = write_config(tmp_path / "server.yaml", THREADS, reflection=True)
        server = grpcsecure.load(path)
        codes = sorted(finding.code for finding in server.report.findings)
        assert codes == ["GS311", "GS410"]
        assert server.addresses == {}


class TestWith:
    """`with` serves in the background, in both runtimes."""

    @pytest.mark.parametrize("servicer", [THREADS, ASYNCIO])
    def test_serves_while_the_block_runs(self, servicer, tmp_path):
        """The server listens inside the block and no longer after it."""
        server = grpcsecure.load(write_config(tmp_path / "server.yaml", servicer))
        interval = sys.getswitchinterval()
        with server:
            assert greet(server) == "Hello, Ada! (anonymous on public)"
            assert sys.getswitchinterval() == server.config.server.switch_interval
        assert sys.getswitchinterval() == interval
        host, _, port = server.addresses["public"].rpartition(":")
        with socket.socket() as client:
            assert client.connect_ex((host, int(port))) != 0

    def test_start_and_stop_without_a_block(self, tmp_path, monkeypatch):
        """`stop` returns whether all calls could finish; stopping twice is harmless."""
        monkeypatch.setattr(threads, "_IDLE_PATIENCE", PATIENCE)  # a busy machine
        server = grpcsecure.load(write_config(tmp_path / "server.yaml", THREADS))
        server.start()
        assert greet(server).startswith("Hello")
        assert server.stop(0) is True
        assert server.stop() is True

    @pytest.mark.parametrize("servicer", ["Gated", "GatedAio"])
    @pytest.mark.parametrize("ends", [True, False])
    def test_stop_by_two_threads(self, servicer, ends, tmp_path):
        """Both calls of `stop` wait for the calls in flight and return the same."""
        path = write_config(tmp_path / "server.yaml", f"support.services:{servicer}")
        server = grpcsecure.load(path)
        server.start()
        with (
            Connection(server.addresses["public"]) as client,
            ThreadPoolExecutor(2) as pool,
        ):
            talk = Conversation(client.greeter)
            assert talk("open") == "open"
            stops = [pool.submit(server.stop) for _ in range(2)]
            client.wait_for_drain()
            assert talk("still here") == "still here"
            assert not any(stop.done() for stop in stops)
            if ends:
                assert talk.end() == []
            else:
                server.cut()
            assert [stop.result(PATIENCE) for stop in stops] == [ends] * 2

    def test_stop_while_the_loop_ends(self, tmp_path, monkeypatch):
        """A second `stop` does not submit work to a loop that is closing or closed."""
        server = grpcsecure.load(write_config(tmp_path / "server.yaml", ASYNCIO))
        server.start()
        close, late = server._background._close, []
        with ThreadPoolExecutor(1) as pool:

            def close_slowly():
                close()
                late.append(pool.submit(server.stop))
                wait(late, timeout=0.2)  # it has reached the loop, or waits for it

            monkeypatch.setattr(server._background, "_close", close_slowly)
            assert server.stop() is True
            assert late[0].result(PATIENCE) is True

    def test_starting_twice_is_an_error(self, tmp_path):
        """A running server cannot be started again."""
        server = grpcsecure.load(write_config(tmp_path / "server.yaml", THREADS))
        with server, pytest.raises(grpcsecure.GrpcSecureError, match="already"):
            server.start()

    @pytest.mark.parametrize("servicer", [THREADS, ASYNCIO])
    def test_stopped_server_does_not_start_again(self, servicer, tmp_path):
        """A restart is refused, as the audit is closed; the error suggests `load`."""
        server = grpcsecure.load(write_config(tmp_path / "server.yaml", servicer))
        with server:
            pass
        with pytest.raises(grpcsecure.GrpcSecureError, match="load a new one"):
            server.start()
        with pytest.raises(grpcsecure.GrpcSecureError, match="load a new one"), server:
            pytest.fail("it serves")

    def test_failed_start_can_be_tried_again(self, tmp_path):
        """A failed start releases the ports that it had bound, so a retry works."""
        with socket.socket() as other, socket.socket() as probe:
            for each in (other, probe):
                each.bind(("127.0.0.1", 0))
            other.listen()
            free, taken = (each.getsockname()[1] for each in (probe, other))
            probe.close()
            listeners = {
                "first": {"address": f"127.0.0.1:{free}", "plaintext": True},
                "second": {"address": f"127.0.0.1:{taken}", "plaintext": True},
            }
            path = write_config(tmp_path / "s.yaml", THREADS, listeners=listeners)
            server = grpcsecure.load(path)
            with pytest.raises(grpcsecure.BindError, match="listener `second`"):
                server.start()
        with server:
            assert greet(server, "first") == "Hello, Ada! (anonymous on first)"

    def test_interceptors_are_called(self, tmp_path):
        """Interceptors passed to `load` run before the servicers."""
        methods = []

        class Interceptor(grpc.ServerInterceptor):
            def intercept_service(self, continuation, handler_call_details):
                methods.append(handler_call_details.method)
                return continuation(handler_call_details)

        path = write_config(tmp_path / "server.yaml", THREADS)
        with grpcsecure.load(path, interceptors=[Interceptor()]) as server:
            greet(server)
        assert methods == ["/helloworld.Greeter/SayHello"]


class TestAsyncWith:
    """`async with` serves on the caller's event loop, or in threads beside it."""

    def test_asyncio_servicer_runs_on_the_callers_loop(self, served):
        """Servicers are created on the caller's loop too, and may use it."""
        server = served(
            """\
            import asyncio
            from helloworld.greeter_aio import Greeter

            class Mine(Greeter):
                def __init__(self):
                    super().__init__(asyncio.get_running_loop().name)
            """,
            "Mine",
        )

        async def main():
            asyncio.get_running_loop().name = "mine"
            async with server:
                async with grpc.aio.insecure_channel(
                    server.addresses["public"]
                ) as channel:
                    reply = await GreeterStub(channel).SayHello(
                        hello_request(), timeout=PATIENCE
                    )
                with pytest.raises(grpcsecure.GrpcSecureError, match="async with"):
                    server.stop()
                return reply.message

        assert asyncio.run(main()).startswith("mine, Ada!")

    def test_plain_servicer_runs_in_threads(self, tmp_path):
        """The loop stays free while the threads serve."""
        server = grpcsecure.load(write_config(tmp_path / "server.yaml", THREADS))

        async def main():
            async with server:
                return await asyncio.to_thread(greet, server)

        assert asyncio.run(main()) == "Hello, Ada! (anonymous on public)"

    def test_running_call_finishes_when_the_block_ends(self, served):
        """Leaving the block drains: a call in flight finishes."""
        server = served(
            f"""\
            import asyncio
            {GREETER_AIO.strip()}

            class Slow(Greeter):
                entered = asyncio.Event()
                release = asyncio.Event()

                async def SayHello(self, request, context):
                    self.entered.set()
                    await self.release.wait()
                    return await super().SayHello(request, context)
            """,
            "Slow",
        )
        (service,) = server.services
        slow = service.target

        async def main():
            async with server:
                channel = grpc.aio.insecure_channel(server.addresses["public"])
                call = GreeterStub(channel).SayHello(hello_request(), timeout=PATIENCE)
                await slow.entered.wait()
                asyncio.get_running_loop().call_soon(slow.release.set)
            reply = await call
            await channel.close()
            return reply.message

        assert asyncio.run(main()).startswith("Hello, Ada!")

    @pytest.mark.parametrize("servicer", [THREADS, ASYNCIO])
    def test_stopped_server_does_not_start_again(self, servicer, tmp_path):
        """A restart is refused, as the audit is closed; the error suggests `load`."""
        server = grpcsecure.load(write_config(tmp_path / "server.yaml", servicer))

        async def serve():
            async with server:
                pass

        asyncio.run(serve())
        with pytest.raises(grpcsecure.GrpcSecureError, match="load a new one"):
            asyncio.run(serve())
        with pytest.raises(grpcsecure.GrpcSecureError, match="load a new one"):
            server.start()


class TestServicers:
    """Each way to name a servicer in a config: it is created, and it is called."""

    def test_class_with_arguments(self, served):
        """The arguments in `with` are passed to the constructor."""
        entry = {"with": {"greeting": "Ahoy"}}
        with served(GREETER, "Greeter", entry=entry) as server:
            assert greet(server).startswith("Ahoy, Ada!")

    def test_instance(self, served):
        """A module attribute that is an instance is served as it is."""
        with served(f"{GREETER}mine = Greeter('Hey')\n", "mine") as server:
            assert greet(server).startswith("Hey, Ada!")

    @pytest.mark.parametrize("annotation", ["", " -> Greeter"])
    def test_factory(self, annotation, served):
        """A factory is called once, annotated or not."""
        text = f"""\
            {GREETER.strip()}
            calls = []
            def make(greeting){annotation}:
                calls.append(greeting)
                return Greeter(greeting + str(len(calls)))
            """
        entry = {"with": {"greeting": "Hi"}}
        with served(text, "make", entry=entry) as server:
            assert greet(server).startswith("Hi1, Ada!")

    def test_explicit_register(self, served):
        """With `register` given, any object that has the methods can serve."""
        text = """\
            from helloworld.helloworld_pb2 import HelloReply
            class Duck:
                def SayHello(self, request, context):
                    return HelloReply(message="quack")
                SayHelloManyTimes = SayHelloToAll = Chat = SayHello
            """
        register = "helloworld.helloworld_pb2_grpc:add_GreeterServicer_to_server"
        with served(text, "Duck", entry={"register": register}) as server:
            assert greet(server) == "quack"

    def test_two_services_of_one_class(self, served):
        """A class with two generated bases serves both, with one object."""
        from grpc_health.v1.health_pb2 import HealthCheckRequest
        from grpc_health.v1.health_pb2_grpc import HealthStub

        text = """\
            from grpc_health.v1 import health_pb2, health_pb2_grpc
            from helloworld.greeter import Greeter
            class Both(Greeter, health_pb2_grpc.HealthServicer):
                def Check(self, request, context):
                    return health_pb2.HealthCheckResponse(status=2)
            """
        with served(text, "Both", health=False) as server:
            assert greet(server).startswith("Hello, Ada!")
            with grpc.insecure_channel(server.addresses["public"]) as channel:
                answer = HealthStub(channel).Check(
                    HealthCheckRequest(), timeout=PATIENCE
                )
            assert answer.status == 2

    def test_decorated_and_partial_coroutines_need_asyncio(self, served):
        """`runtime: auto` sees a coroutine through decorators and partials."""
        text = """\
            import functools
            from helloworld.helloworld_pb2 import HelloReply
            from helloworld.helloworld_pb2_grpc import GreeterServicer

            def decorated(function):
                @functools.wraps(function)
                def wrapper(*arguments):
                    return function(*arguments)
                return wrapper

            async def greet(word, request, context):
                return HelloReply(message=f"{word}, {request.name}")

            class Mine(GreeterServicer):
                SayHello = staticmethod(functools.partial(greet, "partial"))

                @decorated
                async def Chat(self, request_iterator, context):
                    async for request in request_iterator:
                        yield HelloReply(message=request.name)
            """
        with served(text, "Mine") as server:
            assert greet(server) == "partial, Ada"
            with grpc.insecure_channel(server.addresses["public"]) as channel:
                replies = GreeterStub(channel).Chat(
                    iter([hello_request("x")]), timeout=PATIENCE
                )
                assert [reply.message for reply in replies] == ["x"]

    @pytest.mark.parametrize("annotation", ["", " -> GreeterServicer", " -> Plain"])
    def test_factory_of_coroutines_is_never_run_in_threads(self, annotation, served):
        """The object that a factory returns decides, not its annotation."""
        text = f"""\
            from helloworld.greeter import Greeter as Plain
            from helloworld.helloworld_pb2_grpc import GreeterServicer
            {GREETER_AIO.strip()}
            class Derived(Greeter, Plain): ...
            def make(){annotation}:
                return Derived()
            """
        with served(text, "make") as server:
            assert greet(server) == "Hello, Ada! (anonymous on public)"

    def test_factory_of_coroutines_under_threads_is_refused(self, served):
        """`runtime: threads` fails at the start, once the factory has returned."""
        text = f"{GREETER_AIO}def make():\n    return Greeter()\n"
        server = served(text, "make", runtime="threads")
        with pytest.raises(grpcsecure.StartupError, match="coroutines"):
            server.start()

    def test_factory_that_returns_no_servicer_is_refused(self, served):
        """The message has the type of the object that was returned instead."""
        server = served("def make():\n    return []\n", "make")
        with pytest.raises(
            grpcsecure.StartupError, match="returned list, which has no"
        ):
            server.start()

    def test_factory_that_does_not_fit_its_register_function_is_refused(self, served):
        """An explicit `register` is tried before anything is bound."""
        register = "helloworld.helloworld_pb2_grpc:add_GreeterServicer_to_server"
        server = served(
            "def make():\n    return []\n", "make", entry={"register": register}
        )
        with pytest.raises(grpcsecure.StartupError, match="does not fit what"):
            server.start()

    def test_factory_of_a_service_that_is_already_served_is_refused(self, served):
        """Two servicers of one service are detected at the start at the latest."""
        text = """\
            from grpc_health.v1.health import HealthServicer
            def make():
                return HealthServicer()
            """
        with pytest.raises(grpcsecure.StartupError, match="as grpcsecure does"):
            served(text, "make").start()


def test_calls_run_side_by_side(served):
    """As many calls run at once as there are threads."""
    text = f"""\
        import threading
        {GREETER.strip()}
        barrier = threading.Barrier(3)
        class Meets(Greeter):
            def SayHello(self, request, context):
                barrier.wait({PATIENCE})
                return super().SayHello(request, context)
        """
    with served(text, "Meets", threads=3) as server:
        callers = [threading.Thread(target=greet, args=(server,)) for _ in range(3)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(PATIENCE)
            assert not caller.is_alive()


def test_public_names_exist():
    """Every name in `__all__` can be loaded; an unknown one is an AttributeError."""
    for name in grpcsecure.__all__:
        assert getattr(grpcsecure, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = grpcsecure.no_such_name
