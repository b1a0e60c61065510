"""Hook in grpcio's sync servers that authorizes calls before they get a thread.

grpcio gives each call a thread of the pool, where it waits for its message. That is two
thread switches for each call, and a thread is occupied while a message is awaited. Here
a call is authorized on grpcio's own thread, and a call that takes one message gets a
thread of the pool when the message has arrived. If this grpcio lacks names of
`_bindings.THREADS`, grpcio assigns the threads, and calls are authorized there
(`server.fallback`).
"""

from __future__ import annotations

from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

from grpcsecure.server.grpcio import _bindings as grpcio
from grpcsecure.server.grpcio.pool import Work
from grpcsecure.server.rpc import authorizer
from grpcsecure.server.rpc.threads_handlers import Admission, GuardedCall

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from grpcsecure.server.grpcio.pool import Pool

__all__ = ["SyncServerHook"]


def _functions() -> frozenset[Any]:
    """Return grpcio's functions that serve a call in a thread, if all names exist."""
    if grpcio.THREADS.missing:
        return frozenset()
    return frozenset(
        {grpcio.unary_response_in_pool, grpcio.stream_response_in_pool},
    )


_IN_POOL = _functions()
#: The number of arguments that `submit` gets: one of `_IN_POOL`, event, state,
#: behaviour, a function that returns the argument, deserializer and serializer.
_ARGUMENTS = 7


class SyncServerHook:
    """The thread pool of a `grpc.server`, which runs calls on the threads of `pool`.

    A call counts as running from `submit` on: for `max_concurrent_rpcs`, and for a
    drain.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def submit(self, function: Callable[..., object], /, *arguments: Any) -> Work:
        """Serve a call; called on grpcio's thread, which holds the call's lock.

        An exception would end that thread, and with it the server. Therefore a call
        that gets no thread is cancelled.

        Raises:
            RuntimeError: as `Pool.submit`, for work that is not a guarded call.
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

            def admission() -> Admission | None:
                # As in grpcio, a call whose client has left meanwhile is not served.
                if not context.is_active():
                    return None
                decision = caller, None
                if monotonic() - began >= authorizer.FRESH:
                    decision = behaviour.authorize(context)
                return Admission(*decision, _taken(messages))

            work = Work(
                function,
                (_serve, serve, event, state, behaviour, admission, *coders),
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
        """Let gRPC read a message, and run the work when it has arrived."""
        # Stores the message in the state; no thread waits on the state for it.
        receive = grpcio.receive_message(state, call, None)

        def arrived(event: Any) -> Any:
            received = receive(event)
            message, state.request = state.request, None
            if message is not None:
                messages.append(message)
            # Also without a message: the handler then aborts the call with the reason.
            self._take(work, call)
            return received

        call.start_server_batch((grpcio.ReceiveMessageOperation(0),), arrived)
        state.due.add(grpcio.RECEIVE_MESSAGE_TOKEN)

    def _take(self, work: Work, call: Any) -> None:
        """Run the work of a call in the pool, or cancel the call."""
        try:
            self._pool.take(work)
        except RuntimeError:  # the pool is shut down, or the system has no thread left
            work.drop()
            with suppress(Exception):
                call.cancel()


def _serve(
    serve: Callable[..., object], event: Any, state: Any, *arguments: Any
) -> None:
    """Let grpcio serve a call; end the call if it raises other than an `Exception`.

    grpcio would not end such a call: its client would wait until its deadline.
    """
    try:
        serve(event, state, *arguments)
    except BaseException as error:
        details = f"Exception calling application: {type(error).__name__}"
        with state.condition:
            if not state.statused:
                grpcio.abort(state, event.call, grpcio.STATUS_UNKNOWN, details.encode())
        raise  # the pool logs it


def _taken(messages: list[bytes]) -> Iterator[bytes]:
    """Yield the messages and keep none: calls may last, and messages may be large."""
    while messages:
        yield messages.pop()
