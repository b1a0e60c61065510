"""The bridge cannot be bypassed, and a server without its bridge stops.

The tests attack the inner socket of a running server as a process of the same user
could, and kill either of the two processes.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import select
import signal
import socket
import tempfile
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from uuid import uuid4

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub
from helloworld.helloworld_pb2 import HelloRequest
from helloworld.helloworld_pb2_grpc import GreeterStub
from support.bridge import eventually
from support.fake_bridge import (
    bridged_names,
    child_processes,
    fake_bridge,
    upstream_sockets,
)
from support.matrix_certs import make_matrix_certificates
from support.process import ROOT, serving
from support.recording_servicers import recorded_views
from support.servers import Conversation, hello_request
from support.services import PATIENCE

import grpcsecure
from grpcsecure.tls.bridge.parent import restart_backoff

pytestmark = pytest.mark.skipif(
    os.uname().sysname != "Linux", reason="abstract names and /proc are Linux's"
)

HELLO = HelloRequest(name="stranger")

#: Calls of every kind, to the user's service and to the built-in ones.
CALLS = {
    "unary": lambda c: GreeterStub(c).SayHello(HELLO, timeout=PATIENCE),
    "server stream": lambda c: list(
        GreeterStub(c).SayHelloManyTimes(HELLO, timeout=PATIENCE)
    ),
    "client stream": lambda c: GreeterStub(c).SayHelloToAll(
        iter([HELLO]), timeout=PATIENCE
    ),
    "both streams": lambda c: list(
        GreeterStub(c).Chat(iter([HELLO]), timeout=PATIENCE)
    ),
    "health": lambda c: HealthStub(c).Check(HealthCheckRequest(), timeout=PATIENCE),
    "health watch": lambda c: next(
        HealthStub(c).Watch(HealthCheckRequest(), timeout=PATIENCE)
    ),
    "reflection": lambda c: list(
        ServerReflectionStub(c).ServerReflectionInfo(
            iter([ServerReflectionRequest(list_services="*")]), timeout=PATIENCE
        )
    ),
}

#: Runtime and servicer; synchronous methods under asyncio are a third way to run them.
RUNTIMES = {
    "threads": ("threads", "ViewServicer"),
    "asyncio": ("asyncio", "AioViewServicer"),
    "plain methods on asyncio": ("asyncio", "ViewServicer"),
}


@pytest.fixture(scope="module")
def certificates():
    """The certificates of server and clients."""
    return make_matrix_certificates()


def write_config(folder, certificates, runtime="threads", servicer="ViewServicer"):
    """Write a config with two bridged listeners: `dev`, then `public`."""
    certificates.write_server_files(folder)
    tls = {"certificate": "server.pem", "private_key": "server.key"}
    modes = {
        "dev": {"client_certificate": "request_but_dont_verify"},
        "public": {
            "client_certificate": "require_and_verify",
            "client_ca": "clients.pem",
            "engine": "bridge",
        },
    }
    config = {
        "version": 1,
        "services": [{"servicer": f"support.recording_servicers:{servicer}"}],
        "server": {
            "runtime": runtime,
            "reflection": True,
            "shutdown_grace": "1s",
            "import_paths": [str(ROOT / "tests"), str(ROOT / "examples")],
        },
        "listeners": {
            name: {"address": "127.0.0.1:0", "tls": {**tls, **mode}}
            for name, mode in modes.items()
        },
    }
    path = folder / "config.yaml"
    path.write_text(json.dumps(config))
    return path


@pytest.fixture(scope="module", params=RUNTIMES)
def server(request, certificates, tmp_path_factory):
    """A running server."""
    path = write_config(
        tmp_path_factory.mktemp("served"), certificates, *RUNTIMES[request.param]
    )
    with grpcsecure.load(path) as running:
        yield running


def upstream_socket(listener):
    """Return the path of a listener's inner socket, for a server in this process."""
    return upstream_sockets(os.getpid())[["dev", "public"].index(listener)]


@contextmanager
def connected(address, certificates, credential=None):
    """Open a TLS channel."""
    credentials = grpc.ssl_channel_credentials(
        certificates.ca.certificate_pem,
        credential and credential.key_pem,
        credential and credential.certificate_pem,
    )
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.secure_channel(address, credentials, options) as channel:
        yield channel


def status(call, channel):
    """Make a call and return its status."""
    try:
        call(channel)
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def statuses(target):
    """Make every kind of call, in plaintext; return the statuses by kind."""
    with grpc.insecure_channel(
        target, [("grpc.use_local_subchannel_pool", 1)]
    ) as channel:
        return {name: status(call, channel) for name, call in CALLS.items()}


