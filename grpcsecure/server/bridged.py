"""Who calls through the bridge, told from the name of its connection.

Fails closed: a call from a connection that the bridge did not announce is nobody's,
and is refused, whoever made it.
"""

from __future__ import annotations

from datetime import datetime, timezone
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from grpcsecure.model.peer import AnonymousPeer, ClaimedPeer, VerifiedPeer
from grpcsecure.server.context import ListenerView
from grpcsecure.tls.bridge import auth_context as native
from grpcsecure.tls.verify import code_of, read_presented

if TYPE_CHECKING:
    from grpcsecure.model.modes import ClientCertificateMode
    from grpcsecure.model.peer import Peer
    from grpcsecure.tls.bridge.facts import PeerFacts
    from grpcsecure.tls.bridge.registry import Registry

__all__ = ["BridgedCaller", "BridgedView"]


class BridgedCaller:
    """Answers for a bridged connection what grpcio's context answers for its own."""

    __slots__ = ("facts",)

    def __init__(self, facts: PeerFacts) -> None:
        self.facts = facts

    def peer(self) -> str:
        """Return the client's real address, as grpcio spells it."""
        return self.facts.address

    def auth_context(self) -> dict[str, list[bytes]]:
        """Return the properties of the connection: the caller's own copy of them."""
        return {name: [*values] for name, values in _properties(self.facts).items()}

    def peer_identities(self) -> list[bytes] | None:
        """Return the names of the client, or None."""
        return native.peer_identities(self.auth_context())

    def peer_identity_key(self) -> str | None:
        """Return the property that `peer_identities` come from, or None."""
        return native.peer_identity_key(_properties(self.facts))


#: Composing them costs far more than a call's share; connections last.
_properties = lru_cache(maxsize=1024)(native.auth_context)


class BridgedView(ListenerView):
    """What a listener behind the bridge knows about the peers of its calls."""

    __slots__ = ("registry",)

    def __init__(self, name: str, mode: ClientCertificateMode) -> None:
        super().__init__(name, mode)
        #: Filled in when there is a bridge; until then everybody is nobody.
        self.registry: Registry | None = None

    def find(self, context: Any) -> BridgedCaller | None:
        """Return who the connection's name leads to; None refuses the call.

        A connection that came in through another listener is nobody here: what was
        asked of its client there may be less.
        """
        facts = None if self.registry is None else self.registry.lookup(context.peer())
        if facts is None or facts.listener != self.name:
            return None
        return BridgedCaller(facts)

    def peer(self, context: Any) -> Peer:
        """Judge the peer of `context` by what holds now, not at the handshake."""
        facts: PeerFacts = context._grpcsecure_caller.facts  # noqa: SLF001 - our own context
        if facts.certificate is None:
            return AnonymousPeer(listener=self.name, address=facts.address)
        return _judge(facts, self.name, datetime.now(timezone.utc))


def _judge(facts: PeerFacts, listener: str, now: datetime) -> Peer:
    assert facts.certificate is not None  # noqa: S101 - the caller looked
    certificate, problem = read_presented(facts.certificate)
    if facts.verified:
        reason = problem or certificate.why_not_in_force(now)
        code = code_of(reason)
    else:
        reason = facts.unverified_reason or problem or "not verified"
        code = facts.unverified_code
    if reason is None:
        return VerifiedPeer(
            listener=listener,
            address=facts.address,
            certificate=certificate,
            chain=facts.chain,
        )
    return ClaimedPeer(
        listener=listener,
        address=facts.address,
        certificate=certificate,
        chain=facts.chain,
        unverified_reason=reason,
        unverified_code=code,
    )
