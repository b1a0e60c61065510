"""What people write without grpcsecure: the example service over TLS, by hand.

Prints the port once it serves, and serves until its standard input is closed. The
measure that the other benchmarks hold `grpcsecure serve` against.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from grpc_health.v1 import health
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server
from helloworld.helloworld_pb2_grpc import add_GreeterServicer_to_server


def main() -> None:
    """Serve with the runtime asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "certs", type=Path, help="folder made by `grpcsecure certs dev`"
    )
    parser.add_argument("--asyncio", action="store_true")
    parser.add_argument("--mtls", action="store_true")
    arguments = parser.parse_args()
    pair = (
        (arguments.certs / "server.key").read_bytes(),
        (arguments.certs / "server.pem").read_bytes(),
    )
    ca = (arguments.certs / "ca.pem").read_bytes() if arguments.mtls else None
    credentials = grpc.ssl_server_credentials([pair], ca, arguments.mtls)
    if arguments.asyncio:
        asyncio.run(_serve_asyncio(credentials))
    else:
        _serve_threads(credentials)


def _serve_threads(credentials: grpc.ServerCredentials) -> None:
    from plain_greeter import Greeter

    server = grpc.server(ThreadPoolExecutor(16))
    add_GreeterServicer_to_server(Greeter(), server)
    add_HealthServicer_to_server(health.HealthServicer(), server)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    print(port, flush=True)
    sys.stdin.read()
    server.stop(0).wait()


async def _serve_asyncio(credentials: grpc.ServerCredentials) -> None:
    from plain_greeter import AsyncGreeter

    server = grpc.aio.server()
    add_GreeterServicer_to_server(AsyncGreeter(), server)
    add_HealthServicer_to_server(health.aio.HealthServicer(), server)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    print(port, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(0)


if __name__ == "__main__":
    main()
