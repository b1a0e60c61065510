"""Who calls through the bridge, told from the name of its connection.

Fails closed: a call from a connection that the bridge did not announce is nobody's,
and is refused, whoever made it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grpcsecure.server.rpc.call_context import ListenerView
from grpcsecure.server.rpc.inflight_calls import InflightCalls
from grpcsecure.tls.bridge.parent import auth_context as native
from grpcsecure.tls.verify import Presented, present_checked

if TYPE_CHECKING:
    from grpcsecure.model.modes import ClientCertificateMode
    from grpcsecure.server.snapshot import InForce
    from grpcsecure.tls.bridge.parent.registry import Registry
    from grpcsecure.tls.openssl.handshake_result import HandshakeResult

__all__ = ["BridgedCaller", "BridgedView"]


class BridgedCaller:
    """Answers for a bridged connection what grpcio's context answers for its own.

    `name` is that of the connection, by which the bridge knows it too.
    """

    __slots__ = ("facts", "name")

    def __init__(self, name: str, facts: HandshakeResult) -> None:
        self.name = name
        self.facts = facts

    def peer(self) -> str:
        """Return the client's real address, as grpcio spells it."""
        return self.facts.address

    def auth_context(self) -> dict[str, list[bytes]]:
        """Return the properties of the connection: the caller's own copy of them."""
        return native.complete(_noted(self.facts).properties(self.facts), self.facts)

    def peer_identities(self) -> list[bytes] | None:
        """Return the names of the client, or None."""
        found = native.peer_identities(_noted(self.facts).properties(self.facts))
        return None if found is None else [*found]

    def peer_identity_key(self) -> str | None:
        """Return the property that `peer_identities` come from, or None."""
        return native.peer_identity_key(_noted(self.facts).properties(self.facts))


class _Noted:
    """What was read in the facts of a connection, when it was first asked for.

    It goes away with the connection, however many there are and have been.
    """

    __slots__ = ("_presented", "_properties")

    def __init__(self) -> None:
        self._presented: Presented | None = None
        self._properties: dict[str, list[bytes]] | None = None

    def presented(self, facts: HandshakeResult, certificate: bytes) -> Presented:
        if self._presented is None:
            self._presented = present_checked(
                certificate,
                facts.chain,
                verified=facts.verified,
                reason=facts.unverified_reason,
                code=facts.unverified_code,
            )
        return self._presented

    def properties(self, facts: HandshakeResult) -> dict[str, list[bytes]]:
        if self._properties is None:
            self._properties = native.properties_to_keep(facts)
        return self._properties


def _noted(facts: HandshakeResult) -> _Noted:
    noted = facts.memo.note
    if not isinstance(noted, _Noted):
        noted = facts.memo.note = _Noted()
    return noted


class BridgedView(ListenerView):
    """What a listener behind the bridge knows about the peers of its calls."""

    __slots__ = ("registry", "running")

    def __init__(
        self, name: str, mode: ClientCertificateMode, in_force: InForce
    ) -> None:
        super().__init__(name, mode, in_force)
        #: Filled in when there is a bridge; until then everybody is nobody.
        self.registry: Registry | None = None
        #: The calls of connections whose certificate may stop counting.
        self.running = InflightCalls()

    def find(self, context: Any) -> BridgedCaller | None:
        """Return who the connection's name leads to; None refuses the call.

        A connection that came in through another listener is nobody here: what was
        asked of its client there may be less.
        """
        name = context.peer()
        facts = None if self.registry is None else self.registry.lookup(name)
        if facts is None or facts.listener != self.name:
            return None
        return BridgedCaller(name, facts)

    def begin(self, context: Any, caller: BridgedCaller) -> None:
        """Note that a call of `caller` runs, until it is over."""
        if caller.facts.certificate is not None:
            self.running.begin(context, caller.name)

    def caller_of(self, context: Any) -> BridgedCaller:
        """Return the caller of a call, by its context of ours."""
        caller: BridgedCaller = context._grpcsecure_caller  # noqa: SLF001 - our own
        return caller

    def presented(self, caller: BridgedCaller) -> Presented | None:
        """Return what the caller presented in its handshake, None if nothing."""
        return self.presented_by(caller.facts)

    @staticmethod
    def presented_by(facts: HandshakeResult) -> Presented | None:
        """Return what was presented in the handshake that `facts` tell of.

        Read once for each connection, and kept as long as that is.
        """
        if facts.certificate is None:
            return None
        return _noted(facts).presented(facts, facts.certificate)
