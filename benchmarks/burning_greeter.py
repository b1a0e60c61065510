"""A greeter that burns CPU time on request, in the thread of the call."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from helloworld.helloworld_pb2 import HelloReply
from plain_greeter import Greeter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from helloworld.helloworld_pb2 import HelloRequest

_STEPS = 10_000


class BurningGreeter(Greeter):
    """SayHello is cheap as in `Greeter`; SayHelloManyTimes computes without waiting."""

    def SayHelloManyTimes(
        self, request: HelloRequest, context: Any
    ) -> Iterator[HelloReply]:
        """Reply, compute for `times` milliseconds, and reply with the steps done."""
        yield HelloReply(message="begun")
        steps = 0
        end = time.perf_counter() + request.times / 1e3
        while time.perf_counter() < end:
            for _ in range(_STEPS):
                steps += 1
        yield HelloReply(message=str(steps))
