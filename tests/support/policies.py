"""Short constructors of peers, identities and rules, for tests of policies."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from grpcsecure.model.authorization import (
    Authorization,
    Criterion,
    Effect,
    Identity,
    Matcher,
    MatcherKind,
    MetadataCondition,
    Rule,
)
from grpcsecure.model.peer import (
    AnonymousPeer,
    Certificate,
    ClaimedPeer,
    VerifiedPeer,
)
from grpcsecure.policy.decision import compile_policy

__all__ = [
    "FINGERPRINT",
    "PUBLIC_KEY",
    "allow",
    "anonymous",
    "certificate",
    "claimed",
    "compiled",
    "deny",
    "digest",
    "identity",
    "matcher",
    "verified",
]

_START = datetime(2026, 1, 1, tzinfo=timezone.utc)


def digest(byte):
    """Return a SHA-256 of one repeated byte, in the notation of the config."""
    return f"sha256:{bytes([byte] * 32).hex(':')}"


FINGERPRINT = digest(0xAB)
PUBLIC_KEY = digest(0xCD)


def certificate(**fields):
    """Return a certificate with only these names."""
    return Certificate(
        **{
            "der": b"",
            "subject": "",
            "issuer": "CN=ca",
            "serial_number": 1,
            "not_before": _START,
            "not_after": _START + timedelta(days=1),
            "fingerprint": FINGERPRINT,
            "public_key": PUBLIC_KEY,
            **fields,
        }
    )


def verified(**fields):
    """Return a peer with a verified certificate with these names."""
    return VerifiedPeer(
        listener="public", address="", certificate=certificate(**fields)
    )


def claimed(**fields):
    """Return a peer with an unverified certificate with these names."""
    return ClaimedPeer(
        listener="public",
        address="",
        certificate=certificate(**fields),
        unverified_reason="self-signed certificate",
    )


def anonymous():
    """Return a peer without a certificate."""
    return AnonymousPeer(listener="public", address="")


def matcher(**criteria):
    """Return a matcher that requires all of these criteria."""
    return Matcher(
        tuple(Criterion(MatcherKind(kind), value) for kind, value in criteria.items())
    )


def identity(name, *matchers, **criteria):
    """Return an identity with matchers, given as dictionaries or as one's criteria."""
    return Identity(
        name, tuple(matcher(**each) for each in (*matchers, criteria) if each)
    )


def allow(names, *methods, **more):
    """Return a rule that allows identities, separated by spaces, to call methods."""
    return _rule(Effect.ALLOW, names, methods, **more)


def deny(names, *methods, **more):
    """Return a rule that denies methods to identities, separated by spaces."""
    return _rule(Effect.DENY, names, methods, **more)


def _rule(effect, names, methods, *, name="rule", metadata=None, **more):
    return Rule(
        name=name,
        effect=effect,
        identities=tuple(names.split()),
        methods=methods or ("*",),
        metadata=tuple(
            MetadataCondition(key, tuple(values))
            for key, values in (metadata or {}).items()
        ),
        **more,
    )


def compiled(*rules, identities=(), default=Effect.DENY, pins=None):
    """Return the compiled policy of these rules."""
    return compile_policy(
        Authorization(default=default, rules=rules), tuple(identities), pins=pins or {}
    )
