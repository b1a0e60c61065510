"""The peer of a connection: its certificate, and whether that was verified.

`VerifiedPeer` and `ClaimedPeer` are different types on purpose: code that trusts a
name takes a `VerifiedPeer`, so that passing a claimed peer is a type error.
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
    """Whether a peer presented a certificate, and whether it was verified."""

    #: No certificate was presented.
    ANONYMOUS = "anonymous"
    #: The presented certificate was not checked, or failed the check.
    CLAIMED = "claimed"
    #: The certificate's chain ends at a client CA of the listener.
    VERIFIED = "verified"


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """The content of an X.509 certificate (RFC 5280), as plain values.

    `subject` and `issuer` are RFC 4514 strings, dates are aware and in UTC,
    `fingerprint` is the SHA-256 of the certificate and `public_key` that of its
    SubjectPublicKeyInfo, both in the spelling of the config: `sha256:9f:86:…`. If
    `is_readable` is false, its names could not be read: they are empty here although it
    may contain any. Its digests, and its dates where they can be read, are there.
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
    #: Whether it says that it signs certificates or CRLs: `cA`, keyCertSign, cRLSign.
    may_issue: bool = False

    @property
    def spiffe_id(self) -> str | None:
        """The SPIFFE id of an X509-SVID: its only URI, and it may not issue others.

        https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md, 2 and 4.
        """
        is_only = len(self.uris) == 1 and self.uris[0].startswith("spiffe://")
        return self.uris[0] if is_only and not self.may_issue else None

    @property
    def trust_domains(self) -> tuple[str, ...]:
        """The trust domain of each `spiffe:` URI; empty text if the URI names none."""
        # Only a server with CAs per trust domain needs it before its first call.
        from grpcsecure.model.name_patterns import trust_domain_of

        found = (trust_domain_of(uri) for uri in self.uris)
        return tuple(dict.fromkeys(name for name in found if name is not None))

    def alternative_names(self) -> Iterator[tuple[str, str]]:
        """Yield each subject alternative name with its key in `identities`."""
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
        """Return why the certificate is not valid at `now`, or None if it is valid.

        The texts are those of OpenSSL, so that a handshake and a later call agree.
        """
        if now > self.not_after:
            return "certificate has expired"
        if now < self.not_before:
            return "certificate is not yet valid"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """The other end of a connection, at the time of a call.

    `address` is in gRPC's spelling (`ipv4:127.0.0.1:51234`, `unix:`). `chain` has the
    certificates that the peer sent after its own (DER). `identities` are the names of
    the identities that the config grants to the peer.
    """

    state: ClassVar[PeerState]

    listener: str
    address: str
    certificate: Certificate | None = None
    chain: tuple[bytes, ...] = field(default=(), repr=False)
    identities: frozenset[str] = frozenset()
    #: Why the peer is not verified, as text; None if it is verified or anonymous.
    unverified_reason: str | None = None
    #: OpenSSL's error number for that reason (X509_V_ERR), if it has one.
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
    """A peer that proved the possession of its certificate's key, but not its names."""

    state = PeerState.CLAIMED

    certificate: Certificate
    unverified_reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedPeer(Peer):
    """A peer with a certificate that was verified and is still valid."""

    state = PeerState.VERIFIED

    certificate: Certificate
