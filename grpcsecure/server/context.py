"""The context that servicers see, and who is calling according to it.

Everything but the few methods named here is grpcio's own context, untouched.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import grpc

from grpcsecure.model.peer import AnonymousPeer
from grpcsecure.tls.verify import judge

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from grpcsecure.model.modes import ClientCertificateMode
    from grpcsecure.model.peer import Peer

__all__ = ["REFUSED", "AsyncioContext", "CallContext", "ListenerView", "admit", "peer"]

#: What a caller is told that nobody vouches for; the reason is in the log.
REFUSED = (grpc.StatusCode.UNAUTHENTICATED, "not authenticated")


class ListenerView:
    """What a listener knows about the peers of its calls; one for all its calls."""

    __slots__ = ("_mode", "name")

    def __init__(self, name: str, mode: ClientCertificateMode | None) -> None:
        self.name = name
        self._mode = mode  # None: plaintext

    def find(self, context: Any) -> Any:
        """Return what can be asked who calls; None refuses the call."""
        return context

    def peer(self, context: Any) -> Peer:
        """Judge the peer of `context` by what holds now, not at the handshake."""
        address = context.peer()
        if self._mode is None:
            return AnonymousPeer(listener=self.name, address=address)
        return judge(
            context.auth_context(),
            mode=self._mode,
            listener=self.name,
            address=address,
            now=datetime.now(timezone.utc),
        )


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
        if isinstance(error, SystemExit):
            # It would end the event loop, and with it every other call.
            raise RuntimeError("the servicer raised SystemExit") from error  # noqa: TRY004 - not about a type

    def finish(self) -> None:
        """Note that the call is over."""
        self._over = True

    def _asked(self) -> Any:
        caller = super()._asked()
        if self._over and caller is self._context:
            raise RuntimeError("the call is over: ask its context while it runs")
        return caller


async def admit(context: Any, view: ListenerView) -> Any:
    """Return what knows the caller; a call of nobody ends here, under asyncio."""
    caller = view.find(context)
    if caller is None:
        await context.abort(*REFUSED)
    return caller


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
