"""A server with authorization, and clients that make calls to it.

Its servicers and interceptors record when they are called, so that a test can check
that they were not.
"""

from __future__ import annotations

import json
import socket
from contextlib import ExitStack, contextmanager
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

    from grpcsecure.checking.pipeline import Loaded

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

#: A method path for each of the four kinds of RPC.
KINDS = {
    "unary": f"{GREETER}/SayHello",
    "response stream": f"{GREETER}/SayHelloManyTimes",
    "request stream": f"{GREETER}/SayHelloToAll",
    "both streams": f"{GREETER}/Chat",
}

#: The calls of servicers and interceptors in this process, in order.
_ENTERED: list[str] = []


def entered() -> list[str]:
    """Return the calls recorded since the previous `entered()`."""
    seen = [*_ENTERED]
    _ENTERED.clear()
    return seen


def _names(context):
    return reply(",".join(sorted(grpcsecure.peer(context).identities)))


class Guarded(GreeterServicer):
    """Records every call before it reads a message, and replies with the identities."""

    def SayHello(self, request, context):
        """Answer once."""
        _ENTERED.append("SayHello")
        return _names(context)

    def SayHelloManyTimes(self, request, context):
        """Answer once."""
        _ENTERED.append("SayHelloManyTimes")
        yield _names(context)

    def SayHelloToAll(self, request_iterator, context):
        """Answer after the last request."""
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
        """Answer after the last request."""
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
    """Records the methods for which it is called."""

    def intercept_service(self, continuation, handler_call_details):
        """Return the handler of the call unchanged."""
        _ENTERED.append(f"asked for {handler_call_details.method}")
        return continuation(handler_call_details)


class AioRecordingInterceptor(grpc.aio.ServerInterceptor):
    """`RecordingInterceptor` for asyncio."""

    async def intercept_service(self, continuation, handler_call_details):
        """Return the handler of the call unchanged."""
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
    """Return a subject with an organisation, a unit and a common name."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Corp"),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "Ops"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def make_clients(ca: Pair) -> dict[str, Pair | None]:
    """Return the credentials of the clients by their names."""
    return {
        "anonymous": None,
        # Two verified clients: one with every type of name, one with a CN only.
        "billing": certificate(
            full("billing"), issuer=ca, names=EVERY_NAME, key="billing"
        ),
        "stranger": certificate("stranger", issuer=ca),
        # The names of "billing" in a self-signed certificate.
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


#: Listeners by name; if it begins with "grpc" the engine is `grpc`, else `bridge`.
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
    """Return the fingerprint of a certificate in the notation of the config."""
    return f"sha256:{pair.certificate.fingerprint(SHA256()).hex()}"


class CallResult(NamedTuple):
    """The status and messages that a client received."""

    code: grpc.StatusCode
    details: str
    #: The received messages, as bytes.
    messages: tuple[bytes, ...] = ()


@contextmanager
def connect(address: str, ca: Pair | None, client: Pair | None = None, *options):
    """Open a channel with a separate connection; without `ca` it is plaintext."""
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
    """Call a method of any kind with raw messages; return the result.

    With `ends=False`, the client never half-closes the call.
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

    def __init__(self, server, folder, ca, clients, kept: ExitStack):
        self.server = server
        self.folder = folder
        self.ca = ca
        self.clients = clients
        self._config = json.loads((folder / "config.yaml").read_text())
        self._generation = 1
        self._kept = kept
        self._channels: dict[tuple[str, str], grpc.Channel] = {}
        self._loaded: dict[tuple[str, bytes], Loaded] = {}

    @contextmanager
    def channel(self, listener, client="anonymous", *options):
        """Open a channel to `listener`, with the name of a client or a credential."""
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
        """Make one call; each client has one connection to a listener, kept open.

        A credential instead of the name of a client gets a separate connection.
        """
        messages = messages or (b"",)
        if not isinstance(client, str):
            with self.channel(listener, client) as channel:
                return make_call(channel, method, *messages, **options)
        if (listener, client) not in self._channels:
            opened = self._kept.enter_context(self.channel(listener, client))
            self._channels[listener, client] = opened
        channel = self._channels[listener, client]
        return make_call(channel, method, *messages, **options)

    def enforce(
        self, authorization=None, identities=None, *, may_be_odd=False, **settings
    ):
        """Put other rules, and settings of `server`, into force; return the snapshot.

        They are loaded and checked as for a server, the same ones once; with
        `may_be_odd` they are used even if there are errors.
        """
        config = {**self._config, "server": {**self._config["server"], **settings}}
        for key, value in (
            ("authorization", authorization),
            ("identities", identities),
        ):
            config.pop(key, None)
            if value is not None:
                config[key] = value
        key = json.dumps(config), (self.folder / "ca.pem").read_bytes()
        if key not in self._loaded:
            self._loaded[key] = load_config(
                Source("config.yaml", self.folder, key[0]),
                profile=None,
                environ={},
                now=datetime.now(timezone.utc),
            )
        loaded = self._loaded[key]
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
    interceptors_of_config=None,
    **settings,
):
    """Serve from a config file while the block runs; yield a `GuardedServer`.

    Args:
        folder: the folder for the config.
        ca: the CA of server and clients.
        runtime: a name in `RUNTIMES`.
        interceptors: the user's interceptors.
        authorization: the block of the config, if any.
        identities: the block of the config, if any.
        on: the listeners; by default all.
        servicer: the entry of `services`; by default the servicer of the runtime.
        interceptors_of_config: the entries of `server.interceptors`, if any.
        settings: settings of `server`.
    """
    if interceptors_of_config is not None:
        settings["interceptors"] = interceptors_of_config
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
    # `begin` and not `start`: no reloads or closed connections, since the tests put
    # snapshots into force themselves.
    server.begin()
    with ExitStack() as kept:
        kept.callback(server.stop)
        entered()
        yield GuardedServer(server, folder, ca, make_clients(ca), kept)
