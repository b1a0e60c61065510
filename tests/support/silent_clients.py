"""Clients that open a call and keep its message, and what a server knows of them."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from queue import SimpleQueue
from typing import TYPE_CHECKING

import grpc
from support.bridge import eventually
from support.guarded import CallResult
from support.services import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["SilentCall", "counted_calls", "known_calls", "silent_calls"]


class SilentCall:
    """A call, whatever its kind, that says nothing until it is told to."""

    def __init__(self, channel, method, *, timeout=2 * PATIENCE):
        self._messages = SimpleQueue()
        self.call = channel.stream_stream(method)(
            iter(self._messages.get, None), timeout=timeout
        )

    def send(self, *messages: bytes):
        """Send the messages; there will be no others."""
        for message in (*messages, None):
            self._messages.put(message)

    def result(self) -> CallResult:
        """Wait for the end of the call; return what came of it."""
        received = []
        try:
            received.extend(self.call)
        except grpc.RpcError:
            pass
        finally:
            self._messages.put(None)
        return CallResult(self.call.code(), self.call.details(), tuple(received))

    def cancel(self):
        """Cancel the call."""
        self.call.cancel()
        self._messages.put(None)


@contextmanager
def silent_calls(channel, method, runtime, count=1) -> Iterator[list[SilentCall]]:
    """Open calls that say nothing, the only ones that `runtime` knows then."""
    eventually(lambda: known_calls(runtime) == 0, what="no call known")
    with ExitStack() as stack:
        calls = [SilentCall(channel, method) for _ in range(count)]
        for each in calls:
            stack.callback(each.cancel)
        eventually(lambda: known_calls(runtime) == count, what="all calls known")
        yield calls


def known_calls(runtime):
    """Return how many calls the servers of the threads runtime know."""
    return sum(len(server._state.rpc_states) for server in runtime._servers)


def counted_calls(runtime):
    """Return how many of them count for `max_concurrent_rpcs`."""
    return sum(server._state.active_rpc_count for server in runtime._servers)
