"""The greeter and health over TLS, written by hand without grpcsecure.

    python handwritten.py CERTS threads|asyncio [--mtls]

The baseline for `grpcsecure serve`, so it is as lean as possible.
"""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_health.v1 import health
from grpc_health.v1.health_pb2 import HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server
from helloworld.helloworld_pb2_grpc import add_GreeterServicer_to_server
from plain_greeter import AsyncGreeter, Greeter

_SERVICE = "helloworld.Greeter"


def _credentials(certs: str, *, mtls: bool) -> grpc.ServerCredentials:
    pair = (_read(f"{certs}/server.key"), _read(f"{certs}/server.pem"))
    ca = _read(f"{certs}/ca.pem") if mtls else None
    return grpc.ssl_server_credentials([pair], ca, mtls)


def _read(path: str) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123 - pathlib costs the script 2 ms
        return file.read()


def _serve_threads(credentials: grpc.ServerCredentials) -> None:
    server = grpc.server(ThreadPoolExecutor(16))
    add_GreeterServicer_to_server(Greeter(), server)
    servicer = health.HealthServicer()
    servicer.set(_SERVICE, HealthCheckResponse.SERVING)
    add_HealthServicer_to_server(servicer, server)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    print(f"ready 127.0.0.1:{port}", flush=True)
    server.wait_for_termination()


async def _serve_asyncio(credentials: grpc.ServerCredentials) -> None:
    server = grpc.aio.server()
    add_GreeterServicer_to_server(AsyncGreeter(), server)
    servicer = health.aio.HealthServicer()
    await servicer.set(_SERVICE, HealthCheckResponse.SERVING)
    add_HealthServicer_to_server(servicer, server)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    print(f"ready 127.0.0.1:{port}", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    credentials = _credentials(sys.argv[1], mtls="--mtls" in sys.argv)
    if sys.argv[2] == "asyncio":
        asyncio.run(_serve_asyncio(credentials))
    else:
        _serve_threads(credentials)
