"""A listener inside the bridge: its sockets and the context for the next handshake."""

from __future__ import annotations

import socket
from collections.abc import Hashable
from typing import TYPE_CHECKING, Protocol

from grpcsecure.tls.bridge.child.client_address import render_address
from grpcsecure.tls.bridge.child.reactor import Deadlines
from grpcsecure.tls.bridge.ipc.framing import ProtocolError
from grpcsecure.tls.bridge.ipc.refusal import Refusal, RefusalKind
from grpcsecure.tls.openssl.context import ContextError, build_contexts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from OpenSSL import SSL

    from grpcsecure.tls.bridge.child.reactor import Reactor
    from grpcsecure.tls.bridge.ipc.messages import ListenOrder
    from grpcsecure.tls.openssl.settings import ContextMaterial
    from grpcsecure.tls.openssl.trial_handshake import HandshakeTrials

__all__ = ["ReadyMaterial", "ServedListener", "build_all"]


#: Milliseconds after which the kernel closes the connection of a client that
#: acknowledges none of the data sent to it (tcp(7)). gRPC sets the same value on its
#: own servers' sockets, on systems that have the option. Nothing else would end such a
#: connection, because the server waits for the bridge.
_USER_TIMEOUT = 20_000


class Expiring(Hashable, Protocol):
    """A handshake whose time is limited."""

    def expire(self) -> None:
        """End it: its time is over."""


class ReadyMaterial:
    """The context that was built from key material, to be assigned by a swap."""

    __slots__ = ("context", "generation", "has_client_ca")

    def __init__(self, context: SSL.Context, material: ContextMaterial) -> None:
        self.context = context
        self.generation = material.generation
        self.has_client_ca = material.client_ca is not None


class ServedListener:
    """Listening sockets with their settings and their current context."""

    __slots__ = (
        "_connections",
        "_max_connections",
        "_ready",
        "_trials",
        "deadlines",
        "name",
        "settings",
        "sockets",
        "upstream_path",
    )

    def __init__(
        self,
        order: ListenOrder,
        reactor: Reactor,
        trials: HandshakeTrials,
    ) -> None:
        self.name = order.listener
        self.settings = order.settings
        self.upstream_path = order.upstream_path
        self.sockets: list[socket.socket] = []
        self.deadlines: Deadlines[Expiring] = Deadlines(
            reactor,
            order.settings.handshake_timeout,
            lambda handshake: handshake.expire(),
        )
        self._max_connections = order.max_connections
        self._connections = 0
        self._trials = trials
        self._ready: ReadyMaterial | None = None

    @staticmethod
    def accept(sock: socket.socket) -> tuple[socket.socket, object]:
        """Accept a connection; return its non-blocking socket and its address.

        Raises:
            OSError: of `accept`, including `BlockingIOError`, or because the client has
                already disconnected.
        """
        client, address = sock.accept()
        try:
            client.setblocking(False)
            if client.family != socket.AF_UNIX:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if hasattr(socket, "TCP_USER_TIMEOUT"):
                    client.setsockopt(
                        socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT
                    )
        except OSError:
            client.close()
            raise
        return client, address

    def connection_opened(self) -> bool:
        """Count a connection, unless there are as many as there may be."""
        most = self._max_connections
        if most is not None and self._connections >= most:
            return False
        self._connections += 1
        return True

    def turn_away(self, client: socket.socket, address: object) -> Refusal:
        """Return the refusal of a client that was not counted."""
        return Refusal(
            listener=self.name,
            address=render_address(client.family, address),
            kind=RefusalKind.LIMIT,
            reason=f"max_connections is reached: {self._max_connections}",
        )

    def connection_closed(self) -> None:
        """Stop counting a connection."""
        self._connections -= 1

    def close(self) -> None:
        """Close the listening sockets."""
        for sock in self.sockets:
            sock.close()

    def build(self, material: ContextMaterial) -> ReadyMaterial:
        """Build the contexts of `material`, for `use`, and try them in memory.

        Raises:
            ContextError: the material is unusable, or no handshake is possible.
        """
        contexts = build_contexts(self.settings, material)
        self._trials.check(contexts, self.settings, material)
        return ReadyMaterial(contexts[0], material)

    def use(self, ready: ReadyMaterial) -> None:
        """Use it for later handshakes; handshakes that have begun keep theirs."""
        self._ready = ready

    @property
    def ready(self) -> ReadyMaterial | None:
        """The current context, None before the first."""
        return self._ready


def build_all(
    listeners: Mapping[str, ServedListener], materials: Mapping[str, ContextMaterial]
) -> dict[ServedListener, ReadyMaterial]:
    """Build the contexts of all listeners that `materials` has material for.

    Raises:
        ContextError: the material of a listener is unusable.
        ProtocolError: there is material for a listener that does not exist.
    """
    built = {}
    for name, material in materials.items():
        listener = listeners.get(name)
        if listener is None:
            raise ProtocolError(f"material for `{name}`, which is not a listener")
        try:
            built[listener] = listener.build(material)
        except ContextError as error:
            raise ContextError(f"listener {name}: {error}") from error
    return built
