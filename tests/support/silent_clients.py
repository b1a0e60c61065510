"""Clients that open calls without sending a message, and counts of a server's calls."""

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
    """A call of any kind that sends no message until `send`."""

    def __init__(self, channel, method, *, timeout=2 * PATIENCE):
        self._messages = SimpleQueue()
        self.call = channel.stream_stream(method)(
            iter(self._messages.get, None), timeout=timeout
        )

    def send(self, *messages: bytes):
        """Send the messages, and half-close the call."""
        for message in (*messages, None):
            self._messages.put(message)

    def result(self) -> CallResult:
        """Wait for the end of the call; return its result."""
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
    """Open calls that send no message; `runtime` has no others."""
    eventually(lambda: known_calls(runtime) == 0, what="no call known")
    with ExitStack() as stack:
        calls = [SilentCall(channel, method) for _ in range(count)]
        for each in calls:
            stack.callback(each.cancel)
        eventually(lambda: known_calls(runtime) == count, what="all calls known")
        yield calls


def known_calls(runtime):
    """Return the number of open calls of the threads runtime's servers."""
    return sum(len(server._state.rpc_states) for server in runtime._servers)


def counted_calls(runtime):
    """Return the number of calls that count for `max_concurrent_rpcs`."""
    return sum(server._state.active_rpc_count for server in runtime._servers)
