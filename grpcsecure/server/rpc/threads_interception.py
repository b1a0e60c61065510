"""Runs the interceptors of a threads server, after the decision on each call.

They choose the handler, as in grpcio; its serializers and all else of it stay in use.
"""

from __future__ import annotations

import functools
import logging
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import grpc

from grpcsecure.server.rpc.authorizer import NOT_FOUND, GuardedMethod
from grpcsecure.server.rpc.denied_calls import DeniedContext, show_denied
from grpcsecure.server.rpc.handlers import NO_STREAM, make_handler, rebuild_handler
from grpcsecure.server.rpc.interceptor_chain import (
    CHANGED,
    ChangedMethodError,
    DecidedCall,
    may_run,
)
from grpcsecure.server.rpc.threads_handlers import (
    GuardedCall,
    Requests,
    abort,
    deserialize,
    take_only,
)
from grpcsecure.server.services.recorder import behaviour_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from grpcsecure.server.rpc.authorizer import Authorizer, Refusal
    from grpcsecure.server.rpc.call_context import CallContext
    from grpcsecure.server.rpc.interceptor_chain import Chain

    Behaviour = Callable[..., Any]

__all__ = ["ThreadsInterceptedCalls"]

_LOGGER = logging.getLogger("grpcsecure.server")


class ThreadsInterceptedCalls:
    """Makes the handlers of one listener of a threads server with interceptors."""

    def __init__(self, authorizer: Authorizer, chain: Chain) -> None:
        self._authorizer = authorizer
        self._chain = chain

    def wrap(self, method: str, handler: Any) -> Any:
        """Return a handler that authorizes the call, then runs the interceptors."""
        return _intercept(self._authorizer, method, handler, self._chain)

    def unknown(self, method: str) -> Any:
        """Return the handler of a method that no servicer has."""
        return _intercept(self._authorizer, method, None, self._chain)


def _intercept(authorizer: Authorizer, method: str, base: Any, chain: Chain) -> Any:
    """Return a handler that authorizes the call, then runs the interceptors.

    Args:
        authorizer: that of the listener.
        method: the path of the method.
        base: the handler that is registered for it, or None.
        chain: the interceptors.
    """
    # Messages pass as bytes: the interceptors choose the handler, and so which
    # serializers the messages need.
    guarded = GuardedMethod(authorizer, method, base is not None)
    view = authorizer.view
    streaming = base is None or base.response_streaming
    bound = None if base is None else _bind(method, base)

    def answer(requests: Any, context: Any) -> Any:
        call = DecidedCall(view.name, method, is_denied=False)
        context._grpcsecure_call = call  # noqa: SLF001 - a CallContext
        handler = _choose(chain, call, bound, context)
        responses = _run(handler, guarded, requests, context)
        if streaming:
            return responses
        response = next(responses, None)
        if handler.response_streaming:
            # The handler did not end the call itself, so it would send a stream.
            abort(context, NO_STREAM)
        return response

    def show(context: Any, caller: Any, refusal: Refusal) -> None:
        call = DecidedCall(view.name, method, is_denied=True)
        denied = DeniedContext(context, view, caller, refusal)
        show_denied(chain, call, base, denied)

    # Interceptors run before a message is read, as in grpcio.
    call = GuardedCall(
        guarded,
        answer,
        takes_one=False,
        show_denied=show if chain.sees_denied else None,
    )
    return make_handler(call, response_streaming=streaming)


def _choose(chain: Chain, call: DecidedCall, bound: Any, context: CallContext) -> Any:
    """Return the handler that the interceptors choose; abort if there is none."""
    try:
        handler = chain.choose(call, context.invocation_metadata(), bound)
    except ChangedMethodError:
        abort(context, CHANGED)
    if handler is None:
        abort(context, NOT_FOUND)
    return handler


def _bind(method: str, handler: Any) -> Any:
    """Return a handler for interceptors that only runs for calls of its method."""
    behaviour = behaviour_of(handler)

    @functools.wraps(behaviour)
    def run(request: Any, context: Any, *callback: Any) -> Any:
        if not may_run(method, context):
            abort(context, CHANGED)
        return behaviour(request, context, *callback)

    return rebuild_handler(handler, run)


def _run(
    handler: Any, method: GuardedMethod, requests: Iterator[bytes], context: Any
) -> Iterator[bytes]:
    """Run a handler that an interceptor returned; yield its responses as bytes."""
    behaviour = behaviour_of(handler)
    argument: Any
    if handler.request_streaming:
        messages = Requests(requests, method, context)
        argument = _typed(messages, handler.request_deserializer, context)
    else:
        argument = deserialize(
            take_only(requests, method, context), handler.request_deserializer, context
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


def _typed(requests: Any, deserializer: Any, context: Any) -> Iterator[Any]:
    for message in requests:
        yield deserialize(message, deserializer, context)


def _serialize(response: Any, serializer: Any, context: Any) -> Any:
    if serializer is None:
        return response
    try:
        return serializer(response)
    except Exception:
        code = context.code()
        if code is not None and code is not grpc.StatusCode.OK:
            # A method that sets a code may return None: the call ends with that code.
            abort(context, (code, _decode(context.details())))
        _LOGGER.exception("call.unserializable")
        abort(context, (grpc.StatusCode.INTERNAL, "Failed to serialize response!"))


def _decode(details: bytes | None) -> str:
    return "" if details is None else details.decode(errors="replace")
