"""A minimal grpcio server behind a bridge, and clients for it.

`BridgedServer` is built like the real server: with a unix socket in a private
directory, and an interceptor that refuses every call from an unregistered peer.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from queue import Empty, Queue
from typing import TYPE_CHECKING

import grpc

from grpcsecure.model.listener import TlsSettings, TlsVersion
from grpcsecure.model.modes import ClientCertificateMode
from grpcsecure.tls.bridge.parent.hosts import ProcessHost, ThreadHost
from grpcsecure.tls.bridge.parent.supervisor import Bridge, BridgeListener
from grpcsecure.tls.bridge.parent.upstream_directory import UpstreamDirectory
from grpcsecure.tls.material import Material

if TYPE_CHECKING:
    from support.bridge_certs import Pair

PATIENCE = 30
HOSTS = {"process": ProcessHost, "thread": ThreadHost}
ECHO = "/test.Echo/Unary"
EVERY_SIZE = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
]


def eventually(condition, *, what="the condition"):
    """Wait until `condition()` is true; fail with `what` after `PATIENCE` seconds."""
    deadline = time.monotonic() + PATIENCE
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come true"
        pause.wait(0.01)


class Observer:
    """Records the events of the supervisor; a `BridgeObserver`."""

    def __init__(self):
        self.refusals = Queue()
        self.events = Queue()

    def refused(self, refusal):
        """Record a refused handshake."""
        self.refusals.put(refusal)

    def died(self, reason, restart_in):
        """Record the end of a bridge."""
        self.events.put(("died", reason))

    def restarted(self):
        """Record a restart."""
        self.events.put(("restarted", ""))

    def gave_up(self, reason):
        """Record that there are no more restarts."""
        self.events.put(("gave_up", reason))

    def refusal(self, **fields):
        """Return the next refusal with these fields; drop those before it.

        A grpcio client may try a second time before its call fails.
        """
        while True:
            refusal = self.refusals.get(timeout=PATIENCE)
            if all(getattr(refusal, key) == value for key, value in fields.items()):
                return refusal

    def event(self):
        """Return the name of the bridge's next event."""
        return self.events.get(timeout=PATIENCE)[0]

    def has_no_refusals(self):
        """Drop the next refusal; return whether there was none."""
        try:
            self.refusals.get_nowait()
        except Empty:
            return True
        return False


class _RegistryInterceptor(grpc.ServerInterceptor):
    """Refuses calls of peers that are not in the registry, as the real server does."""

    def __init__(self, server):
        self._server = server

    def intercept_service(self, continuation, details):
        handler = continuation(details)
        if handler is None:
            return None
        server = self._server

        def refuse_unregistered(behavior):
            def call(request, context):
                result = server.bridge.peers.lookup(context.peer())
                server.seen.append((context.peer(), result))
                if result is None:
                    context.abort(grpc.StatusCode.UNAUTHENTICATED, "unregistered")
                return behavior(request, context)

            return call

        if handler.response_streaming:
            make, kind = grpc.unary_stream_rpc_method_handler, handler.unary_stream
            if handler.request_streaming:
                make, kind = (
                    grpc.stream_stream_rpc_method_handler,
                    handler.stream_stream,
                )
        else:
            make, kind = grpc.unary_unary_rpc_method_handler, handler.unary_unary
            if handler.request_streaming:
                make, kind = grpc.stream_unary_rpc_method_handler, handler.stream_unary
        return make(refuse_unregistered(kind))


def _handlers(server):
    def unary(request, context):
        del context
        return request

    def collect(requests, context):
        del context
        return str(sum(map(len, requests))).encode()

    def pour(request, context):
        del context
        count, size = map(int, request.split())
        yield from (b"x" * size for _ in range(count))

    def chat(requests, context):
        del context
        yield from requests

    def wait(request, context):
        server.waiting.set()
        server.release.wait(PATIENCE)
        return request

    make = grpc.unary_unary_rpc_method_handler
    return grpc.method_handlers_generic_handler(
        "test.Echo",
        {
            "Unary": make(unary),
            "Wait": make(wait),
            "Collect": grpc.stream_unary_rpc_method_handler(collect),
            "Pour": grpc.unary_stream_rpc_method_handler(pour),
            "Chat": grpc.stream_stream_rpc_method_handler(chat),
        },
    )


def material(server, *, client_ca=(), crls=(), generation=1):
    """Return key material; `client_ca` are pairs whose certificates are trusted."""
    return Material(
        generation=generation,
        certificate_chain=server.chain_pem,
        private_key=server.key_pem,
        client_ca=b"".join(pair.certificate_pem for pair in client_ca) or None,
        crls=tuple(crls),
        chain=(),
    )


def settings(mode, *, min_version=TlsVersion.TLS_1_2, timeout=10.0, **others):
    """Return the `tls` block of a listener; its paths are never used."""
    return TlsSettings(
        certificate=Path("/server.pem"),
        private_key=Path("/server.key"),
        client_certificate=ClientCertificateMode(mode),
        min_version=min_version,
        handshake_timeout=timeout,
        **others,
    )


