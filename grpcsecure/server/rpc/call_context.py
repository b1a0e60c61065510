"""The context that servicers see, and who is calling according to it.

Everything but the few methods named here is grpcio's own context, untouched.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import grpc

from grpcsecure.tls.verify import present_native

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from grpcsecure.model.modes import ClientCertificateMode
    from grpcsecure.model.peer import Peer
    from grpcsecure.server.snapshot import InForce
    from grpcsecure.tls.verify import Presented

__all__ = ["AsyncioContext", "CallContext", "ListenerView", "no_exception", "peer"]


class ListenerView:
    """What a listener knows about the peers of its calls; one for all its calls.

    A caller is what can be asked who calls: grpcio's context, or what the bridge found
    out about its connection.
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
        """Take note of a call that is admitted; here nobody asks for it."""

    def presented(self, caller: Any) -> Presented | None:
        """Return what the caller presented in its handshake, None if nothing."""
        if self._mode is None or not self._mode.asks:
            return None
        return present_native(caller.auth_context(), self._mode, listener=self.name)

    def caller_of(self, context: Any) -> Any:
        """Return the caller of a call, by its context of ours."""
        return context

    def peer(self, context: Any) -> Peer:
        """Judge the peer of a call by what holds now, not at the handshake."""
        judge = self._in_force.snapshot.judges[self.name]
        judgement = judge.judge(self.presented(self.caller_of(context)))
        return judgement.peer(context.peer())


class CallContext:
    """A servicer context of grpcio that also knows its listener.

    Like grpcio's own, it takes attributes: interceptors hand on what they found out.
    """

    def __init__(self, context: Any, view: ListenerView, caller: Any) -> None:
        self._context = context
        self._grpcsecure_view = view
        self._grpcsecure_caller = caller

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def _asked(self) -> Any:
        """Return what knows the caller: grpcio's context, or the bridge's facts."""
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

    Under asyncio grpcio frees the call as soon as it is over, and asking its context
    who called ends the process. This one raises instead.
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
    """Return what stands for something that a servicer raised and is no `Exception`."""
    return RuntimeError(f"the servicer raised {type(error).__name__}")


def _is_unanswered(error: BaseException) -> bool:
    """Whether it would leave the call without an answer, or even end the event loop.

    Calls are ended by a CancelledError, generators by a GeneratorExit. On the main
    thread a KeyboardInterrupt may be a real one, and the loop is somebody else's.
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
