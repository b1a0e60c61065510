"""The context that servicers see, and who is calling according to it.

Everything but the few methods named here is grpcio's own context, untouched.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import grpc

from grpcsecure.server.rpc.peer_cache import native_connection

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from grpcsecure.model.modes import ClientCertificateMode
    from grpcsecure.model.peer import Peer
    from grpcsecure.server.rpc.peer_cache import Connection
    from grpcsecure.server.snapshot import InForce

__all__ = ["AsyncioContext", "CallContext", "ListenerView", "no_exception", "peer"]


class ListenerView:
    """A listener as its calls see it: how to find the caller of each.

    A caller answers who calls: grpcio's own context, or a `BridgedConnection`.
    """

    __slots__ = ("_in_force", "_mode", "name")

    def __init__(
        self, name: str, mode: ClientCertificateMode | None, in_force: InForce
    ) -> None:
        self.name = name
        self._mode = mode  # None: plaintext
        self._in_force = in_force

    @property
    def verifies(self) -> bool:
        """Whether a certificate that is not verified is refused."""
        return self._mode is not None and self._mode.verifies

    def find(self, context: Any) -> Any:
        """Return the caller; None refuses the call."""
        return context

    def begin(self, context: Any, caller: Any) -> None:
        """Count an authorized call as running; only bridged listeners need it."""

    def connection(self, caller: Any) -> Connection | None:
        """Return the connection of a caller, None if it presented no certificate."""
        if self._mode is None or not self._mode.asks:
            return None
        return native_connection(caller.auth_context(), self._mode, listener=self.name)

    def caller_of(self, context: Any) -> Any:
        """Return the caller of the call that a context belongs to."""
        return context

    def shown(self, context: Any, caller: Any) -> Any:
        """Return the caller of a denied call for interceptors; None is unidentified."""
        return context if caller is None else caller

    def peer(self, context: Any) -> Peer:
        """Return the peer of a call as of now, not of its handshake."""
        resolver = self._in_force.snapshot.resolvers[self.name]
        resolved = resolver.resolve(self.connection(self.caller_of(context)))
        return resolved.peer(context.peer())


class CallContext:
    """A servicer context of grpcio that also knows its listener.

    Like grpcio's own, it takes attributes, by which interceptors pass values on.
    """

    def __init__(self, context: Any, view: ListenerView, caller: Any) -> None:
        self._context = context
        self._grpcsecure_view = view
        self._grpcsecure_caller = caller

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def _asked(self) -> Any:
        """Return the caller: grpcio's context, or the bridged connection."""
        return self._grpcsecure_caller

    def peer(self) -> str:
        """Return the client's address, as grpcio spells it."""
        address: str = self._asked().peer()
        return address

    def peer_identities(self) -> Any:
        """Return the names of the client, or None."""
        return self._asked().peer_identities()

    def peer_identity_key(self) -> Any:
        """Return the property that `peer_identities` come from, or None."""
        return self._asked().peer_identity_key()

    def auth_context(self) -> Any:
        """Return the properties of the connection."""
        return self._asked().auth_context()


class AsyncioContext(CallContext):
    """A context that a servicer may keep beyond the call; the call is a `with` block.

    Under asyncio grpcio frees the call as soon as it is over; its own context must not
    be asked after that. This one raises instead.
    """

    def __init__(self, context: Any, view: ListenerView, caller: Any) -> None:
        super().__init__(context, view, caller)
        self._over = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.finish()
        if error is not None and _is_unanswered(error):
            raise no_exception(error) from error

    def finish(self) -> None:
        """Note that the call is over."""
        self._over = True

    def _asked(self) -> Any:
        caller = super()._asked()
        if self._over and caller is self._context:
            raise RuntimeError("the call is over: ask its context while it runs")
        return caller


def no_exception(error: BaseException) -> Exception:
    """Return an `Exception` in place of a bare `BaseException` of a servicer."""
    return RuntimeError(f"the servicer raised {type(error).__name__}")


def _is_unanswered(error: BaseException) -> bool:
    """Whether an error would leave the call unanswered, or even end the event loop.

    Calls are ended by a CancelledError, generators by a GeneratorExit. On the main
    thread a KeyboardInterrupt may be the user's, and so may the loop be.
    """
    if isinstance(error, (Exception, asyncio.CancelledError, GeneratorExit)):
        return False
    is_main = threading.current_thread() is threading.main_thread()
    return not (is_main and isinstance(error, KeyboardInterrupt))


# `isinstance(context, grpc.ServicerContext)` stays true, as in plain grpcio.
grpc.ServicerContext.register(CallContext)
grpc.aio.ServicerContext.register(CallContext)


def peer(context: Any) -> Peer:
    """Return who is calling, and how far that can be trusted.

    Works in threads and asyncio servicers, and in interceptors, for as long as the
    context itself may be used.

    Args:
        context: the servicer context of a call, or a wrapper that passes attributes on.

    Raises:
        TypeError: the context does not come from a grpcsecure server.
    """
    view = getattr(context, "_grpcsecure_view", None)
    if not isinstance(view, ListenerView):
        raise TypeError(
            "expected the context of a call served by grpcsecure,"
            f" got {type(context).__name__}"
        )
    return view.peer(context)
