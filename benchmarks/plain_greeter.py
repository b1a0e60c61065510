"""The greeter of the benchmarks, with as little work per call as possible."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from helloworld.helloworld_pb2 import HelloReply
from helloworld.helloworld_pb2_grpc import GreeterServicer

if TYPE_CHECKING:
    from helloworld.helloworld_pb2 import HelloRequest


class Greeter(GreeterServicer):
    """Plain methods, for the threads runtime."""

    def SayHello(self, request: HelloRequest, context: Any) -> HelloReply:
        """Greet."""
        return HelloReply(message=request.name)


class AsyncGreeter(GreeterServicer):
    """Coroutines, for the asyncio runtime."""

    async def SayHello(self, request: HelloRequest, context: Any) -> HelloReply:
        """Greet."""
        return HelloReply(message=request.name)
