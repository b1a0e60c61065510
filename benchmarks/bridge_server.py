# A script: its functions are explained by their calls.
# ruff: noqa: ANN001, ANN201, ANN202, D102, D103
"""A server for the bridge's benchmarks: the same handlers behind either engine.

Started by `bridge_load.Server`; prints its port and serves until its input ends. The
mode is require_and_verify, which both engines support.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc

from grpcsecure.model.listener import TlsSettings
from grpcsecure.model.modes import ClientCertificateMode
from grpcsecure.tls.bridge.parent.supervisor import Bridge, BridgeListener
from grpcsecure.tls.bridge.parent.upstream_directory import UpstreamDirectory
from grpcsecure.tls.material import Material

OPTIONS = [
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
]


class Observer:
    """Prints the events of the bridge, none of which is expected here."""

    def refused(self, refusal) -> None:
        print(refusal, file=sys.stderr)

    def died(self, reason, restart_in) -> None:
        print(reason, restart_in, file=sys.stderr)

    def restarted(self) -> None:
        pass

    def gave_up(self, reason) -> None:
        print(reason, file=sys.stderr)


def spin(seconds) -> None:
    """Burn CPU while holding the interpreter lock."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def plain_handlers():
    def collect(requests, _context):
        return str(sum(map(len, requests))).encode()

    def pour(request, _context):
        count, size = map(int, request.split())
        chunk = b"x" * size
        for _ in range(count):
            yield chunk

    def burn(request, _context) -> bytes:
        spin(float(request))
        return b""

    return {
        "Echo": grpc.unary_unary_rpc_method_handler(lambda request, _: request),
        "Sink": grpc.unary_unary_rpc_method_handler(lambda _request, _: b""),
        "Source": grpc.unary_unary_rpc_method_handler(lambda r, _: bytes(int(r))),
        "Burn": grpc.unary_unary_rpc_method_handler(burn),
        "Collect": grpc.stream_unary_rpc_method_handler(collect),
        "Pour": grpc.unary_stream_rpc_method_handler(pour),
    }


def loop_handlers():
    async def echo(request, _context):
        return request

    async def sink(_request, _context) -> bytes:
        return b""

    async def source(request, _context):
        return bytes(int(request))

    async def collect(requests, _context):
        total = 0
        async for request in requests:
            total += len(request)
        return str(total).encode()

    async def pour(request, _context):
        count, size = map(int, request.split())
        chunk = b"x" * size
        for _ in range(count):
            yield chunk

    return {
        "Echo": grpc.unary_unary_rpc_method_handler(echo),
        "Sink": grpc.unary_unary_rpc_method_handler(sink),
        "Source": grpc.unary_unary_rpc_method_handler(source),
        "Collect": grpc.stream_unary_rpc_method_handler(collect),
        "Pour": grpc.unary_stream_rpc_method_handler(pour),
    }


def read(folder):
    return tuple(
        (folder / name).read_bytes() for name in ("server.pem", "server.key", "ca.pem")
    )


def start_bridge(folder, directory):
    chain, key, authority = read(folder)
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen(4096)
    material = Material(
        generation=1,
        certificate_chain=chain,
        private_key=key,
        client_ca=authority,
        chain=(),
    )
    tls = TlsSettings(
        certificate=folder / "server.pem",
        private_key=folder / "server.key",
        client_certificate=ClientCertificateMode.REQUIRE_AND_VERIFY,
    )
    listener = BridgeListener(
        "public", (sock,), directory.socket_path(0), tls, material
    )
    bridge = Bridge([listener], Observer(), make_peer=lambda _name, result: result)
    bridge.start()
    return bridge, sock.getsockname()[1]


def add_port(server, options, directory):
    """Return the port for clients, and the bridge if there is one."""
    folder = Path(options.certificates)
    if options.engine == "plaintext":
        return server.add_insecure_port("127.0.0.1:0"), None
    if options.engine == "bridge":
        server.add_insecure_port(f"unix:{directory.socket_path(0)}")
        bridge, port = start_bridge(folder, directory)
        return port, bridge
    chain, key, authority = read(folder)
    credentials = grpc.ssl_server_credentials([(key, chain)], authority, True)
    return server.add_secure_port("127.0.0.1:0", credentials), None


def announce(port, bridge) -> None:
    print(port, bridge.pid if bridge else 0, flush=True)


def serve_threads(options, directory) -> None:
    server = grpc.server(ThreadPoolExecutor(16), options=OPTIONS)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("bench.B", plain_handlers()),)
    )
    port, bridge = add_port(server, options, directory)
    server.start()
    announce(port, bridge)
    sys.stdin.read()
    server.stop(0).wait()
    if bridge:
        bridge.stop()


async def serve_loop(options, directory) -> None:
    server = grpc.aio.server(options=OPTIONS)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("bench.B", loop_handlers()),)
    )
    port, bridge = add_port(server, options, directory)
    await server.start()
    announce(port, bridge)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await server.stop(0)
    if bridge:
        bridge.stop()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--engine", choices=("grpc", "bridge", "plaintext"))
    parser.add_argument("--runtime", choices=("threads", "asyncio"))
    parser.add_argument("--certificates")
    parser.add_argument("--switch-interval", type=float, default=0.0005)
    options = parser.parse_args()
    sys.setswitchinterval(options.switch_interval)
    with UpstreamDirectory() as directory:
        if options.runtime == "threads":
            serve_threads(options, directory)
        else:
            asyncio.run(serve_loop(options, directory))


if __name__ == "__main__":
    main()
