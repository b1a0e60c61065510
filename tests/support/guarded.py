"""A guarded server: its servicers and interceptors, and clients to knock with.

Servicers note when they are entered, interceptors when they are asked, so that a test
can tell that they were not.
"""

from __future__ import annotations

import json
import socket
from contextlib import contextmanager
from datetime import datetime, timezone
from ipaddress import ip_address
from queue import SimpleQueue
from typing import TYPE_CHECKING, NamedTuple

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID
from helloworld.helloworld_pb2_grpc import GreeterServicer
from support.bridge import tls_connect, tls_context
from support.bridge_certs import Pair, certificate
from support.services import PATIENCE, reply

import grpcsecure
from grpcsecure.checking.pipeline import load_config
from grpcsecure.config.source import Source
from grpcsecure.server.snapshot import build_snapshot

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "CLIENTS",
    "GREETER",
    "KINDS",
    "RUNTIMES",
    "AioRecordingInterceptor",
    "CallResult",
    "Guarded",
    "GuardedAio",
    "GuardedServer",
    "RecordingInterceptor",
    "connect",
    "entered",
    "fingerprint",
    "full",
    "listeners",
    "make_call",
    "make_clients",
    "serve",
    "write_server_files",
]

GREETER = "/helloworld.Greeter"

#: The four kinds of RPC: path of a method of each.
KINDS = {
    "unary": f"{GREETER}/SayHello",
    "response stream": f"{GREETER}/SayHelloManyTimes",
    "request stream": f"{GREETER}/SayHelloToAll",
    "both streams": f"{GREETER}/Chat",
}

#: What servicers and interceptors of this process were called for, in order.
_ENTERED: list[str] = []


def entered() -> list[str]:
    """Return what was entered since this was last asked."""
    seen = [*_ENTERED]
    _ENTERED.clear()
    return seen


def _names(context):
    return reply(",".join(sorted(grpcsecure.peer(context).identities)))


class Guarded(GreeterServicer):
    """Notes every call before it reads anything, and answers who called."""

    def SayHello(self, request, context):
        """Answer once."""
        _ENTERED.append("SayHello")
        return _names(context)

    def SayHelloManyTimes(self, request, context):
        """Answer once."""
        _ENTERED.append("SayHelloManyTimes")
        yield _names(context)

    def SayHelloToAll(self, request_iterator, context):
        """Answer once all has been said."""
        _ENTERED.append("SayHelloToAll")
        list(request_iterator)
        return _names(context)

    def Chat(self, request_iterator, context):
        """Answer each request."""
        _ENTERED.append("Chat")
        for _ in request_iterator:
            yield _names(context)


class GuardedAio(GreeterServicer):
    """`Guarded` for asyncio."""

    async def SayHello(self, request, context):
        """Answer once."""
        _ENTERED.append("SayHello")
        return _names(context)

    async def SayHelloManyTimes(self, request, context):
        """Answer once."""
        _ENTERED.append("SayHelloManyTimes")
        yield _names(context)

    async def SayHelloToAll(self, request_iterator, context):
        """Answer once all has been said."""
        _ENTERED.append("SayHelloToAll")
        async for _ in request_iterator:
            pass
        return _names(context)

    async def Chat(self, request_iterator, context):
        """Answer each request."""
        _ENTERED.append("Chat")
        async for _ in request_iterator:
            yield _names(context)


class RecordingInterceptor(grpc.ServerInterceptor):
    """Notes which methods it is asked for."""

    def intercept_service(self, continuation, handler_call_details):
        """Pass the call on."""
        _ENTERED.append(f"asked for {handler_call_details.method}")
        return continuation(handler_call_details)


class AioRecordingInterceptor(grpc.aio.ServerInterceptor):
    """`RecordingInterceptor` for asyncio."""

    async def intercept_service(self, continuation, handler_call_details):
        """Pass the call on."""
        _ENTERED.append(f"asked for {handler_call_details.method}")
        return await continuation(handler_call_details)


#: Runtime, servicer, interceptor.
RUNTIMES = {
    "threads": ("threads", "Guarded", RecordingInterceptor),
    "asyncio": ("asyncio", "GuardedAio", AioRecordingInterceptor),
    "plain methods on asyncio": ("asyncio", "Guarded", AioRecordingInterceptor),
}

