"""Calls of grpcio's sync servers, decided before they get a thread.

grpcio gives each call a thread of the pool, where it waits for its message. That is two
hand-overs for each call, and a thread is held while a message is awaited. Here a call
is decided on grpcio's own thread, and one that takes one message gets a thread of the
pool when the message is there. With a grpcio that lacks names of `_names.THREADS`,
calls get their threads as grpcio does it, and are decided there (`server.fallback`).
"""

from __future__ import annotations

from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

from grpcsecure.server.grpcio import _names as grpcio
from grpcsecure.server.grpcio.pool import Work
from grpcsecure.server.rpc import authorizer
from grpcsecure.server.rpc.threads_handlers import Admission, GuardedCall

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from grpcsecure.server.grpcio.pool import Pool

__all__ = ["SyncServerHook"]


def _functions() -> frozenset[Any]:
    """Return grpcio's functions that serve a call in a thread; none if names lack."""
    if grpcio.THREADS.missing:
        return frozenset()
    return frozenset(
        {grpcio.unary_response_in_pool, grpcio.stream_response_in_pool},
    )


#: What else `submit` gets with these: event, state, behaviour, a function that returns
#: its argument, deserializer and serializer.
_IN_POOL = _functions()
_ARGUMENTS = 7


class SyncServerHook:
    """What a `grpc.server` takes for its thread pool; the threads are those of `pool`.

    A call counts as one that runs from here on: for `max_concurrent_rpcs`, and for a
    drain.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def submit(self, function: Callable[..., object], /, *arguments: Any) -> Work:
        """Have a call served; called by grpcio's thread, which holds the call's lock.

        An exception would end that thread, and with it the server: a call that gets no
        thread is cancelled.

        Raises:
            RuntimeError: as `Pool.submit`, for what is left to grpcio.
        """
        if (
            len(arguments) != _ARGUMENTS
            or arguments[0] not in _IN_POOL
            or not isinstance(arguments[3], GuardedCall)
        ):
            return self._pool.submit(function, *arguments)
        serve, event, state, behaviour, argument, *coders = arguments
        context = grpcio.Context(event, state, None)
        caller, refusal = behaviour.authorize(context)
        if refusal is None and behaviour.takes_one:
            messages: list[bytes] = []
            began = monotonic()

            def once_there() -> Admission | None:
                # As by grpcio, a call whose client has left meanwhile is not served.
                if not context.is_active():
                    return None
                admitted = caller, None
                if monotonic() - began >= authorizer.FRESH:
                    admitted = behaviour.authorize(context)
                return Admission(*admitted, _taken(messages))

            work = Work(
                function,
                (_serve, serve, event, state, behaviour, once_there, *coders),
            )
            self._await_message(event.call, state, messages, work)
            return work
        decided = Admission(caller, refusal, argument())
        work = Work(
            function,
            (_serve, serve, event, state, behaviour, lambda: decided, *coders),
        )
        self._take(work, event.call)
        return work

    def _await_message(
        self, call: Any, state: Any, messages: list[bytes], work: Work
    ) -> None:
        """Have gRPC read a message, and the work done when it is there."""
        # It looks for what the client sent, and tells the state; nobody waits for that.
        receive = grpcio.receive_message(state, call, None)

        def arrived(event: Any) -> Any:
            received = receive(event)
            message, state.request = state.request, None
            if message is not None:
                messages.append(message)
            # Without one, the thread tells the client what is missing.
            self._take(work, call)
            return received

        call.start_server_batch((grpcio.ReceiveMessageOperation(0),), arrived)
        state.due.add(grpcio.RECEIVE_MESSAGE_TOKEN)

    def _take(self, work: Work, call: Any) -> None:
        """Have the pool do the work of a call, or cancel that."""
        try:
            self._pool.take(work)
        except RuntimeError:  # it has shut down, or the system has no thread left
            work.drop()
            with suppress(Exception):
                call.cancel()


def _serve(
    serve: Callable[..., object], event: Any, state: Any, *arguments: Any
) -> None:
    """Have grpcio serve a call, and answer it if what it raised is no `Exception`.

    grpcio would leave such a call as it is: its client would wait until its deadline.
    """
    try:
        serve(event, state, *arguments)
    except BaseException as error:
        details = f"Exception calling application: {type(error).__name__}"
        with state.condition:
            if not state.statused:
                grpcio.abort(state, event.call, grpcio.STATUS_UNKNOWN, details.encode())
        raise  # and is logged by the pool


def _taken(messages: list[bytes]) -> Iterator[bytes]:
    """Yield the messages, and hold on to none: a call may last, and they be large."""
    while messages:
        yield messages.pop()
