"""Clients of the benchmarks' greeter, and the latencies of their calls."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

sys.path.insert(0, str(Path(__file__).parent.parent / "examples"))

from helloworld.helloworld_pb2 import HelloRequest
from helloworld.helloworld_pb2_grpc import GreeterStub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from served import Certificates

__all__ = ["OPTIONS", "GreeterStub", "HelloRequest", "burning", "connect", "latencies"]

OPTIONS = (
    # A separate connection for every client, also to the same address.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.ssl_target_name_override", "localhost"),
)

_TIMEOUT = 60.0


@contextmanager
def connect(address: str, certificates: Certificates) -> Iterator[GreeterStub]:
    """Open a connection with the client's certificate."""
    paths = (certificates.ca, certificates.client_key, certificates.client)
    credentials = grpc.ssl_channel_credentials(*(path.read_bytes() for path in paths))
    with grpc.secure_channel(address, credentials, options=OPTIONS) as channel:
        grpc.channel_ready_future(channel).result(_TIMEOUT)
        yield GreeterStub(channel)


def latencies(greeter: GreeterStub, seconds: float) -> list[float]:
    """Call SayHello repeatedly for `seconds`; return each latency in seconds."""
    request = HelloRequest(name="x" * 60)
    greeter.SayHello(request, timeout=_TIMEOUT)
    taken = []
    now = time.perf_counter()
    end = now + seconds
    while now < end:
        greeter.SayHello(request, timeout=_TIMEOUT)
        began, now = now, time.perf_counter()
        taken.append(now - began)
    return taken


@contextmanager
def burning(greeter: GreeterStub, seconds: float) -> Iterator[Callable[[], int]]:
    """Let a `BurningGreeter` burn; yield a function that waits for its step count."""
    request = HelloRequest(times=round(seconds * 1e3))
    replies = greeter.SayHelloManyTimes(request, timeout=_TIMEOUT)
    next(replies)
    yield lambda: int(next(replies).message)
