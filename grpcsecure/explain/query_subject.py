"""Who is asked about: nobody, names that are made up, or a certificate.

What a listener makes of them is the handshake's code and the server's judge; here it is
only put in words.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from grpcsecure.explain.listener_facts import client_ca_of
from grpcsecure.model.authorization import Criterion, Matcher
from grpcsecure.model.peer import PeerState
from grpcsecure.policy.certificate_facts import needed_fact
from grpcsecure.policy.synthetic_peers import is_concrete, synthetic_peer
from grpcsecure.tls.simulated_handshake import simulate_handshake

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from grpcsecure.explain.loaded_config import LoadedConfig
    from grpcsecure.model.authorization import MatcherKind
    from grpcsecure.model.listener import Listener
    from grpcsecure.model.peer import Certificate, Peer
    from grpcsecure.policy.decision import Principal

__all__ = [
    "CallerFacts",
    "QuerySubject",
    "Seen",
    "describe_names",
    "see",
    "synthetic_name",
]

_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuerySubject:
    """Whom the question is about: `made_up`, or the certificate of `file`, or nobody.

    `chain` are the further certificates of the file (DER).
    """

    made_up: Matcher | None = None
    file: str | None = None
    certificate: Certificate | None = None
    chain: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerFacts:
    """What a listener makes of a caller, in words and in names.

    `state` is that of a peer, or `refused` for one whom the handshake keeps out.
    """

    state: str
    words: str
    #: When its certificate ends, seen from now; empty without one.
    expiry: str = ""
    certificate: Certificate | None = None
    #: Names of the config that were proved, and those that are only claimed.
    identities: tuple[str, ...] = ()
    claimed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A caller as a listener sees it; `standing` is None if it does not get in.

    Without a policy there is no standing either, and `gets_in` tells the two apart.
    """

    facts: CallerFacts
    gets_in: bool
    peer: Peer | None = None
    standing: Principal | None = None


def synthetic_name(kind: MatcherKind, value: str) -> Criterion:
    """Return one name of a made-up certificate.

    Raises:
        ValueError: the value is none of that kind, or stands for many.
    """
    criterion = Criterion(kind, value)
    needed_fact(criterion)
    if not is_concrete(Matcher((criterion,)), kind):
        raise ValueError("expected one name, and no pattern")
    return criterion


def see(
    scene: LoadedConfig, asker: QuerySubject, listener: Listener, *, now: datetime
) -> Seen:
    """Return what a listener makes of a caller."""
    if asker.certificate is not None:
        return _see_certificate(scene, asker, asker.certificate, listener, now)
    peer = synthetic_peer(asker.made_up, listener)
    if peer.state is PeerState.ANONYMOUS and listener.requires:
        return _refused("no certificate: refused in the handshake", listener, None)
    policy = scene.snapshot.policy
    # A made-up certificate is in force at any time.
    standing = None if policy is None else policy.identify(peer, in_force=True)
    return _seen(_made_up_words(asker, peer, listener), peer, standing)


def _see_certificate(
    scene: LoadedConfig,
    asker: QuerySubject,
    leaf: Certificate,
    listener: Listener,
    now: datetime,
) -> Seen:
    material = scene.snapshot.materials.get(listener.name)
    rehearsed = simulate_handshake(listener, material, leaf.der, asker.chain, now=now)
    if rehearsed.refusal is not None:
        words = f"refused in the handshake: {rehearsed.refusal}"
        return _refused(f"certificate {asker.file}: {words}", listener, leaf)
    judgement = scene.snapshot.judges[listener.name].judge(rehearsed.presented)
    peer = judgement.peer("")
    words = f"certificate {asker.file}: {_certificate_words(scene, peer, listener)}"
    return _seen(words, peer, judgement.standing, expiry=_expiry(leaf, now))


def _refused(words: str, listener: Listener, leaf: Certificate | None) -> Seen:
    facts = CallerFacts(
        state="refused", words=f"{words} ({_mode(listener)})", certificate=leaf
    )
    return Seen(facts=facts, gets_in=False)


def _seen(
    words: str, peer: Peer, standing: Principal | None, *, expiry: str = ""
) -> Seen:
    names: frozenset[str] = frozenset()
    claimed: frozenset[str] = frozenset()
    if standing is not None:
        names = standing.identities
        claimed = standing.claimed - standing.granted
    facts = CallerFacts(
        state=peer.state.value,
        words=words,
        expiry=expiry,
        certificate=peer.certificate,
        identities=tuple(sorted(names)),
        claimed=tuple(sorted(claimed)),
    )
    return Seen(facts=facts, gets_in=True, peer=peer, standing=standing)


def _mode(listener: Listener) -> str:
    return (
        "plaintext" if listener.tls is None else listener.tls.client_certificate.value
    )


def _made_up_words(asker: QuerySubject, peer: Peer, listener: Listener) -> str:
    if asker.made_up is None:
        return "no certificate: anonymous"
    says = " and ".join(
        f"{one.kind.value} {one.value}" for one in asker.made_up.criteria
    )
    words = f"certificate with {says}"
    match peer.state:
        case PeerState.ANONYMOUS:
            return f"{words}: not asked for ({_mode(listener)}), so anonymous"
        case PeerState.CLAIMED:
            return f"{words}: not verified, {peer.unverified_reason}"
        case PeerState.VERIFIED:
            return f"{words}: taken to be verified"


def _certificate_words(scene: LoadedConfig, peer: Peer, listener: Listener) -> str:
    if peer.certificate is None:
        return f"not asked for ({_mode(listener)}), so anonymous"
    if peer.state is not PeerState.VERIFIED:
        return f"not verified ({peer.unverified_reason}), let in by {_mode(listener)}"
    ca = client_ca_of(scene, listener)
    return "verified" if ca is None else f"verified by {ca}"


def _expiry(certificate: Certificate, now: datetime) -> str:
    end = certificate.not_after
    if now > end:
        return f"expired on {end:%Y-%m-%d}"
    if now < certificate.not_before:
        return f"not valid before {certificate.not_before:%Y-%m-%d}"
    left = end - now
    if left < _ONE_DAY:
        return f"expires today at {end:%H:%M} UTC"
    days = left.days
    return f"expires in {days} day{'s' * (days != 1)} ({end:%Y-%m-%d})"


def describe_names(certificate: Certificate) -> Iterator[tuple[str, str]]:
    """Yield the names in a certificate, by the keys that `identities` have for them."""
    yield from certificate.alternative_names()
    for unit in certificate.organizational_units:
        yield "organizational_unit", unit
    if certificate.common_name:
        yield "common_name", certificate.common_name
