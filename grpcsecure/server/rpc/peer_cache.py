"""Who the client of a connection is, resolved once per connection and snapshot.

The first call of a connection pays for reading its certificate and finding its
identities; later calls reuse the answer until one of its dates passes. Invariant: an
answer counts only for the resolver that gave it, and so for one snapshot.
"""

from __future__ import annotations

from datetime import datetime, timezone
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from grpcsecure.errors import CertificateError
from grpcsecure.model.peer import AnonymousPeer
from grpcsecure.tls.assessment import PresentedCertificate, assess
from grpcsecure.tls.handshake_result import HandshakeResult

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from grpcsecure.model.modes import ClientCertificateMode
    from grpcsecure.model.peer import Peer
    from grpcsecure.policy.decision import Policy, Principal
    from grpcsecure.tls.assessment import PeerAssessment, Rechecks

__all__ = ["Connection", "PeerResolver", "ResolvedPeer", "native_connection"]

_LEAF = "x509_pem_cert"
_CHAIN = "x509_pem_cert_chain"

#: Native connections that are cached by the text of their certificates, and the length
#: of text up to which that many are: a peer sends as much after its leaf as it likes.
_CACHE_SIZE = 4096
_MAX_CACHED = 16 * 1024
_LONG_CACHE_SIZE = 64


class ResolvedPeer(NamedTuple):
    """A peer's certificate as of now, and its identities.

    `assessment` is None for an anonymous peer, `principal` where there are no rules.
    """

    listener: str
    assessment: PeerAssessment | None
    principal: Principal | None

    @property
    def has_lapsed(self) -> bool:
        """Whether a handshake verified a chain that would not be verified any more."""
        return self.assessment is not None and self.assessment.has_lapsed

    @property
    def fails_verification(self) -> bool:
        """Whether a mode that verifies refuses the calls, though its handshake did not.

        That is where the chain has lapsed, or no CA of its trust domain vouches for it.
        """
        one = self.assessment
        return one is not None and (one.has_lapsed or one.is_unvouched)

    @property
    def is_known(self) -> bool:
        """Whether the peer proved to have an identity, by rules that there are."""
        return self.principal is not None and self.principal.is_known

    def peer(self, address: str) -> Peer:
        """Return the peer as servicers see it, at the address it calls from."""
        principal = self.principal
        identities = frozenset() if principal is None else principal.identities
        return _peer(self.listener, self.assessment, address, identities)


def _peer(
    listener: str,
    assessment: PeerAssessment | None,
    address: str,
    identities: frozenset[str],
) -> Peer:
    if assessment is None:
        return AnonymousPeer(listener=listener, address=address, identities=identities)
    return assessment.peer(listener=listener, address=address, identities=identities)


class Connection:
    """The handshake of one connection, and what was derived from it so far.

    All of it goes away with the connection. Threads may race: each attribute is
    assigned whole, and any of the values is right.
    """

    __slots__ = ("_presented", "_resolved", "result")

    def __init__(self, result: HandshakeResult) -> None:
        self.result = result
        self._presented: PresentedCertificate | None = None
        #: The resolver's token, which a snapshot's resolver has and no other.
        self._resolved: tuple[object, ResolvedPeer] | None = None

    def resolved(self, token: object, now: datetime) -> ResolvedPeer | None:
        """Return what the resolver of `token` found, if it still holds."""
        if self._resolved is None or self._resolved[0] is not token:
            return None
        found = self._resolved[1]
        assessment = found.assessment
        if assessment is not None and assessment.since <= now < assessment.until:
            return found
        return None

    def keep(self, token: object, found: ResolvedPeer) -> None:
        """Keep what the resolver of `token` found."""
        self._resolved = (token, found)

    def presented(self, leaf: bytes) -> PresentedCertificate:
        """Return the certificate of the handshake, read at the first call."""
        if self._presented is None:
            self._presented = PresentedCertificate.read(leaf)
        return self._presented


class PeerResolver:
    """Resolves the peers of one listener by one snapshot. Any thread may ask.

    Args:
        listener: its name.
        rechecks: verifies against the client CAs of the snapshot, None without any.
        policy: of the snapshot, None if every call is allowed.
    """

    __slots__ = ("_anonymous", "_listener", "_policy", "_rechecks", "_token")

    def __init__(
        self, listener: str, *, rechecks: Rechecks | None, policy: Policy | None
    ) -> None:
        self._listener = listener
        self._rechecks = rechecks
        self._policy = policy
        # Connections refer to it and not to the resolver, which would keep the
        # snapshot of a generation that is gone.
        self._token = object()
        self._anonymous = self._resolve(None)

    def warm_up(self) -> None:
        """Load what the first peer needs, so that no call has to wait for it."""
        if self._rechecks is not None:
            self._rechecks.prepare()

    def resolve(self, connection: Connection | None) -> ResolvedPeer:
        """Return who the client of a connection is now; None is anonymous."""
        if connection is None or connection.result.certificate is None:
            return self._anonymous
        now = datetime.now(timezone.utc)
        known = connection.resolved(self._token, now)
        if known is not None:
            return known
        assessment = assess(
            connection.result,
            connection.presented(connection.result.certificate),
            rechecks=self._rechecks,
            now=now,
        )
        found = self._resolve(assessment)
        connection.keep(self._token, found)
        return found

    def _resolve(self, assessment: PeerAssessment | None) -> ResolvedPeer:
        principal = None
        if self._policy is not None:
            principal = self._policy.identify(
                _peer(self._listener, assessment, "", frozenset()),
                in_force=assessment is not None and assessment.in_force,
            )
        return ResolvedPeer(self._listener, assessment, principal)


def native_connection(
    auth_context: Mapping[str, Iterable[bytes]],
    mode: ClientCertificateMode,
    *,
    listener: str = "",
) -> Connection | None:
    """Return the connection of a call on engine `grpc`, None for an anonymous peer.

    grpcio has no name for a connection: the same certificates on the same listener
    mostly are the same object.

    Args:
        auth_context: of grpcio; its PEM is believed, since the handshake proved
            possession of the key.
        mode: of the listener; whether gRPC verified the chain depends on it alone.
        listener: its name.
    """
    leaf = _only(auth_context.get(_LEAF))
    # A mode that does not ask ignores any certificate in there.
    if leaf is None or not mode.asks:
        return None
    chain = _only(auth_context.get(_CHAIN)) or b""
    is_long = len(leaf) + len(chain) > _MAX_CACHED
    find = _cached_native_of_long if is_long else _cached_native
    return find(leaf, chain, mode, listener)


def _only(values: Iterable[bytes] | None) -> bytes | None:
    return next(iter(values), None) if values is not None else None


def _native(
    leaf: bytes, chain: bytes, mode: ClientCertificateMode, listener: str
) -> Connection:
    from grpcsecure.tls.certificate import parse_pem_certificates

    try:
        (der,) = parse_pem_certificates(leaf)
        ders = parse_pem_certificates(chain)
    except (CertificateError, ValueError):
        # The text itself then is the certificate that cannot be read.
        der, ders = leaf, ()
    reason = None if mode.verifies else f"`{mode.value}` does not verify certificates"
    return Connection(
        HandshakeResult(
            listener=listener,
            certificate=der,
            chain=ders,
            verified=mode.verifies,
            unverified_reason=reason,
        )
    )


_cached_native = lru_cache(maxsize=_CACHE_SIZE)(_native)
_cached_native_of_long = lru_cache(maxsize=_LONG_CACHE_SIZE)(_native)
