"""Secure gRPC servers in Python from one config file.

The names below are the public API; they load on first use, so that the command line
starts without importing gRPC.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from grpcsecure.errors import (
        BindError,
        ConfigError,
        GrpcSecureError,
        StartupError,
        UnreadableConfigError,
        UsageError,
    )
    from grpcsecure.model.modes import ClientCertificateMode
    from grpcsecure.model.peer import (
        AnonymousPeer,
        Certificate,
        ClaimedPeer,
        Peer,
        PeerState,
        VerifiedPeer,
    )
    from grpcsecure.server.app import Server, load
    from grpcsecure.server.rpc.call_context import peer
    from grpcsecure.server.services.health_board import ServiceHealth, health

# A literal, because importing `importlib.metadata` takes as long as importing YAML.
__version__ = "0.1.0"

__all__ = [
    "AnonymousPeer",
    "BindError",
    "Certificate",
    "ClaimedPeer",
    "ClientCertificateMode",
    "ConfigError",
    "GrpcSecureError",
    "Peer",
    "PeerState",
    "Server",
    "ServiceHealth",
    "StartupError",
    "UnreadableConfigError",
    "UsageError",
    "VerifiedPeer",
    "__version__",
    "health",
    "load",
    "peer",
]

_HOMES = {
    "grpcsecure.errors": (
        "BindError",
        "ConfigError",
        "GrpcSecureError",
        "StartupError",
        "UnreadableConfigError",
        "UsageError",
    ),
    "grpcsecure.model.modes": ("ClientCertificateMode",),
    "grpcsecure.model.peer": (
        "AnonymousPeer",
        "Certificate",
        "ClaimedPeer",
        "Peer",
        "PeerState",
        "VerifiedPeer",
    ),
    "grpcsecure.server.app": ("Server", "load"),
    "grpcsecure.server.rpc.call_context": ("peer",),
    "grpcsecure.server.services.health_board": ("ServiceHealth", "health"),
}


def __getattr__(name: str) -> object:
    """Import a public name from its module on first use (PEP 562)."""
    for home, names in _HOMES.items():
        if name in names:
            from importlib import import_module

            return getattr(import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names, which are in no namespace before their first use."""
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
