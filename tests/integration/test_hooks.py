"""Start and close hooks of servicers, in both runtimes, in `serve` and embedded."""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import textwrap

import grpc
import pytest
from helloworld.helloworld_pb2_grpc import GreeterStub
from support.bridge import eventually
from support.process import run, serving, write_config
from support.servers import greeting_of

import grpcsecure

RUNTIMES = ["threads", "asyncio"]

#: Two servicers that note in `LOG` what runs, and on which thread coroutines run.
MODULE = """
    import asyncio
    import threading
    from helloworld.greeter import Greeter as Plain
    from helloworld.greeter_aio import Greeter as Aio

    LOG = []

    def note(text):
        LOG.append(text)
        print(text, flush=True)

    class Managed(Plain):
        def __enter__(self):
            note("enter")
            return "ignored"

        def __exit__(self, *error):
            note(f"exit {error}")

    class ManagedAio(Aio):
        async def __aenter__(self):
            self.thread = threading.current_thread()
            self.loop = asyncio.get_running_loop()
            note("enter")

        async def __aexit__(self, *error):
            assert asyncio.get_running_loop() is self.loop
            assert threading.current_thread() is self.thread
            note(f"exit {error}")

    class Both(ManagedAio):
        def __enter__(self):
            raise AssertionError("asyncio prefers __aenter__")

        def __exit__(self, *error):
            raise AssertionError("asyncio prefers __aexit__")

    def connect(servicer):
        note(f"connect {type(servicer).__name__}")

    async def connect_aio(servicer):
        note(f"connect {type(servicer).__name__}")

    def disconnect():
        note("disconnect")

    async def disconnect_aio():
        note("disconnect")

    def fail(servicer=None):
        raise RuntimeError("no database for s3cret")

    async def fail_aio():
        raise RuntimeError("no database for s3cret")

    def hang():
        note("hanging")
        threading.Event().wait()

    async def hang_aio():
        note("hanging")
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                pass
    """

_NUMBERS = itertools.count()

#: A second servicer, of another service, that notes its own ends.
SECOND = """
    class SecondServicer:
        def Ask(self, request, context):
            return request

        def __enter__(self):
            note("second enter")

        def __exit__(self, *error):
            note("second exit")

    def add_SecondServicer_to_server(servicer, server):
        import grpc
        handlers = {"Ask": grpc.unary_unary_rpc_method_handler(servicer.Ask)}
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("a.Second", handlers),)
        )
    """

MANAGED = {"threads": "Managed", "asyncio": "ManagedAio"}
SUFFIX = {"threads": "", "asyncio": "_aio"}


@pytest.fixture(name="write")
def _write(tmp_path, monkeypatch):
    """A function that writes the module and a config with these entries."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])

    def write(*entries, **server):
        module = f"hooked_{next(_NUMBERS)}"
        text = textwrap.dedent(MODULE) + textwrap.dedent(SECOND)
        (tmp_path / f"{module}.py").write_text(text)
        path = write_config(tmp_path / f"{module}.json", "x:X", **server)
        config = json.loads(path.read_text())
        config["services"] = [
            {
                key: f"{module}:{value}" if isinstance(value, str) else value
                for key, value in entry.items()
            }
            for entry in entries
        ]
        path.write_text(json.dumps(config))
        return path, module

    return write


def greet(server):
    """Call a running server."""
    with grpc.insecure_channel(server.addresses["public"]) as channel:
        return greeting_of(GreeterStub(channel))


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_order(write, runtime):
    """Hooks start in the order of the config, and close in reverse after the drain."""
    suffix = SUFFIX[runtime]
    path, module = write(
        {
            "servicer": MANAGED[runtime],
            "start": f"connect{suffix}",
            "close": f"disconnect{suffix}",
        },
        {"servicer": "SecondServicer"},
    )
    server = grpcsecure.load(path)
    log = sys.modules[module].LOG
    assert log == []  # loading, as validating, runs no hook
    with server:
        started = ["enter", f"connect {MANAGED[runtime]}", "second enter"]
        assert log == started
        assert "Hello, Ada!" in greet(server)
        assert log == started
    nothing = "exit (None, None, None)"
    assert log[len(started) :] == ["second exit", "disconnect", nothing]


def test_async_with_runs_them_on_the_loop(write):
    """On the caller's loop, `__aenter__` comes before `__enter__`."""
    path, module = write({"servicer": "Both", "close": "disconnect"})

    async def serve():
        async with grpcsecure.load(path):
            pass

    asyncio.run(serve())
    log = sys.modules[module].LOG
    assert log == ["enter", "disconnect", "exit (None, None, None)"]