def listen(address=("127.0.0.1", 0), family=socket.AF_INET, backlog=4096):
    """Return a listening socket on any free port."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.bind(address)
    sock.listen(backlog)
    return sock


class BridgedServer:
    """A grpcio server whose listeners, a dict of (settings, material), are bridged."""

    def __init__(
        self,
        listeners,
        *,
        host="process",
        options=(),
        sockets=None,
        max_connections=None,
    ):
        self.seen = []
        self.waiting = threading.Event()
        self.release = threading.Event()
        self.observer = Observer()
        self.directory = UpstreamDirectory()
        self.sockets = sockets or {name: listen() for name in listeners}
        self.server = grpc.server(
            ThreadPoolExecutor(16),
            interceptors=[_RegistryInterceptor(self)],
            options=[*EVERY_SIZE, *options],
        )
        self.server.add_generic_rpc_handlers((_handlers(self),))
        served = []
        for number, (name, (tls, first)) in enumerate(listeners.items()):
            path = self.directory.socket_path(number)
            self.server.add_insecure_port(f"unix:{path}")
            sockets = (self.sockets[name],)
            served.append(
                BridgeListener(name, sockets, path, tls, first, max_connections)
            )
        self.upstream_paths = {each.name: each.upstream_path for each in served}
        self.bridge = Bridge(
            served,
            self.observer,
            make_peer=lambda _name, result: result,
            host=HOSTS[host](),
        )
        self.server.start()

    def connect_bridges_to(self, path):
        """Make bridges that start from now on connect to another server's socket."""
        listeners = self.bridge._listeners
        listeners["public"] = replace(listeners["public"], upstream_path=path)

    def start(self):
        """Start the bridge."""
        self.bridge.start()
        return self

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Stop server and bridge."""
        self.release.set()
        self.server.stop(0).wait()
        self.bridge.stop()
        for sock in self.sockets.values():
            sock.close()
        self.directory.close()

    def port(self, name="public"):
        """Return the port of a listener."""
        return self.sockets[name].getsockname()[1]

    def target(self, name="public"):
        """Return the address to dial."""
        return f"127.0.0.1:{self.port(name)}"


def bridged(pair, ca=None, *, crls=(), timeout=10.0, **options):
    """Return a server with one listener: for clients of `ca`, or without it for all.

    `timeout` is that of handshakes; `options` are arguments of `BridgedServer`.
    """
    mode, trusted = ("require_and_verify", [ca]) if ca else ("dont_request", [])
    tls = settings(mode, timeout=timeout), material(pair, client_ca=trusted, crls=crls)
    return BridgedServer({"public": tls}, **options)


@contextmanager
def channel(target, authority: Pair, client: Pair | None = None, *, sends_issuers=True):
    """Open a grpcio channel that trusts `authority` and presents `client`."""
    chain = client and (client.chain_pem if sends_issuers else client.certificate_pem)
    credentials = grpc.ssl_channel_credentials(
        authority.certificate_pem, client and client.key_pem, chain
    )
    options = [
        *EVERY_SIZE,
        ("grpc.ssl_target_name_override", "localhost"),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_retries", 0),
    ]
    with grpc.secure_channel(target, credentials, options=options) as opened:
        yield opened


def call(opened, request=b"hello", method=ECHO):
    """Make a unary call and return the response."""
    return opened.unary_unary(method)(request, timeout=PATIENCE)


def try_call(target, authority, client=None, **options):
    """Return None if a call succeeds, else its `RpcError`."""
    with channel(target, authority, client, **options) as opened:
        try:
            assert call(opened) == b"hello"
        except grpc.RpcError as error:
            return error
    return None


def tls_context(authority, client=None, *, folder=None, alpn=("h2",), version=None):
    """Return a context of Python's ssl module, for misbehaving clients."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=authority.certificate_pem.decode())
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if client is not None:
        path = folder / "client.pem"
        path.write_bytes(client.chain_pem + client.key_pem)
        context.load_cert_chain(path)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


def tls_connect(port, context):
    """Return a TLS connection to a port on the loopback interface."""
    raw = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    try:
        return context.wrap_socket(raw, server_hostname="localhost")
    except BaseException:
        raw.close()
        raise


class RawPair:
    """A bridged connection whose two ends are sockets of the test, without HTTP/2."""

    def __init__(self, ca, pair, folder, host):
        self.server = bridged(pair, host=host)
        self.server.server.stop(0).wait()
        path = str(folder / "upstream.sock")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        self.listener.settimeout(PATIENCE)
        self.server.connect_bridges_to(path)
        self.server.start()
        self.client = tls_connect(self.server.port(), tls_context(ca))
        self.upstream = self.accept()

    def accept(self):
        """Return the server's end of the next connection."""
        upstream, _ = self.listener.accept()
        upstream.settimeout(PATIENCE)
        return upstream

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.close()
        self.upstream.close()
        self.listener.close()
        self.server.close()
