"""Where the servers listen: grpcio's own ports, and the bridge in front of others.

Invariant: a listener's TLS is terminated by the engine that its config asks for; there
is no other way to bind it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grpcsecure.model.listener import TcpAddress
from grpcsecure.server.bind import bind
from grpcsecure.tls.native import NativeCredentials

if TYPE_CHECKING:
    from grpcsecure.model.listener import Listener
    from grpcsecure.server.assembly import Assembly
    from grpcsecure.server.bridge_front import BridgeFront
    from grpcsecure.tls.material import Material

__all__ = ["Ports"]


class Ports:
    """The listening side of a server: bind each listener, then open, drain, close."""

    def __init__(self, assembly: Assembly) -> None:
        self._materials = assembly.in_force.snapshot.materials
        self._front: BridgeFront | None = None
        if any(listener.is_bridged for listener in assembly.config.listeners):
            from grpcsecure.server.bridge_front import BridgeFront

            self._front = BridgeFront(assembly.on_failure)

    def bind(self, server: Any, listener: Listener, view: Any) -> str:
        """Bind `listener` and return its real address, port 0 resolved.

        Raises:
            BindError: the address cannot be listened on; the message says why.
        """
        if listener.tls is None:
            port = bind(listener, server.add_insecure_port)
        elif self._front is not None and listener.is_bridged:
            material = self._materials[listener.name]
            return self._front.bind(listener, material, view, server.add_insecure_port)
        else:
            port = _bind_native(server, listener, self._materials[listener.name])
        if isinstance(listener.address, TcpAddress):
            return str(TcpAddress(listener.address.host, port))
        return str(listener.address)

    def open(self) -> None:
        """Let clients through the bridge; the servers have started.

        Raises:
            StartupError: the bridge did not start.
        """
        if self._front is not None:
            self._front.start()

    def drain(self) -> None:
        """Take no more connections through the bridge; the servers drain their own."""
        if self._front is not None:
            self._front.drain()

    def close(self) -> None:
        """End the bridge; harmless twice."""
        if self._front is not None:
            self._front.stop()


def _bind_native(server: Any, listener: Listener, material: Material) -> int:
    assert listener.tls is not None  # noqa: S101 - the caller looked
    mode = listener.tls.client_certificate
    credentials = NativeCredentials(material, mode).credentials
    return bind(listener, lambda target: server.add_secure_port(target, credentials))
