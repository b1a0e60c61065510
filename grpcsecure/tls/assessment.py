"""Assesses a client's certificate as of now, from the result of its handshake.

Pure: the result, the verdict of the client CAs in force and the time are arguments.
Fails closed: a peer is verified only if the handshake verified it and it still would.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Protocol

from grpcsecure.errors import CertificateError
from grpcsecure.model.peer import Certificate, ClaimedPeer, VerifiedPeer
from grpcsecure.tls.chain_verdict import ChainVerdict
from grpcsecure.tls.digests import spell_digest

if TYPE_CHECKING:
    from grpcsecure.model.peer import Peer
    from grpcsecure.tls.handshake_result import HandshakeResult

__all__ = ["PeerAssessment", "PresentedCertificate", "Rechecks", "assess"]

#: The X509_V_ERR numbers of what a certificate's dates can have against it.
_CODES = {"certificate is not yet valid": 9, "certificate has expired": 10}

_LATEST = datetime.max.replace(tzinfo=timezone.utc)
_EARLIEST = datetime.min.replace(tzinfo=timezone.utc)


class Rechecks(Protocol):
    """Verifies chains against the material in force."""

    def prepare(self) -> None:
        """Load what the first verdict needs."""

    def verdict(
        self, leaf: bytes, chain: tuple[bytes, ...], now: datetime
    ) -> ChainVerdict:
        """Return the verdict on a leaf and its chain (DER)."""


@dataclass(frozen=True, slots=True)
class PresentedCertificate:
    """A client's certificate as values; `problem` says why it could not be read.

    TLS accepts some certificates that cannot be read here. Such a client is not
    anonymous, since it presented one. It has no names; a registration of its bytes or
    of its key counts.
    """

    certificate: Certificate
    problem: str | None = None

    @classmethod
    def read(cls, der: bytes) -> PresentedCertificate:
        """Read a certificate (DER) that passed a handshake; never fails."""
        from grpcsecure.tls.certificate import parse_certificate

        try:
            return cls(parse_certificate(der))
        except CertificateError as error:
            return cls(_unreadable(der), str(error))


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerAssessment:
    """A client's certificate, assessed; it holds from `since` until before `until`.

    `reason` is None for a verified peer, otherwise why it is not verified; `code` is
    OpenSSL's X509_V_ERR number for it, where there is one. `has_lapsed` is whether the
    handshake verified a chain that would not be verified any more; `is_unvouched` is
    whether it still would, but not by the CAs of the trust domain that its SPIFFE id
    names, which no handshake asks. `in_force` is
    whether the dates of the certificate itself include that time: a registered
    certificate needs no more.
    """

    certificate: Certificate
    chain: tuple[bytes, ...] = field(repr=False)
    reason: str | None
    code: int | None
    has_lapsed: bool
    is_unvouched: bool
    in_force: bool
    since: datetime
    until: datetime

    def peer(self, *, listener: str, address: str, identities: frozenset[str]) -> Peer:
        """Return the peer that presented the certificate."""
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
    result: HandshakeResult,
    presented: PresentedCertificate,
    *,
    rechecks: Rechecks | None,
    now: datetime,
) -> PeerAssessment:
    """Assess the certificate of a handshake as of now, and say for how long.

    A connection outlives its certificate and the CA that signed it, and a resumed
    session is never verified again: gRPC goes on serving both, so all is checked anew.

    Args:
        result: of the handshake.
        presented: its certificate, read.
        rechecks: verifies against the material in force; None has no client CA.
        now: the moment of the call, aware.
    """
    certificate = presented.certificate
    since, until = _stretch(certificate, now)
    lapsed: str | None = None
    is_unvouched = False
    reason, code = presented.problem, result.unverified_code
    if result.verified:
        verdict = _NO_CA if rechecks is None else _ask(rechecks, result, presented, now)
        since, until = max(since, verdict.since), min(until, verdict.until)
        lapsed, is_unvouched = verdict.reason, verdict.is_unvouched
        if lapsed is not None:
            reason, code = lapsed, verdict.code
    else:
        reason = result.unverified_reason or reason or "not verified"
    return PeerAssessment(
        certificate=certificate,
        chain=result.chain,
        reason=reason,
        code=code,
        has_lapsed=lapsed is not None and not is_unvouched,
        is_unvouched=is_unvouched,
        in_force=certificate.why_not_in_force(now) is None,
        since=since,
        until=until,
    )


_NO_CA = ChainVerdict(reason="no client CA is in force", since=_EARLIEST, until=_LATEST)


def _ask(
    rechecks: Rechecks,
    result: HandshakeResult,
    presented: PresentedCertificate,
    now: datetime,
) -> ChainVerdict:
    certificate = presented.certificate
    dates = certificate.why_not_in_force(now)
    if dates is not None and presented.problem is None:
        return ChainVerdict(
            reason=dates, code=_CODES[dates], since=_EARLIEST, until=_LATEST
        )
    return rechecks.verdict(certificate.der, result.chain, now)


def _stretch(certificate: Certificate, now: datetime) -> tuple[datetime, datetime]:
    """Return the time around `now` in which the dates say the same as now."""
    if now > certificate.not_after:
        return now, _LATEST
    if now < certificate.not_before:
        return now, certificate.not_before
    # The last moment itself still counts; the end of a stretch does not.
    after = min(certificate.not_after, _LATEST - datetime.resolution)
    return certificate.not_before, after + datetime.resolution


def _unreadable(leaf: bytes) -> Certificate:
    """Return a certificate without names; its digests and dates, if it has them."""
    from grpcsecure.tls.certificate import read_dates, subject_public_key_info

    public_key, dates = "", (_LATEST, _EARLIEST)
    with suppress(CertificateError):
        public_key = spell_digest(subject_public_key_info(leaf))
        dates = read_dates(leaf)
    return Certificate(
        der=leaf,
        subject="",
        issuer="",
        serial_number=0,
        not_before=dates[0],
        not_after=dates[1],
        fingerprint=spell_digest(leaf),
        public_key=public_key,
        is_readable=False,
    )
