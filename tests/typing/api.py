"""The public signatures as a user's type checker sees them; this module never runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import assert_never, assert_type

import grpcsecure
from grpcsecure import (
    AnonymousPeer,
    BindError,
    Certificate,
    ClaimedPeer,
    ClientCertificateMode,
    ConfigError,
    GrpcSecureError,
    Peer,
    PeerState,
    Server,
    ServiceHealth,
    StartupError,
    UnreadableConfigError,
    UsageError,
    VerifiedPeer,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    import grpc

assert_type(grpcsecure.__version__, str)


# `load` takes a path as `str` or `Path`; all other arguments are keyword-only.
server = grpcsecure.load("server.yaml")
assert_type(server, Server)
grpcsecure.load(
    Path("server.yaml"),
    profile="dev",
    environ={"HOME": "/root"},
    interceptors=(),
)
grpcsecure.load("server.yaml", "dev")  # type: ignore[call-arg] # options are named
grpcsecure.load(b"server.yaml")  # type: ignore[arg-type] # paths are text

# Starting and stopping.
server.start()
assert_type(server.stop(), bool)
assert_type(server.stop(1.5), bool)
server.cut()
assert_type(server.addresses, dict[str, str])
assert_type(server.config.listeners[0].name, str)
assert_type(server.report.warnings, int)
with server as running:
    assert_type(running, Server)


# Health is set by service name, of all servers in the process or of one.
orders = grpcsecure.health("shop.Orders")
assert_type(orders, ServiceHealth)
assert_type(orders.service, str)
orders.set(serving=False)
orders.set(False)  # type: ignore[call-arg] # options are named
assert_type(server.health(), ServiceHealth)


async def main() -> None:
    """Serve on the caller's loop."""
    async with grpcsecure.load("server.yaml") as running:
        assert_type(running, Server)


# All errors derive from GrpcSecureError; some have data about their cause.
try:
    server.start()
except BindError as error:
    caught: StartupError = error
except ConfigError as error:
    assert_type(error.report.findings[0].code, str)
except (UnreadableConfigError, UsageError) as error:
    root: GrpcSecureError = error


def who(context: grpc.ServicerContext) -> str:
    """Use all attributes of a caller's peer."""
    peer = grpcsecure.peer(context)
    assert_type(peer, Peer)
    assert_type(peer.state, PeerState)
    assert_type(peer.listener, str)
    assert_type(peer.address, str)
    assert_type(peer.identities, frozenset[str])
    assert_type(peer.certificate, Certificate | None)
    assert_type(peer.unverified_reason, str | None)
    if isinstance(peer, VerifiedPeer):
        return trusted(peer)
    if isinstance(peer, ClaimedPeer):
        assert_type(peer.certificate, Certificate)
        assert_type(peer.unverified_reason, str)
        trusted(peer)  # type: ignore[arg-type] # claimed names are unverified
        return peer.unverified_reason
    if isinstance(peer, AnonymousPeer):
        return "anonymous"
    return "unknown"


def trusted(peer: VerifiedPeer) -> str:
    """Use the names of a verified peer."""
    certificate = peer.certificate
    assert_type(certificate, Certificate)
    assert_type(certificate.dns, tuple[str, ...])
    assert_type(certificate.spiffe_id, str | None)
    return certificate.subject


def of_state(state: PeerState) -> str:
    """Return the name of a state; the type checker knows that no case is missing."""
    if state is PeerState.VERIFIED:
        return "verified"
    if state is PeerState.CLAIMED:
        return "claimed"
    if state is PeerState.ANONYMOUS:
        return "anonymous"
    assert_never(state)


assert_type(ClientCertificateMode.parse("dont_request"), ClientCertificateMode)
assert_type(ClientCertificateMode.REQUIRE_AND_VERIFY.verifies, bool)

environ: Mapping[str, str] = {}
anything: Any = grpcsecure.load("server.yaml", environ=environ)
