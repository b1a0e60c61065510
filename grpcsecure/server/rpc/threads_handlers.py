"""Handlers of a threads server: authorize each call, then run the servicer's method.

Serializers and all else of the user's handler stay in use. A refused call occupies a
thread of the pool for a moment, and none of its messages is read.
"""

from __future__ import annotations

import logging
from queue import SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import grpc

from grpcsecure.server.rpc import authorizer
from grpcsecure.server.rpc.authorizer import NOT_FOUND, GuardedMethod
from grpcsecure.server.rpc.call_context import CallContext
from grpcsecure.server.rpc.handlers import NO_STREAM, make_handler
from grpcsecure.server.services.recorder import behaviour_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from grpcsecure.server.rpc.authorizer import Authorizer, Refusal

    Behaviour = Callable[..., Any]

__all__ = ["Admission", "GuardedCall", "ThreadsCalls"]

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

    def __init__(
        self, method: GuardedMethod, answer: Behaviour, *, takes_one: bool
    ) -> None:
        self.authorize = method.authorize
        self.takes_one = takes_one
        self._view = method.authorizer.view
        self._answer = answer

    # `callback` is passed to behaviours in grpcio's experimental non-blocking style.

    def __call__(self, requests: Any, context: Any, *callback: Any) -> Any:
        """Answer a call; `requests` are its messages or its `Admission`."""
        if type(requests) is Admission:
            caller, refusal, requests = requests
        else:
            caller, refusal = self.authorize(context)
        if refusal is not None:
            _abort(context, refusal)
        wrapped = CallContext(context, self._view, caller)
        return self._answer(requests, wrapped, *callback)


class ThreadsCalls:
    """Makes the handlers of one listener of a threads server."""

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
            _abort(context, NOT_FOUND)

        guarded = GuardedMethod(self._authorizer, method, exists=False)
        call = GuardedCall(guarded, answer, takes_one=False)
        return make_handler(call, response_streaming=True)

    def intercepted(
        self, base: Any, continuation: Callable[[Any], Any], details: Any
    ) -> Any:
        """Return a handler that authorizes the call, then runs user interceptors."""
        # Messages pass as bytes: the interceptors choose the handler, and so which
        # serializers the messages need.
        guarded = GuardedMethod(self._authorizer, details.method, base is not None)
        streaming = base is None or base.response_streaming

        def answer(requests: Any, context: Any) -> Any:
            handler = continuation(details)
            if handler is None:
                _abort(context, NOT_FOUND)
            responses = _run(handler, guarded, requests, context)
            if streaming:
                return responses
            response = next(responses, None)
            if handler.response_streaming:
                # The handler did not end the call itself, so it would send a stream.
                _abort(context, NO_STREAM)
            return response

        # Interceptors run before a message is read, as in grpcio.
        call = GuardedCall(guarded, answer, takes_one=False)
        return make_handler(call, response_streaming=streaming)


def _one(method: GuardedMethod, behaviour: Behaviour, deserializer: Any) -> Behaviour:
    """Return a behaviour that calls `behaviour` with the one request of a stream."""

    def answer(requests: Any, context: Any, *callback: Any) -> Any:
        # The message gets no local name, which would keep it until the call ends.
        request = _deserialize(_only(requests, method, context), deserializer, context)
        return behaviour(request, context, *callback)

    return answer


def _many(method: GuardedMethod, behaviour: Behaviour) -> Behaviour:
    """Return a behaviour that calls `behaviour` with a stream of requests."""

    def answer(requests: Any, context: Any, *callback: Any) -> Any:
        return behaviour(_Requests(requests, method, context), context, *callback)

    return answer


class _Requests:
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


def _abort(context: Any, status: Refusal) -> NoReturn:
    context.abort(*status)
    raise AssertionError("abort has raised")


def _run(
    handler: Any, method: GuardedMethod, requests: Iterator[bytes], context: Any
) -> Iterator[bytes]:
    """Run a handler that an interceptor returned; yield its responses as bytes."""
    behaviour = behaviour_of(handler)
    argument: Any
    if handler.request_streaming:
        messages = _Requests(requests, method, context)
        argument = _typed(messages, handler.request_deserializer, context)
    else:
        argument = _deserialize(
            _only(requests, method, context), handler.request_deserializer, context
        )
    serializer = handler.response_serializer
    if not handler.response_streaming:
        response = behaviour(argument, context)
        return iter((_serialize(response, serializer, context),))
    if getattr(behaviour, "experimental_non_blocking", False):
        responses = _blocking(behaviour, argument, context)
    else:
        responses = iter(behaviour(argument, context))
    # None ends a stream of responses, as in grpcio.
    return (
        _serialize(response, serializer, context)
        for response in iter(lambda: next(responses, None), None)
    )


def _blocking(behaviour: Behaviour, argument: Any, context: Any) -> Iterator[Any]:
    """Run a behaviour that passes its responses to a callback; yield them."""
    responses: SimpleQueue[Any] = SimpleQueue()
    behaviour(argument, context, responses.put)
    if not context.add_callback(lambda: responses.put(None)):
        responses.put(None)
    return iter(responses.get, None)


def _only(requests: Any, method: GuardedMethod, context: CallContext) -> bytes:
    """Return the one message of a unary call; abort as grpcio does if there is none."""
    began = monotonic()
    try:
        message: bytes = next(requests)
    except StopIteration:
        text = f'"{method.name}" requires exactly one request message.'
        _abort(context, (grpc.StatusCode.UNIMPLEMENTED, text))
    _decide_again(method, context, began)
    return message


def _decide_again(method: GuardedMethod, context: CallContext, began: float) -> None:
    """Refuse a call whose first message came late if its caller is allowed no more."""
    if monotonic() - began >= authorizer.FRESH:
        _, refusal = method.authorize(context._context)  # noqa: SLF001 - a CallContext, with grpcio's inside
        if refusal is not None:
            _abort(context, refusal)


def _typed(requests: Any, deserializer: Any, context: Any) -> Iterator[Any]:
    for message in requests:
        yield _deserialize(message, deserializer, context)


def _deserialize(message: bytes, deserializer: Any, context: Any) -> Any:
    if deserializer is None:
        return message
    try:
        return deserializer(message)
    except Exception:
        _LOGGER.exception("call.unreadable")
        _abort(context, (grpc.StatusCode.INTERNAL, "Exception deserializing request!"))


def _serialize(response: Any, serializer: Any, context: Any) -> Any:
    if serializer is None:
        return response
    try:
        return serializer(response)
    except Exception:
        code = context.code()
        if code is not None and code is not grpc.StatusCode.OK:
            # A method that sets a code may return None: the call ends with that code.
            _abort(context, (code, _decode(context.details())))
        _LOGGER.exception("call.unserializable")
        _abort(context, (grpc.StatusCode.INTERNAL, "Failed to serialize response!"))


def _decode(details: bytes | None) -> str:
    return "" if details is None else details.decode(errors="replace")