def test_async_hook_chooses_asyncio(write):
    """`runtime: auto` is asyncio if a hook is a coroutine; plain methods still run."""
    path, module = write({"servicer": "Managed", "start": "connect_aio"})
    with grpcsecure.load(path) as server:
        assert "Hello, Ada!" in greet(server)
    assert sys.modules[module].LOG[:2] == ["enter", "connect Managed"]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_failing_start_closes_what_has_started(write, runtime):
    """The end is exit code 3 with the traceback, without values of `with`."""
    suffix = SUFFIX[runtime]
    path, module = write(
        {"servicer": "SecondServicer", "close": f"disconnect{suffix}"},
        {
            "servicer": MANAGED[runtime],
            "start": f"fail{suffix}",
            "close": "hang",
            "with": {"greeting": "s3cret"},
        },
    )
    done = run("serve", path, cwd=path.parent)
    assert done.returncode == 3
    assert f"error: `{module}:fail{suffix}` raised RuntimeError\n" in done.stderr
    assert "RuntimeError: no database for …" in done.stderr
    assert f"{module}.py" in done.stderr
    assert "s3cret" not in done.stderr
    assert done.stdout.splitlines() == [
        "second enter",
        "enter",
        "exit (None, None, None)",
        "disconnect",
        "second exit",
    ]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_taken_port_closes_what_has_started(write, runtime):
    """If a listener cannot be bound, the servicers are closed again."""
    first, _ = write({"servicer": MANAGED[runtime]})
    with grpcsecure.load(first) as server:
        path, module = write({"servicer": MANAGED[runtime]})
        config = json.loads(path.read_text())
        config["listeners"]["public"]["address"] = server.addresses["public"]
        path.write_text(json.dumps(config))
        second = grpcsecure.load(path)
        with pytest.raises(grpcsecure.BindError):
            second.start()
    assert sys.modules[module].LOG == ["enter", "exit (None, None, None)"]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_failing_close_is_logged_and_the_others_close(write, runtime):
    """An exception at the end is an event with its traceback; the exit code stays 0."""
    suffix = SUFFIX[runtime]
    path, module = write(
        {"servicer": MANAGED[runtime]},
        {"servicer": "SecondServicer", "close": f"fail{suffix}"},
    )
    with serving(path, "--log-format", "json", cwd=path.parent) as server:
        server.signal()
        assert server.wait() == 0
        lines = server.stderr.splitlines()
        # gRPC core may write lines of its own.
        events = [json.loads(line) for line in lines if line.startswith("{")]
        assert server.stdout.splitlines()[-2:] == [
            "second exit",
            "exit (None, None, None)",
        ]
    (failed,) = [one for one in events if one["event"] == "service.close_failed"]
    assert failed["hook"] == f"{module}:fail{suffix}"
    assert failed["reason"] == "raised RuntimeError"
    assert failed["traceback"].endswith("RuntimeError: no database for s3cret")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_hanging_close_is_left(write, runtime):
    """A hook that does not return is logged after the grace; the others close."""
    suffix = SUFFIX[runtime]
    path, module = write(
        {"servicer": MANAGED[runtime], "close": f"hang{suffix}"}, shutdown_grace="0s"
    )
    with serving(path, cwd=path.parent) as server:
        server.signal()
        assert server.wait() == 0
        assert server.stdout.splitlines()[-2:] == ["hanging", "exit (None, None, None)"]
        assert (
            f"service.close_failed  hook={module}:hang{suffix}"
            "  reason=still runs when its time is over" in server.stderr
        )


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_second_signal_shortens_a_hanging_close(write, runtime):
    """The second signal does not wait for the grace; the other hooks still run."""
    suffix = SUFFIX[runtime]
    path, _ = write(
        {"servicer": MANAGED[runtime], "close": f"hang{suffix}"}, shutdown_grace="1h"
    )
    with serving(path, cwd=path.parent) as server:
        server.signal()
        eventually(lambda: "hanging" in server.stdout)
        server.signal()
        assert server.wait() == 0
        assert server.stdout.splitlines()[-1] == "exit (None, None, None)"


def test_validate_runs_no_hook(write):
    """`validate` imports the functions and calls none of them."""
    path, _ = write({"servicer": "Managed", "start": "fail", "close": "fail"})
    done = run("validate", path, cwd=path.parent)
    assert (done.returncode, "enter" in done.stdout) == (0, False)


MORE = """
    import contextlib

    class AsyncOnly(Plain):
        async def __aenter__(self): ...
        async def __aexit__(self, *error): ...

    @contextlib.contextmanager
    def manager(servicer):
        yield

    def two(servicer, database): ...
    """


@pytest.mark.parametrize(
    ("entry", "server", "message"),
    [
        ({"start": "conect"}, {}, "[GS502] `M` has no attribute `conect`"),
        ({"close": "LOG"}, {}, "[GS532] `M:LOG` is not a function"),
        ({"start": "manager"}, {}, "[GS532] `M:manager` is a generator or context"),
        ({"start": "two"}, {}, "[GS532] `M:two` cannot be called with the servicer"),
        (
            {"start": "connect_aio"},
            {"runtime": "threads"},
            "[GS531] the hook `M:connect_aio` of `M:Managed` is a coroutine",
        ),
        (
            {"servicer": "AsyncOnly"},
            {"runtime": "threads"},
            "[GS531] the hook `__aenter__` of `M:AsyncOnly` is a coroutine",
        ),
    ],
    ids=str,
)
def test_findings(write, tmp_path, entry, server, message):
    """`validate` finds hooks that do not exist or cannot be called."""
    path, module = write({"servicer": "Managed", **entry}, **server)
    source = tmp_path / f"{module}.py"
    source.write_text(source.read_text() + textwrap.dedent(MORE))
    with pytest.raises(grpcsecure.ConfigError) as caught:
        grpcsecure.load(path)
    assert message in str(caught.value).replace(module, "M")