REFUSED = dict.fromkeys(CALLS, grpc.StatusCode.UNAUTHENTICATED)
SERVED = dict.fromkeys(CALLS, grpc.StatusCode.OK)


def test_calls_through_the_bridge_are_served(server, certificates):
    """The calls that the other tests make succeed for the trusted client."""
    trusted = certificates.clients["trusted"]
    with connected(server.addresses["public"], certificates, trusted) as channel:
        made = {name: status(call, channel) for name, call in CALLS.items()}
    assert made == SERVED
    assert recorded_views("stranger")


def test_inner_sockets_are_in_a_private_directory(server):
    """All inner sockets are in one directory that only the server's user can enter."""
    directory = Path(upstream_socket("public")).parent
    assert directory == Path(upstream_socket("dev")).parent
    assert directory.stat().st_mode & 0o7777 == 0o700
    assert directory.stat().st_uid == os.getuid()


def test_direct_connection_is_refused(server):
    """A gRPC client that connects to the inner socket directly has no call served."""
    assert statuses(f"unix:{upstream_socket('public')}") == REFUSED
    assert recorded_views("stranger") == []


def registry(server):
    """Return the bridge's registry of live connections."""
    runtime = server._background
    return getattr(runtime, "_runtime", runtime).ports._front._bridge.peers


def live_name(server, channel, call="unary"):
    """Make a first call over `channel`; return the abstract name of its connection."""
    before = {name for name, _ in registry(server).connections()}
    assert status(CALLS[call], channel) is grpc.StatusCode.OK
    [name] = {name for name, _ in registry(server).connections()} - before
    recorded_views("stranger")
    return name.removeprefix("unix-abstract:")


#: Socket names to bind to, from a live name and a folder. Abstract names are global
#: to the machine, so they must not clash with those of a parallel test run.
NAMES = {
    "none": lambda live, folder: None,
    "kernel's choice": lambda live, folder: "",
    "synthetic": lambda live, folder: f"\0grpcsecure-{uuid4().hex}",
    "path": lambda live, folder: str(folder / "end"),
    "path like the name": lambda live, folder: str(folder / live),
    "one more NUL": lambda live, folder: f"\0{live}\0",
    "cut off by a NUL": lambda live, folder: f"\0{live}\0x",
    "NUL before": lambda live, folder: f"\0\0{live}",
    "shorter": lambda live, folder: f"\0{live[:-1]}",
    "other case": lambda live, folder: f"\0{live.upper()}",
    "escaped": lambda live, folder: f"\0%{ord(live[0]):02x}{live[1:]}",
    "with the scheme": lambda live, folder: f"\0unix-abstract:{live}",
}


@pytest.fixture(name="short_folder")
def _short_folder():
    """A folder whose path leaves room for a name in the 108 bytes of a socket's."""
    with TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.mark.parametrize("name", NAMES)
def test_end_bound_to_another_name_is_refused(server, certificates, short_folder, name):
    """No name but the exact name of a live connection is mapped to its peer."""
    trusted = certificates.clients["trusted"]
    with connected(server.addresses["public"], certificates, trusted) as channel:
        live = live_name(server, channel)
        end = NAMES[name](live, short_folder)
        with fake_bridge(upstream_socket("public"), end) as pretender:
            assert statuses(pretender.target) == REFUSED
    assert recorded_views("stranger") == []


def test_live_name_cannot_be_copied(server, certificates):
    """The name of a live connection can be read by any user, but bound by none."""
    trusted = certificates.clients["trusted"]
    with connected(server.addresses["public"], certificates, trusted) as channel:
        live = live_name(server, channel)
        assert live in bridged_names()
        with (
            pytest.raises(OSError, match="in use") as refused,
            fake_bridge(upstream_socket("public"), f"\0{live}"),
        ):
            pass
    assert refused.value.errno == errno.EADDRINUSE


def test_connection_of_another_listener_is_refused(server, certificates, tmp_path):
    """A connection accepted by a lenient listener counts for that listener only."""
    peers = registry(server)
    with connected(server.addresses["dev"], certificates) as channel:
        connection = peers.lookup(f"unix-abstract:{live_name(server, channel)}")
    assert connection.result.listener == "dev"
    expected = {"dev": SERVED, "public": REFUSED}
    for number, listener in enumerate(expected):
        # Simulate that an attacker has bound the name of a live connection after all.
        name = f"grpcsecure-stolen-{uuid4().hex}"
        with fake_bridge(upstream_socket(listener), f"\0{name}") as pretender:
            hold = os.dup(pretender.end.fileno())
            assert peers.add(-1 - number, f"unix-abstract:{name}", connection, hold)
            assert statuses(pretender.target) == expected[listener]
            peers.remove(-1 - number)
    recorded_views("stranger")


