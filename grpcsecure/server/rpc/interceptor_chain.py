"""The chain of interceptors that runs around the method of a decided call.

grpcsecure runs interceptors itself: grpcio would look up the method that the innermost
one names. Here the innermost `continuation` returns the handler of the decided method
and no other.
"""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc

from grpcsecure.server.event_text import escape

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "CHANGED",
    "Chain",
    "ChangedMethodError",
    "DecidedCall",
    "InterceptedCallDetails",
    "Interceptor",
    "find_call",
    "may_run",
]

_LOGGER = logging.getLogger("grpcsecure.policy")

#: The status of a call for which an interceptor asked for another method.
CHANGED = (grpc.StatusCode.INTERNAL, "an interceptor changed the method of the call")


class Interceptor(NamedTuple):
    """An interceptor of grpcio, and whether it sees denied calls."""

    interceptor: Any
    sees_denied: bool = False


class InterceptedCallDetails(NamedTuple):
    """What an interceptor sees of a call before it runs; `grpc.HandlerCallDetails`."""

    method: str
    invocation_metadata: Any


grpc.HandlerCallDetails.register(InterceptedCallDetails)


class ChangedMethodError(Exception):
    """An interceptor asked for the handler of a method that was not decided."""


class DecidedCall:
    """A call whose decision is made.

    Attributes:
        listener: the name of its listener.
        method: the one method that may run for it.
        is_denied: whether none may run.
        caller: who calls, if that is not grpcio's context itself.
        is_changed: whether an interceptor asked for another method.
    """

    __slots__ = ("caller", "is_changed", "is_denied", "listener", "method")

    def __init__(
        self, listener: str, method: str, *, is_denied: bool, caller: Any = None
    ) -> None:
        self.listener = listener
        self.method = method
        self.is_denied = is_denied
        self.caller = caller
        self.is_changed = False

    def log_change(self, method: Any) -> None:
        """Note and log that the handler of another method was asked for or run."""
        self.is_changed = True
        _LOGGER.error(
            "interceptor.method_changed",
            extra={
                "listener": self.listener,
                "method": escape(self.method),
                "to": escape(str(method)),
            },
        )


#: The call that this thread or task runs interceptors and handlers for.
_CURRENT: ContextVar[DecidedCall | None] = ContextVar("grpcsecure_call", default=None)


def find_call(context: Any) -> DecidedCall | None:
    """Return the call that runs, None if it is unknown."""
    # An interceptor may run handlers in a thread of its own, which has no such value.
    call: DecidedCall | None = _CURRENT.get()
    return call or getattr(context, "_grpcsecure_call", None)


def may_run(method: str, context: Any) -> bool:
    """Whether a method was decided for the call that it is about to run for.

    An interceptor may keep the handler of one call and return it for another.
    """
    call = find_call(context)
    if call is None or call.is_denied:
        return False
    if call.method != method:
        call.log_change(method)
    return call.method == method


class Chain:
    """The interceptors of one runtime, outermost first."""

    def __init__(self, interceptors: Sequence[Interceptor]) -> None:
        self._all = tuple(one.interceptor for one in interceptors)
        self._of_denied = tuple(
            one.interceptor for one in interceptors if one.sees_denied
        )

    @property
    def sees_denied(self) -> bool:
        """Whether some interceptor sees denied calls."""
        return bool(self._of_denied)

    def _begin(self, call: DecidedCall) -> tuple[Any, ...]:
        _CURRENT.set(call)  # each call has its own context, in both runtimes
        return self._of_denied if call.is_denied else self._all

    def choose(self, call: DecidedCall, metadata: Any, handler: Any) -> Any:
        """Run the interceptors of threads; return the handler that they choose.

        Args:
            call: the decided call.
            metadata: its metadata.
            handler: that of the decided method, or None if no servicer has it.

        Raises:
            ChangedMethodError: one asked for another method, and may hide that.
        """
        interceptors = self._begin(call)

        def ask(position: int, details: Any) -> Any:
            if position == len(interceptors):
                return _decided(call, details, handler)
            return interceptors[position].intercept_service(
                lambda details: ask(position + 1, details), details
            )

        chosen = ask(0, InterceptedCallDetails(call.method, metadata))
        if call.is_changed:
            raise ChangedMethodError
        return chosen

    async def choose_on_loop(
        self, call: DecidedCall, metadata: Any, handler: Any
    ) -> Any:
        """Run the interceptors of asyncio, as `choose` does those of threads."""
        interceptors = self._begin(call)

        async def ask(position: int, details: Any) -> Any:
            if position == len(interceptors):
                return _decided(call, details, handler)
            return await interceptors[position].intercept_service(
                lambda details: ask(position + 1, details), details
            )

        chosen = await ask(0, InterceptedCallDetails(call.method, metadata))
        if call.is_changed:
            raise ChangedMethodError
        return chosen


def _decided(call: DecidedCall, details: Any, handler: Any) -> Any:
    method = getattr(details, "method", None)
    if method != call.method:
        call.log_change(method)
        raise ChangedMethodError
    return handler
