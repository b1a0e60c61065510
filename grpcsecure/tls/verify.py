"""What a handshake left of a peer's certificate, and what holds of it now.

Pure: the handshake's result, what the client CAs in force make of the chain, and the
time come in. Fails closed: a peer is verified only if nothing at all speaks against
it, at the handshake and now.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from grpcsecure.errors import CertificateError
from grpcsecure.model.peer import Certificate, ClaimedPeer, VerifiedPeer
from grpcsecure.tls.memo import Memo

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from grpcsecure.model.modes import ClientCertificateMode
    from grpcsecure.model.peer import Peer

__all__ = [
    "PeerAssessment",
    "Presented",
    "Rechecks",
    "Verdict",
    "assess",
    "present_checked",
    "present_native",
]

_LEAF = "x509_pem_cert"
_CHAIN = "x509_pem_cert_chain"

#: Peers whose text is kept as values, and the text that is kept at most: what follows
#: the leaf is whatever the peer likes to send. Few have that much to say.
_CACHE_SIZE = 4096
_MAX_CACHED = 16 * 1024
_LONG_CACHE_SIZE = 64

#: The X509_V_ERR numbers of what a certificate's dates can have against it.
_CODES = {"certificate is not yet valid": 9, "certificate has expired": 10}

_LATEST = datetime.max.replace(tzinfo=timezone.utc)
_EARLIEST = datetime.min.replace(tzinfo=timezone.utc)


@dataclass(frozen=True, slots=True, kw_only=True)
class Presented:
    """A certificate that passed a handshake, which may have `verified` it.

    `problem` says why its names are not believed: it was not verified, or cannot be
    read. `chain` holds the further certificates that were sent (DER), `code` OpenSSL's
    X509_V_ERR number of the problem, where it has one. `memo` is for who judges it.
    """

    certificate: Certificate
    verified: bool
    chain: tuple[bytes, ...] = field(default=(), repr=False)
    problem: str | None = None
    code: int | None = None
    memo: Memo = field(default_factory=Memo, repr=False)


class Verdict(Protocol):
    """What the client CAs and CRLs in force say of a chain, and from when to when."""

    @property
    def reason(self) -> str | None:
        """Why the chain is not verified; None: it is."""

    @property
    def code(self) -> int | None:
        """The X509_V_ERR number of the reason."""

    @property
    def since(self) -> datetime:
        """The first moment that the verdict holds for."""

    @property
    def until(self) -> datetime:
        """The first moment that it does not hold for any more."""


class Rechecks(Protocol):
    """Verifies chains against the material in force."""

    def prepare(self) -> None:
        """Load what the first verdict needs."""

    def verdict(self, leaf: bytes, chain: tuple[bytes, ...], now: datetime) -> Verdict:
        """Return what the material makes of a leaf and its chain (DER)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerAssessment:
    """What holds of a presented certificate, from `since` until just before `until`.

    `reason` is None for a verified peer. `has_lapsed` is whether the handshake verified
    what would not be verified any more. `in_force` is whether the dates of the
    certificate itself include that time: a pin asks for no more. Made of the parts of
    what was presented, whose memo may be this: that way neither keeps the other alive.
    """

    certificate: Certificate
    chain: tuple[bytes, ...] = field(repr=False)
    reason: str | None
    code: int | None
    has_lapsed: bool
    in_force: bool
    since: datetime
    until: datetime

    def peer(self, *, listener: str, address: str, identities: frozenset[str]) -> Peer:
        """Return the peer that presented it."""
        if self.reason is None:
            return VerifiedPeer(
                listener=listener,
                address=address,
                certificate=self.certificate,
                chain=self.chain,
                identities=identities,
            )
        return ClaimedPeer(
            listener=listener,
            address=address,
            certificate=self.certificate,
            chain=self.chain,
            identities=identities,
            unverified_reason=self.reason,
            unverified_code=self.code,
        )


def assess(
    presented: Presented, *, rechecks: Rechecks | None, now: datetime
) -> PeerAssessment:
    """Say what holds of `presented` now, and for how long.

    A connection outlives its certificate and the CA that signed it, and a resumed
    session is never verified again: gRPC goes on serving both, so all is asked anew.

    Args:
        presented: what the handshake left.
        rechecks: verifies against the material in force; None has no client CA.
        now: the moment of the call, aware.
    """
    certificate = presented.certificate
    since, until = _stretch(certificate, now)
    lapsed: str | None = None
    reason, code = presented.problem, presented.code
    if presented.verified:
        verdict = _NO_CA if rechecks is None else _ask(rechecks, presented, now)
        since, until = max(since, verdict.since), min(until, verdict.until)
        lapsed = verdict.reason
        if lapsed is not None:
            reason, code = lapsed, verdict.code
    return PeerAssessment(
        certificate=certificate,
        chain=presented.chain,
        reason=reason,
        code=code,
        has_lapsed=lapsed is not None,
        in_force=certificate.why_not_in_force(now) is None,
        since=since,
        until=until,
    )


