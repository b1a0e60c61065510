"""Who calls through the bridge, found by the name of the inner connection.

Fails closed: a call from a connection that the bridge did not announce is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grpcsecure.server.rpc.call_context import ListenerView
from grpcsecure.server.rpc.inflight_calls import InflightCalls
from grpcsecure.server.rpc.peer_cache import Connection
from grpcsecure.tls.bridge.parent import auth_context as native

if TYPE_CHECKING:
    from grpcsecure.model.modes import ClientCertificateMode
    from grpcsecure.server.snapshot import InForce
    from grpcsecure.tls.bridge.parent.registry import Registry
    from grpcsecure.tls.handshake_result import HandshakeResult

__all__ = ["BridgedConnection", "BridgedView"]


class BridgedConnection(Connection):
    """Answers for a bridged connection what grpcio's context answers for its own.

    `name` is that of the inner connection, which the bridge knows as well.
    """

    __slots__ = ("_properties", "name")

    def __init__(self, name: str, result: HandshakeResult) -> None:
        super().__init__(result)
        self.name = name
        self._properties: dict[str, list[bytes]] | None = None

    def peer(self) -> str:
        """Return the client's real address, as grpcio spells it."""
        return self.result.address

    def auth_context(self) -> dict[str, list[bytes]]:
        """Return the properties of the connection: a copy for each caller."""
        return native.complete(self._kept(), self.result)

    def peer_identities(self) -> list[bytes] | None:
        """Return the names of the client, or None."""
        found = native.peer_identities(self._kept())
        return None if found is None else [*found]

    def peer_identity_key(self) -> str | None:
        """Return the property that `peer_identities` come from, or None."""
        return native.peer_identity_key(self._kept())

    def _kept(self) -> dict[str, list[bytes]]:
        if self._properties is None:
            self._properties = native.properties_to_keep(self.result)
        return self._properties


class _Unidentified:
    """Answers for a connection that the bridge did not announce: a local one."""

    def peer(self) -> str:
        """Return grpcio's address of a unix socket that has none."""
        return "unix:"

    def auth_context(self) -> dict[str, list[bytes]]:
        """Return no properties."""
        return {}

    def peer_identities(self) -> None:
        """Return no names."""

    def peer_identity_key(self) -> None:
        """Return no property."""


class BridgedView(ListenerView):
    """A listener behind the bridge, as its calls see it."""

    __slots__ = ("registry", "running")

    def __init__(
        self, name: str, mode: ClientCertificateMode, in_force: InForce
    ) -> None:
        super().__init__(name, mode, in_force)
        #: Set when the bridge starts. Until then every caller is unknown and refused.
        self.registry: Registry[BridgedConnection] | None = None
        #: The calls of each connection: it is not closed, nor is the server stopped,
        #: while they run.
        self.running = InflightCalls()

    def find(self, context: Any) -> BridgedConnection | None:
        """Return the connection that a call came through; None refuses the call.

        A connection of another listener is refused: that listener may have asked less
        of its client.
        """
        registry = self.registry
        found = None if registry is None else registry.lookup(context.peer())
        if found is None or found.result.listener != self.name:
            return None
        return found

    def begin(self, context: Any, caller: BridgedConnection) -> None:
        """Count a call of `caller` as running until it is over."""
        self.running.begin(context, caller.name)

    def is_busy(self) -> bool:
        """Whether any call runs on a connection that is still open."""
        self.forget_ended()
        return bool(self.running)

    def forget_ended(self) -> None:
        """Forget the calls of connections that have ended."""
        if self.registry is not None and self.running:
            names = {name for name, _ in self.registry.connections()}
            self.running.forget_all_but(names)

    def caller_of(self, context: Any) -> BridgedConnection:
        """Return the caller stored on our wrapper of the gRPC context."""
        caller: BridgedConnection = context._grpcsecure_caller  # noqa: SLF001 - our own
        return caller

    def shown(self, context: Any, caller: Any) -> Any:  # noqa: ARG002 - grpcio's context names the inner connection
        """Return the caller of a denied call for interceptors."""
        return _Unidentified() if caller is None else caller

    def connection(self, caller: Any) -> Connection | None:
        """Return the connection of a caller, None if it is unidentified."""
        return caller if isinstance(caller, Connection) else None
