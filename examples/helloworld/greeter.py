"""The greeter for the threads runtime: plain methods."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpcsecure
from helloworld import helloworld_pb2, helloworld_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Iterator

    import grpc


class Greeter(helloworld_pb2_grpc.GreeterServicer):
    """Greets the caller, and shows the state of its certificate."""

    def __init__(self, greeting: str = "Hello") -> None:
        self._greeting = greeting

    def _greet(
        self, name: str, context: grpc.ServicerContext
    ) -> helloworld_pb2.HelloReply:
        peer = grpcsecure.peer(context)
        who = name or (peer.certificate.subject if peer.certificate else "stranger")
        return helloworld_pb2.HelloReply(
            message=f"{self._greeting}, {who}! ({peer.state.value} on {peer.listener})"
        )

    def SayHello(
        self, request: helloworld_pb2.HelloRequest, context: grpc.ServicerContext
    ) -> helloworld_pb2.HelloReply:
        """One request, one reply."""
        return self._greet(request.name, context)

    def SayHelloManyTimes(
        self, request: helloworld_pb2.HelloRequest, context: grpc.ServicerContext
    ) -> Iterator[helloworld_pb2.HelloReply]:
        """One request, `times` replies."""
        for _ in range(request.times or 1):
            yield self._greet(request.name, context)

    def SayHelloToAll(
        self,
        request_iterator: Iterator[helloworld_pb2.HelloRequest],
        context: grpc.ServicerContext,
    ) -> helloworld_pb2.HelloReply:
        """Many requests, one reply to all of them."""
        return self._greet(" and ".join(r.name for r in request_iterator), context)

    def Chat(
        self,
        request_iterator: Iterator[helloworld_pb2.HelloRequest],
        context: grpc.ServicerContext,
    ) -> Iterator[helloworld_pb2.HelloReply]:
        """Reply to each request, as they come."""
        for request in request_iterator:
            yield self._greet(request.name, context)
