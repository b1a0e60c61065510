"""Handlers of a threads server: authorize each call, then run the servicer's method.

Serializers and all else of the user's handler stay in use. A refused call occupies a
thread of the pool for a moment, and none of its messages is read.
"""

from __future__ import annotations

import logging
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import grpc

from grpcsecure.server.rpc import authorizer
from grpcsecure.server.rpc.authorizer import NOT_FOUND, GuardedMethod
from grpcsecure.server.rpc.call_context import CallContext
from grpcsecure.server.rpc.handlers import make_handler
from grpcsecure.server.services.recorder import behaviour_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from grpcsecure.server.rpc.authorizer import Authorizer, Refusal

    Behaviour = Callable[..., Any]

__all__ = [
    "Admission",
    "GuardedCall",
    "Requests",
    "ThreadsCalls",
    "abort",
    "deserialize",
    "take_only",
]

_LOGGER = logging.getLogger("grpcsecure.server")


class Admission(NamedTuple):
    """The decision about a call, passed to its behaviour in place of the requests."""

    caller: Any
    refusal: Refusal | None
    requests: Any


class GuardedCall:
    """The behaviour that grpcio calls for a method: authorizes the call and answers it.

    A call that arrives with an `Admission` has been authorized before. Instances take
    attributes as functions do; grpcio looks for some.

    Attributes:
        authorize: decides about a call, as `Authorizer.authorize` does.
        takes_one: whether the method takes exactly one message from the client.
    """

    # `show_denied` runs the interceptors that see denied calls.
    def __init__(
        self,
        method: GuardedMethod,
        answer: Behaviour,
        *,
        takes_one: bool,
        show_denied: Callable[[Any, Any, Refusal], None] | None = None,
    ) -> None:
        self.authorize = method.authorize
        self.takes_one = takes_one
        self._view = method.authorizer.view
        self._answer = answer
        self._show_denied = show_denied

    # `callback` is passed to behaviours in grpcio's experimental non-blocking style.

    def __call__(self, requests: Any, context: Any, *callback: Any) -> Any:
        """Answer a call; `requests` are its messages or its `Admission`."""
        if type(requests) is Admission:
            caller, refusal, requests = requests
        else:
            caller, refusal = self.authorize(context)
        if refusal is not None:
            try:
                if self._show_denied is not None:
                    self._show_denied(context, caller, refusal)
            finally:  # whatever the interceptors did
                abort(context, refusal)
        wrapped = CallContext(context, self._view, caller)
        return self._answer(requests, wrapped, *callback)


class ThreadsCalls:
    """Makes the handlers of one listener of a threads server.

    Args:
        authorizer: the listener's authorizer.
    """

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def wrap(self, method: str, handler: Any) -> Any:
        """Return a handler that authorizes the call, then runs `handler`."""
        behaviour, deserializer = behaviour_of(handler), handler.request_deserializer
        takes_one = not handler.request_streaming
        guarded, answer = GuardedMethod(self._authorizer, method), behaviour
        if takes_one:
            answer = _one(guarded, behaviour, deserializer)
            deserializer = None
        else:
            answer = _many(guarded, behaviour)
        call = GuardedCall(guarded, answer, takes_one=takes_one)
        # Attributes that grpcio's experimental styles of servicers set.
        for name in ("experimental_non_blocking", "experimental_thread_pool"):
            if hasattr(behaviour, name):
                setattr(call, name, getattr(behaviour, name))
        return make_handler(
            call,
            response_streaming=handler.response_streaming,
            request_deserializer=deserializer,
            response_serializer=handler.response_serializer,
        )

    def unknown(self, method: str) -> Any:
        """Return the handler of a method that no servicer has."""

        def answer(_requests: Any, context: Any) -> NoReturn:
            abort(context, NOT_FOUND)

        guarded = GuardedMethod(self._authorizer, method, exists=False)
        call = GuardedCall(guarded, answer, takes_one=False)
        return make_handler(call, response_streaming=True)


def _one(method: GuardedMethod, behaviour: Behaviour, deserializer: Any) -> Behaviour:
    """Return a behaviour that calls `behaviour` with the one request of a stream."""

    def answer(requests: Any, context: Any, *callback: Any) -> Any:
        # The message gets no local name, which would keep it until the call ends.
        request = deserialize(
            take_only(requests, method, context), deserializer, context
        )
        return behaviour(request, context, *callback)

    return answer


def _many(method: GuardedMethod, behaviour: Behaviour) -> Behaviour:
    """Return a behaviour that calls `behaviour` with a stream of requests."""

    def answer(requests: Any, context: Any, *callback: Any) -> Any:
        return behaviour(Requests(requests, method, context), context, *callback)

    return answer


class Requests:
    """The messages of a streaming call, which is decided again at a late first one."""

    __slots__ = ("_began", "_context", "_method", "_requests")

    def __init__(
        self, requests: Any, method: GuardedMethod, context: CallContext
    ) -> None:
        self._requests = requests
        self._method = method
        self._context = context
        self._began: float | None = monotonic()

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        message = next(self._requests)
        if self._began is not None:
            began, self._began = self._began, None
            _decide_again(self._method, self._context, began)
        return message

    # grpcio's own iterator has it, too.
    next = __next__


def abort(context: Any, status: Refusal) -> NoReturn:
    """End a call with a status."""
    context.abort(*status)
    raise AssertionError("abort has raised")


def take_only(requests: Any, method: GuardedMethod, context: CallContext) -> bytes:
    """Return the one message of a unary call; abort as grpcio does if there is none."""
    began = monotonic()
    try:
        message: bytes = next(requests)
    except StopIteration:
        text = f'"{method.name}" requires exactly one request message.'
        abort(context, (grpc.StatusCode.UNIMPLEMENTED, text))
    _decide_again(method, context, began)
    return message


def _decide_again(method: GuardedMethod, context: CallContext, began: float) -> None:
    """Refuse a call whose first message came late if its caller is allowed no more."""
    if monotonic() - began >= authorizer.FRESH:
        _, refusal = method.authorize(context._context)  # noqa: SLF001 - a CallContext, with grpcio's inside
        if refusal is not None:
            abort(context, refusal)


def deserialize(message: bytes, deserializer: Any, context: Any) -> Any:
    """Deserialize a message as grpcio does; abort the call if that fails."""
    if deserializer is None:
        return message
    try:
        return deserializer(message)
    except Exception:
        _LOGGER.exception("call.unreadable")
        abort(context, (grpc.StatusCode.INTERNAL, "Exception deserializing request!"))
