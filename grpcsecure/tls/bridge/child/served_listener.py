"""A listener inside the bridge: its socket, and the context for the next handshake."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from grpcsecure.tls.bridge.child.reactor import Deadlines
from grpcsecure.tls.bridge.ipc.framing import ProtocolError
from grpcsecure.tls.openssl.context import ContextError, build_context

if TYPE_CHECKING:
    from collections.abc import Mapping

    from OpenSSL import SSL

    from grpcsecure.tls.bridge.child.handshake import Handshake
    from grpcsecure.tls.bridge.child.reactor import Reactor
    from grpcsecure.tls.bridge.ipc.messages import ListenOrder
    from grpcsecure.tls.openssl.settings import ContextMaterial

__all__ = ["ReadyMaterial", "ServedListener", "build_all"]


#: Milliseconds until the kernel gives up on a client that takes nothing of what waits
#: for it (tcp(7)): what gRPC sets on its own servers' sockets, where there is such a
#: thing. Nobody else would end such a connection: the server waits for us.
_USER_TIMEOUT = 20_000


class ReadyMaterial:
    """Material whose context is built: what a swap assigns."""

    __slots__ = ("context", "generation", "has_client_ca")

    def __init__(self, context: SSL.Context, material: ContextMaterial) -> None:
        self.context = context
        self.generation = material.generation
        self.has_client_ca = material.client_ca is not None


class ServedListener:
    """What accepts, and with which settings and material."""

    __slots__ = ("_ready", "deadlines", "name", "settings", "sock", "upstream_path")

    def __init__(
        self, order: ListenOrder, sock: socket.socket, reactor: Reactor
    ) -> None:
        self.name = order.listener
        self.settings = order.settings
        self.upstream_path = order.upstream_path
        self.sock = sock
        self.deadlines: Deadlines[Handshake] = Deadlines(
            reactor,
            order.settings.handshake_timeout,
            lambda handshake: handshake.expire(),
        )
        self._ready: ReadyMaterial | None = None

    def accept(self) -> tuple[socket.socket, object]:
        """Accept a connection; return it, ready for the loop, and its address.

        Raises:
            OSError: as of `accept`, `BlockingIOError` included, or the client has
                already left.
        """
        client, address = self.sock.accept()
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

    def build(self, material: ContextMaterial) -> ReadyMaterial:
        """Build what `use` takes.

        Raises:
            ContextError: the material is no good.
        """
        return ReadyMaterial(build_context(self.settings, material), material)

    def use(self, ready: ReadyMaterial) -> None:
        """Let the next handshakes use it; those under way keep theirs."""
        self._ready = ready

    @property
    def ready(self) -> ReadyMaterial | None:
        """What is in force, None before the first."""
        return self._ready


def build_all(
    listeners: Mapping[str, ServedListener], materials: Mapping[str, ContextMaterial]
) -> dict[ServedListener, ReadyMaterial]:
    """Build what all of `listeners` named in `materials` are to use.

    Raises:
        ContextError: some of the material is no good.
        ProtocolError: there is material for a listener that does not exist.
    """
    built = {}
    for name, material in materials.items():
        listener = listeners.get(name)
        if listener is None:
            raise ProtocolError(f"material for `{name}`, which is no listener")
        try:
            built[listener] = listener.build(material)
        except ContextError as error:
            raise ContextError(f"listener {name}: {error}") from error
    return built
