"""The caller that `explain` is asked about: anonymous, synthetic, or a certificate.

The code of real handshakes and calls decides; this module only describes the answer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from grpcsecure.explain.listener_facts import client_ca_of, trust_domains_of
from grpcsecure.model.authorization import Criterion, Matcher
from grpcsecure.model.peer import PeerState
from grpcsecure.policy.certificate_facts import needed_fact
from grpcsecure.policy.synthetic_peers import is_concrete, synthetic_peer
from grpcsecure.server.rpc.peer_cache import Connection
from grpcsecure.tls.simulated_handshake import simulate_handshakes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from grpcsecure.explain.loaded_config import LoadedConfig
    from grpcsecure.model.authorization import MatcherKind
    from grpcsecure.model.listener import Listener
    from grpcsecure.model.peer import Certificate, Peer
    from grpcsecure.policy.decision import Principal
    from grpcsecure.tls.simulated_handshake import SimulatedHandshake

__all__ = [
    "CallerFacts",
    "QuerySubject",
    "SeenCaller",
    "describe_names",
    "see",
    "synthetic_name",
]

_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuerySubject:
    """The caller of the question: with `names`, or the certificate of `file`.

    Without both it is anonymous. `chain` are the further certificates of the file
    (DER).
    """

    names: Matcher | None = None
    file: str | None = None
    certificate: Certificate | None = None
    chain: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerFacts:
    """How a listener sees a caller, for a reader.

    `state` is that of a peer, or `refused` where the handshake refuses it.
    """

    state: str
    words: str
    #: When its certificate expires, relative to now; empty without one.
    expiry: str = ""
    certificate: Certificate | None = None
    #: Names of the config that were proved, and those that are only claimed.
    identities: tuple[str, ...] = ()
    claimed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenCaller:
    """A caller as a listener sees it; `principal` is None if it does not get in.

    Without a policy there is no principal either; `gets_in` says which it is. If
    `is_unvouched`, it gets in and each of its calls is refused: its mode verifies.
    `versions` are the TLS versions in which this is so, if they differ.
    """

    facts: CallerFacts
    gets_in: bool
    is_unvouched: bool = False
    peer: Peer | None = None
    principal: Principal | None = None
    versions: tuple[str, ...] = ()


def synthetic_name(kind: MatcherKind, value: str) -> Criterion:
    """Return one name of a synthetic certificate.

    Raises:
        ValueError: the value is not of that kind, or is a pattern.
    """
    criterion = Criterion(kind, value)
    needed_fact(criterion)
    if not is_concrete(Matcher((criterion,)), kind):
        raise ValueError("expected one name, and no pattern")
    return criterion


def see(
    scene: LoadedConfig, subject: QuerySubject, listener: Listener, *, now: datetime
) -> tuple[SeenCaller, ...]:
    """Return how a listener sees a caller: once, or for each TLS version that differs.

    The newest version is the first.
    """
    if subject.certificate is not None:
        return tuple(
            _see_certificate(scene, subject, subject.certificate, listener, now)
        )
    peer = synthetic_peer(subject.names, listener)
    if peer.state is PeerState.ANONYMOUS and listener.requires:
        return (_refused("no certificate: refused in the handshake", listener, None),)
    policy = scene.snapshot.policy
    # A synthetic certificate is in force at any time.
    principal = None if policy is None else policy.identify(peer, in_force=True)
    # On a listener that verifies, no other synthetic certificate is unverified.
    is_unvouched = peer.state is PeerState.CLAIMED and _verifies(listener)
    words = _synthetic_words(subject, peer, listener)
    return (_seen(words, peer, principal, is_unvouched=is_unvouched),)


def _verifies(listener: Listener) -> bool:
    return listener.tls is not None and listener.tls.client_certificate.verifies


def _see_certificate(
    scene: LoadedConfig,
    subject: QuerySubject,
    leaf: Certificate,
    listener: Listener,
    now: datetime,
) -> Iterator[SeenCaller]:
    material = scene.snapshot.materials.get(listener.name)
    handshakes = simulate_handshakes(
        listener, material, leaf.der, subject.chain, now=now
    )
    for handshake in handshakes:
        versions: tuple[str, ...] = ()
        if len(handshakes) > 1:
            versions = tuple(each.value for each in handshake.versions)
        seen = _see_handshake(scene, subject, leaf, listener, handshake, now=now)
        yield replace(seen, versions=versions)


def _see_handshake(  # noqa: PLR0913 - the parts of the question
    scene: LoadedConfig,
    subject: QuerySubject,
    leaf: Certificate,
    listener: Listener,
    handshake: SimulatedHandshake,
    *,
    now: datetime,
) -> SeenCaller:
    if handshake.refusal is not None:
        words = f"refused in the handshake: {handshake.refusal}"
        return _refused(f"certificate {subject.file}: {words}", listener, leaf)
    connection = None if handshake.result is None else Connection(handshake.result)
    resolved = scene.snapshot.resolvers[listener.name].resolve(connection)
    peer = resolved.peer("")
    if handshake.withheld is None:
        words = _certificate_words(scene, peer, listener)
    else:
        words = f"not presented, so anonymous: {handshake.withheld}"
    words = f"certificate {subject.file}: {words}"
    return _seen(
        words,
        peer,
        resolved.principal,
        is_unvouched=_verifies(listener) and resolved.fails_verification,
        expiry=_expiry(leaf, now),
    )


def _refused(words: str, listener: Listener, leaf: Certificate | None) -> SeenCaller:
    facts = CallerFacts(
        state="refused", words=f"{words} ({_mode(listener)})", certificate=leaf
    )
    return SeenCaller(facts=facts, gets_in=False)


def _seen(
    words: str,
    peer: Peer,
    principal: Principal | None,
    *,
    is_unvouched: bool,
    expiry: str = "",
) -> SeenCaller:
    names: frozenset[str] = frozenset()
    claimed: frozenset[str] = frozenset()
    if principal is not None:
        names = principal.identities
        claimed = principal.claimed - principal.granted
    facts = CallerFacts(
        state=peer.state.value,
        words=words,
        expiry=expiry,
        certificate=peer.certificate,
        identities=tuple(sorted(names)),
        claimed=tuple(sorted(claimed)),
    )
    return SeenCaller(
        facts=facts,
        gets_in=True,
        is_unvouched=is_unvouched,
        peer=peer,
        principal=principal,
    )


def _mode(listener: Listener) -> str:
    return (
        "plaintext" if listener.tls is None else listener.tls.client_certificate.value
    )


def _synthetic_words(subject: QuerySubject, peer: Peer, listener: Listener) -> str:
    if subject.names is None:
        return "no certificate: anonymous"
    says = " and ".join(
        f"{one.kind.value} {one.value}" for one in subject.names.criteria
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
        words = f"not verified ({peer.unverified_reason})"
        if _verifies(listener):
            return f"{words}: {_mode(listener)} refuses its calls"
        return f"{words}, let in by {_mode(listener)}"
    files = trust_domains_of(scene, listener)
    own = [files[name] for name in peer.certificate.trust_domains if name in files]
    ca = " and ".join(own) or client_ca_of(scene, listener)
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
    """Yield the names in a certificate, each with its key in `identities`."""
    yield from certificate.alternative_names()
    for unit in certificate.organizational_units:
        yield "organizational_unit", unit
    if certificate.common_name:
        yield "common_name", certificate.common_name
