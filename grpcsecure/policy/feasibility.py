"""Tells which identities a client can have at all on a listener, given its mode.

The need of an identity, and the listeners that can meet it:

    need             met by a listener that
    NOTHING          exists
    NO_CERTIFICATE   does not require a certificate
    CERTIFICATE      requests a certificate
    VERIFIED         requests a certificate, and verifies or has a `client_ca`; if
                     trust domains are tied to their CAs, has those of the identity's
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from grpcsecure.model.authorization import BuiltIn, Effect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from grpcsecure.model.authorization import Identity
    from grpcsecure.model.listener import Listener

__all__ = ["Need", "Requirement", "can_have", "is_met", "requirements"]


class Need(Enum):
    """The certificate that a client needs to have an identity."""

    NOTHING = "nothing"
    NO_CERTIFICATE = "no certificate"
    CERTIFICATE = "a certificate"
    VERIFIED = "a verified certificate"


class Requirement(NamedTuple):
    """The need of one identity, and the kinds of criteria that cause it.

    `trust_domains` are those that each matcher names, of a need to be verified.
    """

    need: Need
    kinds: tuple[str, ...] = ()
    trust_domains: tuple[frozenset[str], ...] = ()


_MEETS: dict[Need, Callable[[Listener], bool]] = {
    Need.NOTHING: lambda _: True,
    Need.NO_CERTIFICATE: lambda listener: not listener.requires,
    Need.CERTIFICATE: lambda listener: listener.asks,
    Need.VERIFIED: lambda listener: listener.can_verify,
}

_BUILT_IN = {
    BuiltIn.ANYONE.value: Requirement(Need.NOTHING),
    BuiltIn.ANONYMOUS.value: Requirement(Need.NO_CERTIFICATE),
    BuiltIn.PRESENTED.value: Requirement(Need.CERTIFICATE),
    BuiltIn.VERIFIED.value: Requirement(Need.VERIFIED),
}


def can_have(
    name: str, effect: Effect, listener: Listener, identities: Iterable[Identity]
) -> bool:
    """Whether some client of a listener can have an identity, for a rule of `effect`.

    Args:
        name: the name of an identity, possibly a built-in one.
        effect: deny rules also match names that are only claimed.
        listener: the listener that the client calls.
        identities: the identities of the config.
    """
    return is_met(requirements(identities, effect)[name], listener)


def is_met(requirement: Requirement, listener: Listener) -> bool:
    """Whether some client of `listener` can meet a requirement."""
    if not _MEETS[requirement.need](listener):
        return False
    known = None if listener.tls is None else listener.tls.trust_domains
    if known is None or not requirement.trust_domains:
        return True
    return any(named <= known for named in requirement.trust_domains)


def requirements(
    identities: Iterable[Identity], effect: Effect
) -> dict[str, Requirement]:
    """Return the requirement of each identity by name, built-in ones included."""
    return _BUILT_IN | {one.name: _requirement(one, effect) for one in identities}


def _requirement(identity: Identity, effect: Effect) -> Requirement:
    """Return the requirement of the least demanding matcher.

    A deny rule also matches names that are only claimed, so any certificate suffices.
    """
    names = [
        [one.kind.value for one in matcher.criteria if not one.kind.is_pin]
        for matcher in identity.matchers
    ]
    every = dict.fromkeys(
        one.kind.value for matcher in identity.matchers for one in matcher.criteria
    )
    if effect is Effect.DENY or not all(names):
        return Requirement(Need.CERTIFICATE, tuple(every))
    some = dict.fromkeys(kind for matcher in names for kind in matcher)
    return Requirement(
        Need.VERIFIED,
        tuple(some),
        tuple(matcher.trust_domains for matcher in identity.matchers),
    )
