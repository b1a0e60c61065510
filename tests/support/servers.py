"""Servers built directly from the model, without a config, and clients for them."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TYPE_CHECKING

import grpc
from helloworld.helloworld_pb2 import HelloRequest
from helloworld.helloworld_pb2_grpc import GreeterStub
from support.services import PATIENCE

from grpcsecure.model.listener import Listener, TcpAddress
from grpcsecure.model.server_config import (
    ImportPath,
    ServerConfig,
    ServerSettings,
    ServiceEntry,
)
from grpcsecure.server.rpc.audit import Auditor
from grpcsecure.server.runtime.assembly import Assembly
from grpcsecure.server.runtime.asyncio import LoopRuntime
from grpcsecure.server.runtime.threads import ThreadsRuntime
from grpcsecure.server.services.loader import load_service
from grpcsecure.server.snapshot import InForce, build_snapshot

if TYPE_CHECKING:
    from pathlib import Path

RUNTIMES = {"threads": ThreadsRuntime, "asyncio": LoopRuntime}


def entry(path, *, register=None, **arguments):
    """Return an entry of `services` with the servicer `path`."""
    return ServiceEntry(
        servicer=ImportPath.parse(path),
        arguments=arguments,
        register=ImportPath.parse(register) if register else None,
    )


def custom(**methods):
    """Return the entry of a servicer with these methods."""
    return entry("support.services:Custom", **methods)


def plaintext(name="public", address=None, *, services=None):
    """Return a plaintext listener, by default on a free port of the loopback."""
    return Listener(
        name=name,
        address=address or TcpAddress("127.0.0.1", 0),
        tls=None,
        services=services,
    )


def assemble(
    *entries,
    listeners=(),
    interceptors=(),
    materials=None,
    identities=(),
    authorization=None,
    **settings,
):
    """Return the assembly of a server of `entries`, by default in plaintext."""
    services = []
    for one in entries:
        service, problems = load_service(one)
        assert service is not None, problems
        services.append(service)
    config = ServerConfig(
        services=entries,
        listeners=tuple(listeners) or (plaintext(),),
        server=ServerSettings(**settings),
        identities=identities,
        authorization=authorization,
    )
    snapshot = build_snapshot(config, materials or {}, pins={}, generation=1)
    return Assembly(
        config=config,
        services=tuple(services),
        in_force=InForce(snapshot),
        auditor=Auditor(),
        interceptors=interceptors,
    )


class Running:
    """A started runtime, and its bound addresses by listener."""

    def __init__(self, runtime):
        self.runtime = runtime
        self.addresses = runtime.start()
        self.stopped = False

    def stop(self, grace=PATIENCE):
        """Stop the runtime; return whether every call could finish."""
        self.stopped = True
        return self.runtime.stop(grace)

    @contextmanager
    def greeter(self, listener="public"):
        """Yield a plaintext stub for the service on `listener`."""
        with grpc.insecure_channel(self.addresses[listener]) as channel:
            yield GreeterStub(channel)

    def connect(self, listener="public"):
        """Return a connection to the plaintext `listener`."""
        return Connection(self.addresses[listener])


@contextmanager
def running(runtime, *entries, **options):
    """Serve `entries` with `runtime` (a name in `RUNTIMES`) while the block runs."""
    server = Running(RUNTIMES[runtime](assemble(*entries, **options)))
    try:
        yield server
    finally:
        if not server.stopped:
            server.stop(0)


def hello_request(name="Ada", **fields):
    """Return a request with `name`."""
    return HelloRequest(name=name, **fields)


def greeting_of(greeter, name="Ada"):
    """Call `SayHello` with `name`, and return the text of the reply."""
    return greeter.SayHello(hello_request(name), timeout=PATIENCE).message


def failure(call):
    """Return the code and details of the RPC error that `call` raises."""
    try:
        answer = call()
    except grpc.RpcError as error:
        return error.code(), error.details()
    raise AssertionError(f"the call succeeded: {answer}")


class Connection:
    """A separate plaintext connection that notices when the server drains."""

    def __init__(self, address):
        self._gone = threading.Event()
        self._was_ready = False
        # By default, channels to the same address share connections.
        options = [("grpc.use_local_subchannel_pool", 1)]
        self._channel = grpc.insecure_channel(address, options)
        self.greeter = GreeterStub(self._channel)

    def __enter__(self):
        grpc.channel_ready_future(self._channel).result(PATIENCE)
        self._channel.subscribe(self._notice)
        return self

    def __exit__(self, *_):
        self._channel.close()

    def _notice(self, state):
        if state is grpc.ChannelConnectivity.READY:
            self._was_ready = True
        elif self._was_ready:
            self._gone.set()

    def wait_for_drain(self):
        """Wait until the server has announced that it accepts no more calls."""
        assert self._gone.wait(PATIENCE)


class Conversation:
    """A bidirectional call of `Chat` in which each request waits for its reply."""

    def __init__(self, greeter):
        self._words = SimpleQueue()
        self._replies = greeter.Chat(
            map(hello_request, iter(self._words.get, None)), timeout=2 * PATIENCE
        )

    def __call__(self, word):
        """Send `word`, and return the reply."""
        self._words.put(word)
        return next(self._replies).message

    def wait_for_end(self):
        """Wait, without a further request, until the server ends the call."""
        return next(self._replies)

    def end(self):
        """Half-close the call; return the remaining replies."""
        self._words.put(None)
        return [reply.message for reply in self._replies]


def socket_path(folder: Path, name="s.sock") -> Path:
    """Return a path for a unix socket that is short enough for the kernel."""
    path = folder / name
    assert len(str(path)) < 100
    return path
