"""The listeners that a bridge is started with, and the callbacks for its events."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import socket

    from grpcsecure.model.listener import TlsSettings
    from grpcsecure.tls.bridge.ipc.refusal import Refusal
    from grpcsecure.tls.material import Material

__all__ = ["BridgeError", "BridgeListener", "BridgeObserver"]


class BridgeError(Exception):
    """The bridge does not serve, or rejected key material; human-readable."""


@dataclass(frozen=True, slots=True)
class BridgeListener:
    """One listener to serve: the listening sockets for clients, the server's socket.

    `upstream_path` is the unix socket on which the grpcio server of this listener
    accepts, in a private directory (`upstream_directory.UpstreamDirectory`).
    """

    name: str
    sockets: tuple[socket.socket, ...]
    upstream_path: str
    tls: TlsSettings
    material: Material = field(repr=False)
    max_connections: int | None = None


class BridgeObserver(Protocol):
    """Callbacks for the bridge's events, on the supervisor's thread; must not block."""

    def refused(self, refusal: Refusal) -> None:
        """Handle a refused handshake."""

    def died(self, reason: str, restart_in: float) -> None:
        """Handle an unexpected end of the bridge, which closed all its connections."""

    def restarted(self) -> None:
        """Handle that a new bridge serves."""

    def gave_up(self, reason: str) -> None:
        """Handle that the bridge has died too often and is not started again."""
