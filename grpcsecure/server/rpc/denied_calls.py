"""Shows denied calls to the interceptors that see them, without a way to allow one.

These get a handler that aborts with the status of the denial, and a context that
neither reads nor answers. Whatever they do, the caller of these functions then ends the
call with the status of the denial. No message of a denied call is read.
"""

from __future__ import annotations

import inspect
import logging
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any, NoReturn

import grpc

from grpcsecure.server.event_text import escape
from grpcsecure.server.rpc.call_context import CallContext
from grpcsecure.server.rpc.handlers import rebuild_handler
from grpcsecure.server.services.recorder import behaviour_of, is_coroutine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from grpcsecure.server.rpc.authorizer import Refusal
    from grpcsecure.server.rpc.call_context import ListenerView
    from grpcsecure.server.rpc.interceptor_chain import Chain, DecidedCall

__all__ = [
    "AsyncioDeniedContext",
    "DeniedContext",
    "show_denied",
    "show_denied_on_loop",
]

_LOGGER = logging.getLogger("grpcsecure.policy")


class _DeniedContext(CallContext):
    """The context of a denied call: it reads nothing, and nothing changes its status.

    Metadata may be added to the answer. Other attributes of grpcio's context can be
    asked, but for its private ones.
    """

    def __init__(
        self, context: Any, view: ListenerView, caller: Any, refusal: Refusal
    ) -> None:
        super().__init__(context, view, view.shown(context, caller))
        self.refusal = refusal
        #: Whether an interceptor or the handler has ended the call.
        self.has_ended = False

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return super().__getattr__(name)

    def code(self) -> grpc.StatusCode:
        """Return the status of the denial."""
        return self.refusal[0]

    def set_code(self, code: Any) -> None:
        """Do nothing: the status of a denied call stays."""

    def set_details(self, details: Any) -> None:
        """Do nothing: the text of a denied call stays."""

    def cancel(self) -> bool:
        """Do nothing: the call ends with its status."""
        return False

    def set_trailing_metadata(self, trailing_metadata: Any) -> None:
        """Set metadata of the answer, but none of gRPC's own."""
        self._context.set_trailing_metadata(_without_grpcs_own(trailing_metadata))


class DeniedContext(_DeniedContext):
    """The context of a denied call, for interceptors of threads."""

    def details(self) -> bytes:
        """Return the text of the denial."""
        return self.refusal[1].encode()

    def abort(self, *_arguments: Any, **_named: Any) -> NoReturn:
        """End the call with its own status; always raises."""
        self.has_ended = True
        # As grpcio does: tracing tells an abort from a failure by this very class.
        raise Exception  # noqa: TRY002

    abort_with_status = abort

    def send_initial_metadata(self, initial_metadata: Any) -> None:
        """Send metadata, but none of gRPC's own."""
        self._context.send_initial_metadata(_without_grpcs_own(initial_metadata))


class AsyncioDeniedContext(_DeniedContext):
    """The context of a denied call, for interceptors of asyncio."""

    def details(self) -> str:
        """Return the text of the denial."""
        return self.refusal[1]

    async def abort(self, *_arguments: Any, **_named: Any) -> NoReturn:
        """End the call with its own status; always raises."""
        self.has_ended = True
        raise grpc.aio.AbortError

    abort_with_status = abort

    async def send_initial_metadata(self, initial_metadata: Any) -> None:
        """Send metadata, but none of gRPC's own."""
        await self._context.send_initial_metadata(_without_grpcs_own(initial_metadata))

    async def read(self) -> Any:
        """Return the end of the messages."""
        return grpc.aio.EOF

    async def write(self, response: Any) -> None:
        """Do nothing: a denied call has no responses."""


def _without_grpcs_own(metadata: Any) -> tuple[Any, ...]:
    return tuple(
        (key, value)
        for key, value in metadata or ()
        if not str(key).lower().startswith(("grpc-", ":"))
    )


class _NoMethod:
    """Stands for the handler of a method that no servicer has: a unary one."""

    request_streaming = response_streaming = False
    request_deserializer = response_serializer = None


def show_denied(
    chain: Chain, call: DecidedCall, handler: Any, context: DeniedContext
) -> None:
    """Let the interceptors of threads see a denied call; never raises.

    Args:
        chain: the interceptors.
        call: the denied call.
        handler: that of its method, which does not run, or None.
        context: its context.
    """
    try:
        refusing = rebuild_handler(
            handler or _NoMethod, _refusing(handler, context.refusal)
        )
        chosen = chain.choose(call, context.invocation_metadata(), refusing)
        if chosen is None:
            return
        requests = iter(()) if chosen.request_streaming else None
        responses = behaviour_of(chosen)(requests, context)
        # A first response is an interceptor's own: the call has none.
        if chosen.response_streaming and inspect.isgenerator(responses):
            with closing(responses):
                next(responses, None)
        elif chosen.response_streaming:
            next(iter(responses), None)
    except (Exception, SystemExit):
        if not (context.has_ended or call.is_changed):
            _LOGGER.exception("interceptor.failed", extra=_describe(call))


def _refusing(handler: Any, refusal: Refusal) -> Any:
    def refuse(_requests: Any, context: Any) -> None:
        context.abort(*refusal)

    def refuse_stream(_requests: Any, context: Any) -> Iterator[Any]:
        refuse(_requests, context)
        yield

    return refuse_stream if handler and handler.response_streaming else refuse


async def show_denied_on_loop(
    chain: Chain, call: DecidedCall, handler: Any, context: AsyncioDeniedContext
) -> None:
    """Let the interceptors of asyncio see a denied call, as `show_denied` does."""
    try:
        refusing = rebuild_handler(
            handler or _NoMethod, _refusing_on_loop(handler, context.refusal)
        )
        metadata = context.invocation_metadata()
        chosen = await chain.choose_on_loop(call, metadata, refusing)
        # A plain method in the handler's place would block the loop.
        if chosen is None or not is_coroutine(behaviour_of(chosen)):
            return
        requests = _no_requests() if chosen.request_streaming else None
        responses = behaviour_of(chosen)(requests, context)
        if inspect.isawaitable(responses):
            await responses
        else:
            async with aclosing(responses):
                await anext(responses, None)
    except (Exception, SystemExit):
        if not (context.has_ended or call.is_changed):
            _LOGGER.exception("interceptor.failed", extra=_describe(call))


def _refusing_on_loop(handler: Any, refusal: Refusal) -> Any:
    async def refuse(_requests: Any, context: Any) -> None:
        await context.abort(*refusal)

    async def refuse_stream(_requests: Any, context: Any) -> AsyncIterator[Any]:
        await refuse(_requests, context)
        yield

    return refuse_stream if handler and handler.response_streaming else refuse


async def _no_requests() -> AsyncIterator[Any]:
    return
    yield


def _describe(call: DecidedCall) -> dict[str, str]:
    return {"listener": call.listener, "method": escape(call.method)}
