"""Which identities a peer has: its certificate, matched with all identities at once.

A certificate is turned into facts, a matcher into the facts it needs; it matches if the
certificate has all of them. So the cost of a look-up follows the size of the
certificate, not the number of identities. Invariant: granted identities are claimed
too, since the granted facts are a part of the claimed ones.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from grpcsecure.model.authorization import BuiltIn
from grpcsecure.model.peer import VerifiedPeer
from grpcsecure.policy.certificate_facts import CertificateFacts, Fact, needed_fact

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from grpcsecure.model.authorization import Identity
    from grpcsecure.model.peer import Certificate, Peer

__all__ = ["BUILT_IN_NAMES", "IdentityIndex", "Principal"]

BUILT_IN_NAMES = frozenset(built_in.value for built_in in BuiltIn)


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """The identities of one peer.

    Allow rules match `granted` identities, those that the peer proved. Deny rules match
    `claimed` ones, those that its certificate says, verified or not. Both include the
    built-in names.
    """

    granted: frozenset[str]
    claimed: frozenset[str]
    #: Whether the peer proved an identity: it then gets PERMISSION_DENIED, and not
    #: UNAUTHENTICATED.
    is_known: bool

    @property
    def identities(self) -> frozenset[str]:
        """The granted names that the config gives."""
        return self.granted - BUILT_IN_NAMES


class IdentityIndex:
    """The identities of a config, compiled.

    Args:
        identities: of the config.
        pins: the value of each `certificates` criterion, to fingerprints.

    Raises:
        ValueError: a criterion's value is not valid, or its pins are not given.
    """

    def __init__(
        self,
        identities: Iterable[Identity],
        pins: Mapping[str, frozenset[str]],
    ) -> None:
        matchers = [
            (identity.name, frozenset(map(needed_fact, matcher.criteria)))
            for identity in identities
            for matcher in identity.matchers
        ]
        uses = Counter(fact for _, needed in matchers for fact in needed)
        # Each matcher is found by the rarest fact that it needs: ten thousand matchers
        # that share an `organizational_unit` are told apart by the rest.
        self._matchers: dict[Fact, list[tuple[str, frozenset[Fact]]]] = defaultdict(
            list
        )
        for name, needed in matchers:
            self._matchers[min(needed, key=uses.__getitem__)].append((name, needed))
        self._facts = CertificateFacts(uses, pins)
        self._every_name = frozenset(name for name, _ in matchers)

    def identify(self, peer: Peer, *, in_force: bool) -> Principal:
        """Return the identities of a peer. Without a fact for it, none is given.

        Args:
            peer: as of now; only the names of a `VerifiedPeer` are granted.
            in_force: whether the dates of the certificate include now; pins need it.
        """
        built_in = _built_in(peer)
        if peer.certificate is None:
            return Principal(granted=built_in, claimed=built_in, is_known=False)
        if not peer.certificate.is_readable:
            return self._identify_unreadable(peer.certificate, in_force=in_force)
        is_verified = isinstance(peer, VerifiedPeer)
        # certificate  names count  pins count
        # verified     yes          if in force
        # claimed      no           if in force
        claimed, granted = set(), set()
        for fact, is_pin, is_sound in self._facts.of(peer.certificate):
            claimed.add(fact)
            if in_force if is_pin else (is_verified and is_sound):
                granted.add(fact)
        given = self._names(granted)
        return Principal(
            granted=built_in | given,
            claimed=built_in | self._names(claimed),
            is_known=is_verified or bool(given),
        )

    def _identify_unreadable(
        self, certificate: Certificate, *, in_force: bool
    ) -> Principal:
        """Return the identities of a certificate whose names cannot be read.

        It may have every name that a deny rule asks for, and proves none of them. Its
        bytes and its key are known: a registration of one of these counts.
        """
        presented = frozenset({BuiltIn.ANYONE.value, BuiltIn.PRESENTED.value})
        pins = {fact for fact, is_pin, _ in self._facts.of(certificate) if is_pin}
        given = self._names(pins) if in_force else frozenset()
        return Principal(
            granted=presented | given,
            claimed=presented | self._every_name,
            is_known=bool(given),
        )

    def _names(self, facts: set[Fact]) -> frozenset[str]:
        return frozenset(
            name
            for fact in facts
            for name, needed in self._matchers.get(fact, ())
            if needed <= facts
        )


def _built_in(peer: Peer) -> frozenset[str]:
    names = {BuiltIn.ANYONE.value}
    if peer.certificate is None:
        names.add(BuiltIn.ANONYMOUS.value)
    else:
        names.add(BuiltIn.PRESENTED.value)
        if isinstance(peer, VerifiedPeer):
            names.add(BuiltIn.VERIFIED.value)
    return frozenset(names)
