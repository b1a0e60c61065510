"""Peers that are made up: what a caller would be that says certain things.

For policy tests and for `explain`. The peers go through the same decision as real ones;
only the handshake is left out, and what it would have made of them is stated here:

    the listener                          a caller with a certificate is
    asks for none, or is plaintext        anonymous
    asks, verifies or has a `client_ca`   verified
    asks, and can verify nobody           claimed
"""

from __future__ import annotations

from datetime import datetime, timezone
from ipaddress import ip_address
from typing import TYPE_CHECKING

from grpcsecure.model.authorization import MatcherKind
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

__all__ = ["is_concrete", "peer_with", "synthetic_certificate", "synthetic_peer"]

#: A made-up certificate is in force at any time.
_ALWAYS = (
    datetime.min.replace(tzinfo=timezone.utc),
    datetime.max.replace(tzinfo=timezone.utc),
)

_ORGANIZATIONAL_UNIT = "2.5.4.11"

#: RFC 4514, 2.4: characters that are escaped anywhere in a value.
_SPECIAL = '"+,;<>\\'

_WITH_WILDCARD = frozenset({MatcherKind.SPIFFE, MatcherKind.URI, MatcherKind.DNS})


def synthetic_peer(caller: Matcher | None, listener: Listener) -> Peer:
    """Return what `listener` would make of a caller; None has no certificate.

    The certificate says exactly what `caller` lists, as one certificate.
    """
    certificate = None if caller is None else synthetic_certificate(caller)
    reason = None if listener.can_verify else "nobody checks who signed it here"
    return peer_with(certificate, listener, reason=reason)


def peer_with(
    certificate: Certificate | None,
    listener: Listener,
    *,
    chain: tuple[bytes, ...] = (),
    reason: str | None,
) -> Peer:
    """Return the peer that presents a certificate.

    Args:
        certificate: what it presents, where the listener asks for one.
        listener: where it calls.
        chain: what it sends after its certificate (DER).
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
    """Whether what a caller says under `kind` is one name, and not a pattern."""
    value = next(one.value for one in caller.criteria if one.kind is kind)
    return kind not in _WITH_WILDCARD or "*" not in value


def synthetic_certificate(caller: Matcher) -> Certificate:
    """Return a certificate that says what `caller` lists, and nothing else.

    A subject says its common name and organizational units, too.

    Raises:
        ValueError: one of the values is none for its kind.
    """
    says = {one.kind: one.value for one in caller.criteria}
    subject = says.get(MatcherKind.SUBJECT)
    if subject is None:
        subject = _subject(says)
    units = _texts(subject, _ORGANIZATIONAL_UNIT)
    unit = says.get(MatcherKind.ORGANIZATIONAL_UNIT)
    names = _texts(subject, COMMON_NAME)
    ip = says.get(MatcherKind.IP)
    return Certificate(
        der=b"",
        subject=subject,
        issuer="",
        serial_number=0,
        not_before=_ALWAYS[0],
        not_after=_ALWAYS[1],
        fingerprint=says.get(MatcherKind.FINGERPRINT, ""),
        public_key=says.get(MatcherKind.PUBLIC_KEY, ""),
        common_name=says.get(MatcherKind.COMMON_NAME, names[0] if names else None),
        organizational_units=units
        if unit is None
        else tuple(dict.fromkeys((*units, unit))),
        dns=_given(says, MatcherKind.DNS),
        uris=tuple(
            dict.fromkeys(
                (*_given(says, MatcherKind.SPIFFE), *_given(says, MatcherKind.URI))
            )
        ),
        emails=_given(says, MatcherKind.EMAIL),
        ips=() if ip is None else (str(ip_address(ip)),),
    )


def _given(says: dict[MatcherKind, str], kind: MatcherKind) -> tuple[str, ...]:
    return (says[kind],) if kind in says else ()


def _subject(says: dict[MatcherKind, str]) -> str:
    """Return the subject of a certificate with these names; none has an empty one."""
    parts = (
        f"{short}={_escaped(says[kind])}"
        for short, kind in (
            ("CN", MatcherKind.COMMON_NAME),
            ("OU", MatcherKind.ORGANIZATIONAL_UNIT),
        )
        if kind in says
    )
    return ",".join(parts)


def _escaped(value: str) -> str:
    """Escape a value (RFC 4514, 2.4)."""
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