BILLING = [
    x509.UniformResourceIdentifier("spiffe://corp.example/billing"),
]
EVERY_NAME = [
    x509.DNSName("billing.corp.example"),
    x509.RFC822Name("billing@corp.example"),
    x509.IPAddress(ip_address("10.1.2.3")),
    *BILLING,
]


def full(common_name: str) -> x509.Name:
    """Return a subject that has a unit and an organisation too."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Corp"),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "Ops"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def make_clients(ca: Pair) -> dict[str, Pair | None]:
    """Return the clients of the tests by who they are."""
    return {
        "anonymous": None,
        # Two that are verified: one has every name that matchers know, one has none.
        "billing": certificate(
            full("billing"), issuer=ca, names=EVERY_NAME, key="billing"
        ),
        "stranger": certificate("stranger", issuer=ca),
        # The same names, by nobody's authority.
        "pretender": certificate(full("billing"), names=EVERY_NAME, key="pretender"),
        "dev": certificate("dev"),
        "device": certificate("device"),
    }


CLIENTS = ("anonymous", "billing", "stranger", "pretender", "dev", "device")

_FILES = {"certificate": "server.pem", "private_key": "server.key"}


def _mode(mode: str, *, client_ca: bool, engine: str = "auto") -> dict[str, object]:
    tls = {**_FILES, "client_certificate": mode, "engine": engine}
    if client_ca:
        tls["client_ca"] = "ca.pem"
    return {"address": "127.0.0.1:0", "tls": tls}


#: By name; those that begin with "grpc" are of that engine, the others are bridged.
_LISTENERS = {
    "grpc-mutual": _mode("require_and_verify", client_ca=True, engine="grpc"),
    "mutual": _mode("require_and_verify", client_ca=True, engine="bridge"),
    "optional": _mode("request_and_verify", client_ca=True),
    "lenient": _mode("request_but_dont_verify", client_ca=False),
    "lenient-ca": _mode("request_but_dont_verify", client_ca=True),
    "required": _mode("require_but_dont_verify", client_ca=False),
    "required-ca": _mode("require_but_dont_verify", client_ca=True),
    "grpc-open": _mode("dont_request", client_ca=False, engine="grpc"),
    "open": _mode("dont_request", client_ca=False, engine="bridge"),
    "plain": {"address": "127.0.0.1:0", "plaintext": True},
}


def listeners(*names: str) -> dict[str, object]:
    """Return the listeners of these names, or all of them."""
    return {name: _LISTENERS[name] for name in names or _LISTENERS}


def write_server_files(folder: Path, ca: Pair) -> None:
    """Write `server.pem`, `server.key` and `ca.pem`."""
    pair = certificate("localhost", issuer=ca, names=[x509.DNSName("localhost")])
    (folder / "server.pem").write_bytes(pair.chain_pem)
    (folder / "server.key").write_bytes(pair.key_pem)
    (folder / "server.key").chmod(0o600)
    (folder / "ca.pem").write_bytes(ca.certificate_pem)


def fingerprint(pair: Pair) -> str:
    """Return the pin of a certificate."""
    return f"sha256:{pair.certificate.fingerprint(SHA256()).hex()}"


class CallResult(NamedTuple):
    """What a client was told at the door."""

    code: grpc.StatusCode
    details: str
    #: The messages that came, as bytes.
    messages: tuple[bytes, ...] = ()


@contextmanager
def connect(address: str, ca: Pair | None, client: Pair | None = None, *options):
    """Open a connection of its own; without `ca` it is plaintext."""
    opened = [
        ("grpc.ssl_target_name_override", "localhost"),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_retries", 0),
        *options,
    ]
    if ca is None:
        channel = grpc.insecure_channel(address, opened)
    else:
        credentials = grpc.ssl_channel_credentials(
            ca.certificate_pem, client and client.key_pem, client and client.chain_pem
        )
        channel = grpc.secure_channel(address, credentials, opened)
    with channel:
        yield channel


def make_call(channel, method, *messages: bytes, ends=True, metadata=None, **options):
    """Call `method`, whatever its kind, with raw messages; return what came of it.

    `ends=False` never says that there are no more messages.
    """
    waiting: SimpleQueue[bytes | None] = SimpleQueue()
    for message in messages:
        waiting.put(message)
    if ends:
        waiting.put(None)
    call = channel.stream_stream(method)(
        iter(waiting.get, None), timeout=PATIENCE, metadata=metadata, **options
    )
    received = []
    try:
        received.extend(call)
    except grpc.RpcError:
        pass
    finally:
        waiting.put(None)
    return CallResult(call.code(), call.details(), tuple(received))


class GuardedServer:
    """A running server, the CA of its clients, and the clients."""

    def __init__(self, server, folder, ca, clients):
        self.server = server
        self.folder = folder
        self.ca = ca
        self.clients = clients
        self._config = json.loads((folder / "config.yaml").read_text())
        self._generation = 1

    @contextmanager
    def channel(self, listener, client="anonymous", *options):
        """Open a connection to `listener`, as one of the people or with a pair."""
        address = self.server.addresses[listener]
        is_plain = "tls" not in self._config["listeners"][listener]
        pair = self.clients[client] if isinstance(client, str) else client
        with connect(address, None if is_plain else self.ca, pair, *options) as opened:
            yield opened

    @contextmanager
    def socket(self, listener):
        """Open a connection to `listener` for raw calls, without a certificate."""
        port = int(self.server.addresses[listener].rpartition(":")[2])
        with (
            tls_connect(port, tls_context(self.ca))
            if "tls" in self._config["listeners"][listener]
            else socket.create_connection(("127.0.0.1", port), PATIENCE)
        ) as opened:
            yield opened

    def make_call(self, listener, client, method, *messages, **options):
        """Make one call over a connection of its own."""
        with self.channel(listener, client) as channel:
            return make_call(channel, method, *messages or (b"",), **options)

    def enforce(
        self, authorization=None, identities=None, *, may_be_odd=False, **settings
    ):
        """Put other rules, and settings of `server`, into force; return the snapshot.

        They come from a config, read and checked as one that is served; odd ones are
        taken although `validate` would not have them.
        """
        config = {**self._config, "server": {**self._config["server"], **settings}}
        for key, value in (
            ("authorization", authorization),
            ("identities", identities),
        ):
            config.pop(key, None)
            if value is not None:
                config[key] = value
        loaded = load_config(
            Source("config.yaml", self.folder, json.dumps(config)),
            profile=None,
            environ={},
            now=datetime.now(timezone.utc),
        )
        assert loaded.failed is None or may_be_odd, loaded.findings
        self._generation += 1
        snapshot = build_snapshot(
            loaded.document.config,
            loaded.materials or self.server.materials,
            pins={},
            generation=self._generation,
        )
        self.server._in_force.snapshot = snapshot
        return snapshot


@contextmanager
def serve(
    folder,
    ca,
    runtime,
    *,
    interceptors=(),
    authorization=None,
    identities=None,
    on=None,
    servicer=None,
    **settings,
):
    """Serve from a config file while the block runs, and yield the world of it.

    Args:
        folder: where the config is written.
        ca: the CA of server and clients.
        runtime: a name in `RUNTIMES`.
        interceptors: of the user's.
        authorization: the block of the config, if any.
        identities: the block of the config, if any.
        on: the listeners; by default there are all.
        servicer: another entry of `services` than the runtime's.
        settings: of `server`.
    """
    which, own, _ = RUNTIMES[runtime]
    write_server_files(folder, ca)
    config = {
        "version": 1,
        "services": [servicer or {"servicer": f"support.guarded:{own}"}],
        "server": {
            "runtime": which,
            "reflection": True,
            "shutdown_grace": "1s",
            **settings,
        },
        "listeners": listeners() if on is None else on,
    }
    if authorization is not None:
        config["authorization"] = authorization
    if identities is not None:
        config["identities"] = identities
    (folder / "config.yaml").write_text(json.dumps(config))
    server = grpcsecure.load(folder / "config.yaml", interceptors=interceptors)
    # Snapshots are put in force by the tests: nothing is reloaded or closed meanwhile.
    server.begin()
    try:
        entered()
        yield GuardedServer(server, folder, ca, make_clients(ca))
    finally:
        server.stop()
