"""A greeter whose streams take half a second, and the server of `drain.py` by hand.

    python drain_server.py CERTS threads|asyncio ADDRESS

SIGTERM drains it as grpcio's documentation has it: `stop` with a grace, then the end.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from helloworld.helloworld_pb2 import HelloReply
from helloworld.helloworld_pb2_grpc import (
    GreeterServicer,
    add_GreeterServicer_to_server,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from helloworld.helloworld_pb2 import HelloRequest

_MESSAGES, _PAUSE = 50, 0.01
_GRACE = 10.0


class Greeter(GreeterServicer):
    """Plain methods, for the threads runtime."""

    def SayHello(self, request: HelloRequest, context: Any) -> HelloReply:
        """Greet."""
        return HelloReply(message=request.name)

    def SayHelloManyTimes(
        self, request: HelloRequest, context: Any
    ) -> Iterator[HelloReply]:
        """Greet for half a second."""
        for _ in range(_MESSAGES):
            time.sleep(_PAUSE)
            yield HelloReply(message=request.name)


class AsyncGreeter(GreeterServicer):
    """Coroutines, for the asyncio runtime."""

    async def SayHello(self, request: HelloRequest, context: Any) -> HelloReply:
        """Greet."""
        return HelloReply(message=request.name)

    async def SayHelloManyTimes(
        self, request: HelloRequest, context: Any
    ) -> AsyncIterator[HelloReply]:
        """Greet for half a second."""
        for _ in range(_MESSAGES):
            await asyncio.sleep(_PAUSE)
            yield HelloReply(message=request.name)


def _serve_threads(credentials: grpc.ServerCredentials, address: str) -> None:
    received: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: received.append(number))
    server = grpc.server(ThreadPoolExecutor(64))
    add_GreeterServicer_to_server(Greeter(), server)
    server.add_secure_port(address, credentials)
    server.start()
    print(f"ready {address}", flush=True)
    while not received:
        time.sleep(_PAUSE)
    server.stop(_GRACE).wait()


async def _serve_asyncio(credentials: grpc.ServerCredentials, address: str) -> None:
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    server = grpc.aio.server()
    add_GreeterServicer_to_server(AsyncGreeter(), server)
    server.add_secure_port(address, credentials)
    await server.start()
    print(f"ready {address}", flush=True)
    await ended.wait()
    await server.stop(_GRACE)


def _main(folder: Path, runtime: str, address: str) -> None:
    names = ("server.key", "server.pem", "ca.pem")
    key, chain, ca = ((folder / name).read_bytes() for name in names)
    credentials = grpc.ssl_server_credentials([(key, chain)], ca, True)
    if runtime == "asyncio":
        asyncio.run(_serve_asyncio(credentials, address))
    else:
        _serve_threads(credentials, address)


if __name__ == "__main__":
    _main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