@pytest.mark.parametrize("call", CALLS)
def test_call_without_registry_entry_is_refused(server, certificates, call, caplog):
    """Calls on a connection without a registry entry are denied, and audited."""
    peers = registry(server)
    trusted = certificates.clients["trusted"]
    with connected(server.addresses["public"], certificates, trusted) as channel:
        name = f"unix-abstract:{live_name(server, channel, call)}"
        [number] = peers.numbers_of(frozenset({name}))
        peers.remove(number)
        assert status(CALLS[call], channel) is grpc.StatusCode.UNAUTHENTICATED
    assert recorded_views("stranger") == []
    eventually(lambda: denials(caplog, name))
    assert denials(caplog, name) == [("public", "connection")]


def denials(caplog, address):
    """Return listener and rule of each audited denial of a call from `address`."""
    return [
        (record.listener, record.rule)
        for record in caplog.records
        if record.getMessage() == "call.denied" and record.address == address
    ]


# The command `serve`: it has two processes, one of which the tests kill.


@pytest.fixture
def config(certificates, tmp_path):
    """The path of a config."""
    return write_config(tmp_path, certificates)


def greet(address, certificates):
    """Call the public listener over a new connection, without a retry."""
    trusted = certificates.clients["trusted"]
    with connected(address, certificates, trusted) as channel:
        return GreeterStub(channel).SayHello(HELLO, timeout=PATIENCE).message


def bridge_of(served):
    """Return the process id of the bridge."""
    [pid] = child_processes(served.process.pid)
    return pid


def await_end(pidfd):
    """Wait until a process has ended."""
    ready, _, _ = select.select([pidfd], [], [], PATIENCE)
    assert ready, "the process is still running"


def test_killed_bridge_delays_clients_and_is_logged(config, certificates):
    """Clients wait for the next bridge; the log has one line for death and restart."""
    with serving(config) as served:
        address = served.addresses["public"]
        assert greet(address, certificates) == "seen"
        killed = bridge_of(served)
        os.kill(killed, signal.SIGKILL)
        assert greet(address, certificates) == "seen"
        assert bridge_of(served) != killed
        served.signal()
        assert served.wait() == 0
        lines = served.stderr.splitlines()
    [died] = [line for line in lines if "bridge.died" in line]
    assert "signal 9" in died
    assert len([line for line in lines if "bridge.restarted" in line]) == 1


def test_folder_of_the_inner_sockets_is_taken_literally(
    config, certificates, monkeypatch
):
    """Server and bridge use the folder's path as it is, without URI unescaping."""
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    with (
        TemporaryDirectory(prefix="50%41") as folder,
        serving(config, TMPDIR=folder) as served,
    ):
        directories = {
            Path(path).parent for path in upstream_sockets(served.process.pid)
        }
        assert {path.parent for path in directories} == {Path(folder)}
        assert greet(served.addresses["public"], certificates) == "seen"
        served.signal()
        assert served.wait() == 0


