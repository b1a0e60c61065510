"""Synthetic peers for policy tests and `explain`.

Decisions on synthetic peers are made as for real ones; only the handshake is skipped.
Its result is assumed as follows:

    the listener                                a caller with a certificate is
    requests no certificate, or is plaintext    anonymous
    requests one, verifies or has `client_ca`   verified
    ties trust domains to CAs, and has none     claimed
      for the domain of its SPIFFE id
    requests one, and cannot verify             claimed
"""

from __future__ import annotations

from datetime import datetime, timezone
from ipaddress import ip_address
from typing import TYPE_CHECKING

from grpcsecure.model.authorization import MatcherKind
from grpcsecure.model.listener import why_unvouched
from grpcsecure.model.peer import (
    AnonymousPeer,
    Certificate,
    ClaimedPeer,
    VerifiedPeer,
)
from grpcsecure.model.subject import COMMON_NAME, parse_subject

if TYPE_CHECKING:
    from grpcsecure.model.authorization import Matcher
    from grpcsecure.model.listener import Listener
    from grpcsecure.model.peer import Peer

__all__ = [
    "UNVERIFIABLE",
    "is_concrete",
    "peer_with",
    "synthetic_certificate",
    "synthetic_peer",
]

#: Why a listener that requests certificates without checking them verifies no peer.
UNVERIFIABLE = "the listener has no client CA to verify it with"

#: A synthetic certificate is valid at any time.
_ALWAYS = (
    datetime.min.replace(tzinfo=timezone.utc),
    datetime.max.replace(tzinfo=timezone.utc),
)

_ORGANIZATIONAL_UNIT = "2.5.4.11"

#: Characters that are escaped anywhere in a value (RFC 4514, section 2.4).
_SPECIAL = '"+,;<>\\'

_WITH_WILDCARD = frozenset({MatcherKind.SPIFFE, MatcherKind.URI, MatcherKind.DNS})


def synthetic_peer(caller: Matcher | None, listener: Listener) -> Peer:
    """Return the peer as which `listener` would see a caller; None has no certificate.

    The certificate has exactly the names and pins that `caller` lists.
    """
    certificate = None if caller is None else synthetic_certificate(caller)
    reason = _why_unverified(certificate, listener)
    return peer_with(certificate, listener, reason=reason)


def _why_unverified(certificate: Certificate | None, listener: Listener) -> str | None:
    if not listener.can_verify:
        return UNVERIFIABLE
    domains = None if listener.tls is None else listener.tls.trust_domains
    if certificate is None or domains is None:
        return None
    unknown = (name for name in certificate.trust_domains if name not in domains)
    return next((why_unvouched(name, domains) for name in unknown), None)


def peer_with(
    certificate: Certificate | None,
    listener: Listener,
    *,
    chain: tuple[bytes, ...] = (),
    reason: str | None,
) -> Peer:
    """Return the peer that presents a certificate.

    Args:
        certificate: the certificate that it presents if the listener requests one.
        listener: the listener that it calls.
        chain: the certificates that it sends after its own (DER).
        reason: why the certificate is not verified; None if it is.
    """
    if certificate is None or not listener.asks:
        return AnonymousPeer(listener=listener.name, address="")
    if reason is None:
        return VerifiedPeer(
            listener=listener.name, address="", certificate=certificate, chain=chain
        )
    return ClaimedPeer(
        listener=listener.name,
        address="",
        certificate=certificate,
        chain=chain,
        unverified_reason=reason,
    )


def is_concrete(caller: Matcher, kind: MatcherKind) -> bool:
    """Whether the value of `kind` in a caller is one name, and not a pattern."""
    value = next(one.value for one in caller.criteria if one.kind is kind)
    return kind not in _WITH_WILDCARD or "*" not in value


def synthetic_certificate(caller: Matcher) -> Certificate:
    """Return a certificate with exactly the names and pins that `caller` lists.

    A `subject` also sets the common name and the organizational units.

    Raises:
        ValueError: a value is not valid for its kind.
    """
    given = {one.kind: one.value for one in caller.criteria}
    subject = given.get(MatcherKind.SUBJECT)
    if subject is None:
        subject = _subject(given)
    units = _texts(subject, _ORGANIZATIONAL_UNIT)
    unit = given.get(MatcherKind.ORGANIZATIONAL_UNIT)
    names = _texts(subject, COMMON_NAME)
    ip = given.get(MatcherKind.IP)
    return Certificate(
        der=b"",
        subject=subject,
        issuer="",
        serial_number=0,
        not_before=_ALWAYS[0],
        not_after=_ALWAYS[1],
        fingerprint=given.get(MatcherKind.FINGERPRINT, ""),
        public_key=given.get(MatcherKind.PUBLIC_KEY, ""),
        common_name=given.get(MatcherKind.COMMON_NAME, names[0] if names else None),
        organizational_units=units
        if unit is None
        else tuple(dict.fromkeys((*units, unit))),
        dns=_given(given, MatcherKind.DNS),
        uris=tuple(
            dict.fromkeys(
                (*_given(given, MatcherKind.SPIFFE), *_given(given, MatcherKind.URI))
            )
        ),
        emails=_given(given, MatcherKind.EMAIL),
        ips=() if ip is None else (str(ip_address(ip)),),
    )


def _given(given: dict[MatcherKind, str], kind: MatcherKind) -> tuple[str, ...]:
    return (given[kind],) if kind in given else ()


def _subject(given: dict[MatcherKind, str]) -> str:
    """Return the subject of a certificate with these names; empty without any."""
    parts = (
        f"{short}={_escaped(given[kind])}"
        for short, kind in (
            ("CN", MatcherKind.COMMON_NAME),
            ("OU", MatcherKind.ORGANIZATIONAL_UNIT),
        )
        if kind in given
    )
    return ",".join(parts)


def _escaped(value: str) -> str:
    """Escape an attribute value (RFC 4514, section 2.4)."""
    text = "".join(f"\\{c}" if c in _SPECIAL else c for c in value)
    if value.startswith(("#", " ")):
        text = f"\\{text}"
    if value.endswith(" ") and len(value) > 1:
        text = f"{text[:-1]}\\ "
    return text


def _texts(subject: str, oid: str) -> tuple[str, ...]:
    if not subject:
        return ()
    values = parse_subject(subject).values(oid)
    return tuple(value for value in values if isinstance(value, str))