@dataclass(frozen=True, slots=True)
class _Fixed:
    """A verdict that no material was asked for."""

    reason: str | None
    code: int | None = None
    since: datetime = _EARLIEST
    until: datetime = _LATEST


_NO_CA = _Fixed("no client CA is in force")


def _ask(rechecks: Rechecks, presented: Presented, now: datetime) -> Verdict:
    certificate = presented.certificate
    dates = certificate.why_not_in_force(now)
    if dates is not None and presented.problem is None:
        return _Fixed(dates, _CODES[dates])
    return rechecks.verdict(certificate.der, presented.chain, now)


def _stretch(certificate: Certificate, now: datetime) -> tuple[datetime, datetime]:
    """Return the time around `now` in which the dates say the same as now."""
    if now > certificate.not_after:
        return now, _LATEST
    if now < certificate.not_before:
        return now, certificate.not_before
    # The last moment itself still counts; the end of a stretch does not.
    after = min(certificate.not_after, _LATEST - datetime.resolution)
    return certificate.not_before, after + datetime.resolution


def present_native(
    auth_context: Mapping[str, Iterable[bytes]],
    mode: ClientCertificateMode,
    *,
    listener: str = "",
) -> Presented | None:
    """Return what a handshake of engine `grpc` left, None for an anonymous peer.

    The same text on the same listener mostly is the same object.

    Args:
        auth_context: what grpcio says about the connection; its PEM is believed,
            since the handshake proved possession of the key.
        mode: the listener's; whether gRPC verified the chain depends on it alone.
        listener: where it came in; each one judges for itself.
    """
    leaf = _only(auth_context.get(_LEAF))
    # A mode that does not ask has no certificate to go by, whatever is in there.
    if leaf is None or not mode.asks:
        return None
    chain = _only(auth_context.get(_CHAIN)) or b""
    is_long = len(leaf) + len(chain) > _MAX_CACHED
    parse = _cached_parse_of_long if is_long else _cached_parse
    return parse(leaf, chain, mode, listener)


def _only(values: Iterable[bytes] | None) -> bytes | None:
    return next(iter(values), None) if values is not None else None


def _parse(
    leaf: bytes, chain: bytes, mode: ClientCertificateMode, _listener: str
) -> Presented:
    from grpcsecure.tls.certificate import parse_pem_certificates

    try:
        (der,) = parse_pem_certificates(leaf)
        ders = parse_pem_certificates(chain)
    except (CertificateError, ValueError) as error:
        return Presented(
            certificate=_unreadable(leaf), verified=mode.verifies, problem=str(error)
        )
    certificate, problem = _read_presented(der)
    if not mode.verifies:
        problem = f"`{mode.value}` does not verify certificates"
    return Presented(
        certificate=certificate, verified=mode.verifies, chain=ders, problem=problem
    )


def present_checked(
    leaf: bytes,
    chain: tuple[bytes, ...],
    *,
    verified: bool,
    reason: str | None,
    code: int | None,
) -> Presented:
    """Return what a handshake left whose verdict is known, to be kept with it.

    Args:
        leaf: the peer's certificate (DER).
        chain: what it sent after it, the same.
        verified: the handshake's verdict.
        reason: why it was not verified.
        code: the X509_V_ERR number of that, where there is one.
    """
    certificate, problem = _read_presented(leaf)
    if not verified:
        problem = reason or problem or "not verified"
    return Presented(
        certificate=certificate,
        verified=verified,
        chain=chain,
        problem=problem,
        code=code,
    )


def _read_presented(der: bytes) -> tuple[Certificate, str | None]:
    """Return a certificate that passed a handshake, and why it is unreadable, or None.

    TLS may accept what we cannot read. Somebody did present a certificate, so this is
    no anonymous peer; it has no name, and no date on which it counts.
    """
    from grpcsecure.tls.certificate import parse_certificate

    try:
        return parse_certificate(der), None
    except CertificateError as error:
        return _unreadable(der), str(error)


_cached_parse = lru_cache(maxsize=_CACHE_SIZE)(_parse)
_cached_parse_of_long = lru_cache(maxsize=_LONG_CACHE_SIZE)(_parse)


def _unreadable(leaf: bytes) -> Certificate:
    return Certificate(
        der=leaf,
        subject="",
        issuer="",
        serial_number=0,
        not_before=_LATEST,
        not_after=_EARLIEST,
        fingerprint="",
        public_key="",
        is_readable=False,
    )