def kill_every_bridge(served):
    """Kill each bridge of a server until the server ends."""
    over = os.pidfd_open(served.process.pid)
    while not select.select([over], [], [], 0.01)[0]:
        with suppress(FileNotFoundError):  # the server has just ended
            for pid in child_processes(served.process.pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
    os.close(over)


def test_handler_that_never_returns_does_not_keep_a_failed_server(
    certificates, tmp_path
):
    """A server without its bridge exits with 2, also if it has to cut a call."""
    path = write_config(tmp_path, certificates)
    config = json.loads(path.read_text())
    config["services"] = [{"servicer": "support.services:Gated"}]
    config["server"]["shutdown_grace"] = "1ms"
    config["listeners"]["plain"] = {"address": "127.0.0.1:0", "plaintext": True}
    path.write_text(json.dumps(config))
    with (
        serving(path) as served,
        grpc.insecure_channel(served.addresses["plain"]) as channel,
    ):
        greeter = GreeterStub(channel)
        talk = Conversation(greeter)
        stuck = greeter.SayHello.future(hello_request("stuck"), timeout=PATIENCE)
        assert talk("entered") == "entered"
        kill_every_bridge(served)
        assert served.wait() == 2
        assert stuck.exception() is not None
        assert "server.cutting  reason=grace is over" in served.stderr


def test_bridge_that_cannot_be_restarted_ends_the_server(config, certificates):
    """If the bridge cannot be restarted, `serve` logs the reason and exits with 2."""
    with serving(config) as served:
        address = served.addresses["public"]
        kill_every_bridge(served)
        assert served.wait() == 2
        log = served.stderr
    assert "Traceback" not in log
    [line] = [line for line in log.splitlines() if "bridge.gave_up" in line]
    assert "signal 9" in line
    assert is_free(address)


def test_killed_server_ends_its_bridge(config):
    """If the server process dies, its bridge ends and releases ports and files."""
    with serving(config) as served:
        addresses = served.addresses.values()
        bridge = os.pidfd_open(bridge_of(served))
        directory = Path(upstream_sockets(served.process.pid)[0]).parent
        assert not any(map(is_free, addresses))
        served.signal(signal.SIGKILL)
        served.wait()
        await_end(bridge)
        os.close(bridge)
    assert all(map(is_free, addresses))
    assert not directory.exists()


def is_free(address):
    """Whether `address` is free to listen on."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_server((host, int(port))).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return False
        raise
    return True


def fail_to_start_failure_thread(monkeypatch):
    """Prevent the start of the thread that would report a failure."""
    start = threading.Thread.start

    def refuse(thread):
        if thread.name == "grpcsecure-failure":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)


def kill_bridge_for_good(server, monkeypatch):
    """Kill the bridge of a server in this process; it is not restarted."""
    monkeypatch.setattr(restart_backoff, "_BACKOFF", ())
    ports = (server._background or server._on_loop).ports
    os.kill(ports._front._bridge.pid, signal.SIGKILL)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_failure_may_stop_the_server(certificates, tmp_path, monkeypatch, runtime):
    """The `on_failure` callback for a lost bridge can stop the server itself."""
    server = grpcsecure.load(write_config(tmp_path, certificates, *RUNTIMES[runtime]))
    reported = SimpleQueue()

    def stop(reason):
        reported.put(reason)
        reported.put(server.stop(0))

    server.on_failure = stop
    with server:
        addresses = server.addresses.values()
        kill_bridge_for_good(server, monkeypatch)
        assert "signal 9" in reported.get(timeout=PATIENCE)
        assert reported.get(timeout=PATIENCE) is True
        assert all(map(is_free, addresses))


def test_failure_does_not_stop_a_server_on_a_loop(certificates, tmp_path, monkeypatch):
    """On the caller's loop `stop` raises in `on_failure`, which runs in its own thread.

    Such a server ends with its `async with` block.
    """
    path = write_config(tmp_path, certificates, *RUNTIMES["asyncio"])
    server = grpcsecure.load(path)
    reported = SimpleQueue()

    def stop(_reason):
        with pytest.raises(grpcsecure.GrpcSecureError, match="`async with`"):
            server.stop()
        reported.put(threading.current_thread())

    async def serve():
        async with server:
            kill_bridge_for_good(server, monkeypatch)
            return await asyncio.to_thread(reported.get, timeout=PATIENCE)

    server.on_failure = stop
    assert asyncio.run(serve()).name == "grpcsecure-failure"


def test_failure_is_reported_without_a_thread(config, monkeypatch):
    """`on_failure` runs even if no thread can be started.

    The system may have run out of threads, which may also be why the bridge fails.
    """
    server = grpcsecure.load(config)
    reported = SimpleQueue()
    server.on_failure = reported.put
    with server:
        fail_to_start_failure_thread(monkeypatch)
        kill_bridge_for_good(server, monkeypatch)
        assert "signal 9" in reported.get(timeout=PATIENCE)


def read_only(**_):
    """Fail as `mkdtemp` does on a read-only file system."""
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))


@pytest.mark.parametrize("cause", ["read-only", "long"])
def test_no_folder_for_the_sockets(config, tmp_path, monkeypatch, cause):
    """A server without a folder for the inner sockets fails and suggests TMPDIR."""
    far = tmp_path / ("d" * 120)
    far.mkdir()
    make = tempfile.mkdtemp

    def make_far(**options):
        return make(**{**options, "dir": far})

    monkeypatch.setattr(
        tempfile, "mkdtemp", read_only if cause == "read-only" else make_far
    )
    server = grpcsecure.load(config)
    with pytest.raises(
        grpcsecure.StartupError, match=r"cannot be written.*too long.*TMPDIR"
    ):
        server.start()
    assert [*far.iterdir()] == []
