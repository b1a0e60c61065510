"""What a launcher hands to its bridge, and hears of it."""

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
    """The bridge does not serve, or did not take the material; in words."""


@dataclass(frozen=True, slots=True)
class BridgeListener:
    """One listener to serve: bound and listening `sock`, and the server's own socket.

    `upstream_path` is the unix socket on which the grpcio server of this listener
    accepts, in a private directory (`inner.UpstreamDirectory`).
    """

    name: str
    sock: socket.socket
    upstream_path: str
    tls: TlsSettings
    material: Material = field(repr=False)


class BridgeObserver(Protocol):
    """Hears what happens; called on the supervisor's thread, must not block it."""

    def refused(self, refusal: Refusal) -> None:
        """A handshake was refused."""

    def died(self, reason: str, restart_in: float) -> None:
        """The bridge ended unasked; every connection through it is gone."""

    def restarted(self) -> None:
        """A new bridge serves."""

    def gave_up(self, reason: str) -> None:
        """The bridge keeps dying and is not started again."""
