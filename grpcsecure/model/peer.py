"""Who is at the other end of a connection, and how far that can be trusted.

`VerifiedPeer` and `ClaimedPeer` are different types on purpose: code that trusts a
name takes a `VerifiedPeer`, and handing it a claimed one is a type error.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

__all__ = [
    "AnonymousPeer",
    "Certificate",
    "ClaimedPeer",
    "Peer",
    "PeerState",
    "VerifiedPeer",
]


class PeerState(Enum):
    """How much is known about a peer."""

    #: No certificate was presented.
    ANONYMOUS = "anonymous"
    #: A certificate was presented that nobody checked, or that failed the check.
    CLAIMED = "claimed"
    #: The certificate's chain ends at a client CA of the listener.
    VERIFIED = "verified"


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What an X.509 certificate (RFC 5280) says, as plain values.

    `subject` and `issuer` are RFC 4514 strings, dates are aware and in UTC,
    `fingerprint` is the SHA-256 of the certificate and `public_key` that of its
    SubjectPublicKeyInfo, both in the spelling of the config: `sha256:9f:86:…`. One that
    is not `is_readable` says nothing here, could say anything, and is never in force.
    """

    der: bytes = field(repr=False)
    subject: str
    issuer: str
    serial_number: int
    not_before: datetime
    not_after: datetime
    fingerprint: str
    public_key: str
    common_name: str | None = None
    organizational_units: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    ips: tuple[str, ...] = ()
    is_readable: bool = True

    @property
    def spiffe_id(self) -> str | None:
        """The SPIFFE id: the only URI, if it is one (X509-SVID, section 2)."""
        if len(self.uris) == 1 and self.uris[0].startswith("spiffe://"):
            return self.uris[0]
        return None

    def alternative_names(self) -> Iterator[tuple[str, str]]:
        """Yield the names beside the subject, by the keys that `identities` have."""
        for uri in self.uris:
            yield ("spiffe" if uri.startswith("spiffe:") else "uri"), uri
        for key, values in (
            ("dns", self.dns),
            ("email", self.emails),
            ("ip", self.ips),
        ):
            for value in values:
                yield key, value

    def why_not_in_force(self, now: datetime) -> str | None:
        """Say why the certificate's dates exclude `now`, or None if they do not.

        The words are OpenSSL's, so that a handshake and a later call agree.
        """
        if now > self.not_after:
            return "certificate has expired"
        if now < self.not_before:
            return "certificate is not yet valid"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """The other end of a connection, as seen at one call.

    `address` is gRPC's spelling (`ipv4:127.0.0.1:51234`, `unix:`), `chain` holds the
    further certificates the peer sent (DER, without its own), `identities` are the
    names that the config gives to it.
    """

    state: ClassVar[PeerState]

    listener: str
    address: str
    certificate: Certificate | None = None
    chain: tuple[bytes, ...] = field(default=(), repr=False)
    identities: frozenset[str] = frozenset()
    #: Why the peer is not verified, in words; None when it is, or is anonymous.
    unverified_reason: str | None = None
    #: OpenSSL's number for that reason (X509_V_ERR), where it has one.
    unverified_code: int | None = None

    @property
    def is_verified(self) -> bool:
        """Whether the names in the certificate can be trusted."""
        return self.state is PeerState.VERIFIED


@dataclass(frozen=True, slots=True, kw_only=True)
class AnonymousPeer(Peer):
    """A peer that presented no certificate."""

    state = PeerState.ANONYMOUS


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedPeer(Peer):
    """A peer whose certificate proves a key, and no name."""

    state = PeerState.CLAIMED

    certificate: Certificate
    unverified_reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedPeer(Peer):
    """A peer whose certificate was verified, and still is in force."""

    state = PeerState.VERIFIED

    certificate: Certificate
