"""Facts: the names and pins of certificates, and those that criteria need, normalized.

The only place that defines how each kind of name matches. A fact of a certificate is
sound if a verified peer may be granted something for it. Other facts only count against
the peer: deny rules match them, allow rules do not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from grpcsecure.model.authorization import MatcherKind
from grpcsecure.model.name_patterns import (
    NamePattern,
    fold_dns,
    fold_email,
    fold_ip,
    fold_sha256,
    fold_spiffe,
    fold_uri,
    has_dot_segments,
    is_dns_label,
    is_printable,
    is_spiffe_id,
    parse_dns_pattern,
    parse_email,
    parse_ip,
    parse_sha256,
    parse_spiffe_pattern,
    parse_uri_pattern,
)
from grpcsecure.model.subject import COMMON_NAME, Subject, parse_subject

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Iterator, Mapping

    from grpcsecure.model.authorization import Criterion
    from grpcsecure.model.peer import Certificate

__all__ = ["CertificateFacts", "Fact", "FoundFact", "needed_fact"]


class Fact(NamedTuple):
    """One name or pin that a certificate can have.

    A `*` in `kind` means that the value is the fixed part of a wildcard pattern. A
    tuple is used rather than a dataclass, for speed: facts are created and looked up
    for each connection.
    """

    kind: str
    value: Hashable


class FoundFact(NamedTuple):
    """A fact that was found in a certificate."""

    fact: Fact
    is_pin: bool
    #: Whether a verified peer may be granted something for it.
    is_sound: bool


_SPIFFE = MatcherKind.SPIFFE.value
_URI = MatcherKind.URI.value
_DNS = MatcherKind.DNS.value
_EMAIL = MatcherKind.EMAIL.value
_IP = MatcherKind.IP.value
_COMMON_NAME = MatcherKind.COMMON_NAME.value
_ORGANIZATIONAL_UNIT = MatcherKind.ORGANIZATIONAL_UNIT.value
_SUBJECT = MatcherKind.SUBJECT.value
_FINGERPRINT = MatcherKind.FINGERPRINT.value
_PUBLIC_KEY = MatcherKind.PUBLIC_KEY.value
_CERTIFICATES = MatcherKind.CERTIFICATES.value


def needed_fact(criterion: Criterion) -> Fact:
    """Return the fact that a certificate must have to match a criterion.

    Raises:
        ValueError: the value is not valid for this kind of criterion.
    """
    kind = criterion.kind.value
    if criterion.is_unknown:  # a fact that no certificate has
        return Fact(f"{kind}?", criterion.value)
    value = _PARSERS[criterion.kind](criterion.value)
    if isinstance(value, NamePattern):
        return Fact(f"{kind}*" if value.is_wildcard else kind, value.text)
    return Fact(kind, value)


def _parse_text(text: str) -> str:
    if not text:
        raise ValueError("expected a value that is not empty")
    return text


_PARSERS: dict[MatcherKind, Callable[[str], Hashable]] = {
    MatcherKind.SPIFFE: parse_spiffe_pattern,
    MatcherKind.URI: parse_uri_pattern,
    MatcherKind.DNS: parse_dns_pattern,
    MatcherKind.EMAIL: parse_email,
    MatcherKind.IP: parse_ip,
    MatcherKind.COMMON_NAME: _parse_text,
    MatcherKind.ORGANIZATIONAL_UNIT: _parse_text,
    MatcherKind.SUBJECT: parse_subject,
    MatcherKind.FINGERPRINT: parse_sha256,
    MatcherKind.PUBLIC_KEY: parse_sha256,
    MatcherKind.CERTIFICATES: _parse_text,
}


class CertificateFacts:
    """Extracts from certificates the facts that a set of criteria needs.

    Args:
        needed: the facts of all criteria.
        pins: the fingerprints for the value of each `certificates` criterion.

    Raises:
        ValueError: the pins of a `certificates` criterion are missing: a deny rule
            must not lose them.
    """

    def __init__(
        self, needed: Collection[Fact], pins: Mapping[str, frozenset[str]]
    ) -> None:
        kinds = {fact.kind for fact in needed}
        self._readers = [
            read
            for of, read in (
                ({_FINGERPRINT, _PUBLIC_KEY, _CERTIFICATES}, self._pins),
                ({_SPIFFE, f"{_SPIFFE}*"}, self._spiffe),
                ({_URI, f"{_URI}*"}, self._uris),
                ({_DNS, f"{_DNS}*"}, _dns),
                ({_EMAIL, _IP, _ORGANIZATIONAL_UNIT}, _plain),
                ({_COMMON_NAME, _SUBJECT}, _subject),
            )
            if not kinds.isdisjoint(of)
        ]
        self._spiffe_lengths = _lengths(needed, f"{_SPIFFE}*")
        self._uri_lengths = _lengths(needed, f"{_URI}*")
        self._pinned = _by_fingerprint(needed, pins)

    def of(self, certificate: Certificate) -> Iterator[FoundFact]:
        """Yield the facts of a certificate; raises for no content."""
        for read in self._readers:
            yield from read(certificate)

    def _pins(self, certificate: Certificate) -> Iterator[FoundFact]:
        fingerprint = fold_sha256(certificate.fingerprint)
        if fingerprint is not None:
            yield _pin(_FINGERPRINT, fingerprint)
            for value in self._pinned.get(fingerprint, ()):
                yield _pin(_CERTIFICATES, value)
        public_key = fold_sha256(certificate.public_key)
        if public_key is not None:
            yield _pin(_PUBLIC_KEY, public_key)

    def _spiffe(self, certificate: Certificate) -> Iterator[FoundFact]:
        # X509-SVID, sections 2 and 4: one URI, and no right to sign others.
        may_be_svid = len(certificate.uris) == 1 and not certificate.may_issue
        for uri in certificate.uris:
            folded = fold_spiffe(uri)
            if folded is None:
                continue
            is_sound = may_be_svid and is_spiffe_id(folded)
            yield _name(_SPIFFE, folded, is_sound=is_sound)
            for prefix in _prefixes(folded, self._spiffe_lengths):
                yield _name(f"{_SPIFFE}*", prefix, is_sound=is_sound)

    def _uris(self, certificate: Certificate) -> Iterator[FoundFact]:
        for uri in certificate.uris:
            folded = fold_uri(uri)
            yield _name(_URI, folded)
            is_sound = is_printable(folded) and not has_dot_segments(folded)
            for prefix in _prefixes(folded, self._uri_lengths):
                yield _name(f"{_URI}*", prefix, is_sound=is_sound)


def _lengths(needed: Collection[Fact], kind: str) -> tuple[int, ...]:
    return tuple(sorted({len(str(fact.value)) for fact in needed if fact.kind == kind}))


def _by_fingerprint(
    needed: Collection[Fact], pins: Mapping[str, frozenset[str]]
) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for kind, value in needed:
        if kind != _CERTIFICATES:
            continue
        if not isinstance(value, str) or value not in pins:
            raise ValueError(f"expected the fingerprints of `{value}`")
        for fingerprint in pins[value]:
            found.setdefault(parse_sha256(fingerprint), []).append(value)
    return found


def _prefixes(text: str, lengths: tuple[int, ...]) -> Iterator[str]:
    for length in lengths:
        if length > len(text):
            return
        yield text[:length]


def _pin(kind: str, value: str) -> FoundFact:
    return FoundFact(Fact(kind, value), is_pin=True, is_sound=True)


def _name(kind: str, value: Hashable, *, is_sound: bool = True) -> FoundFact:
    return FoundFact(Fact(kind, value), is_pin=False, is_sound=is_sound)


def _dns(certificate: Certificate) -> Iterator[FoundFact]:
    for name in certificate.dns:
        folded = fold_dns(name)
        yield _name(_DNS, folded)
        label, dot, rest = folded.partition(".")
        if dot:
            # A `*` in a certificate is not sound: no client is all hosts of a domain.
            yield _name(f"{_DNS}*", rest, is_sound=is_dns_label(label))


def _plain(certificate: Certificate) -> Iterator[FoundFact]:
    for email in certificate.emails:
        yield _name(_EMAIL, fold_email(email))
    for text in certificate.ips:
        address = fold_ip(text)
        if address is not None:
            yield _name(_IP, address)
    for unit in certificate.organizational_units:
        yield _name(_ORGANIZATIONAL_UNIT, unit)


def _subject(certificate: Certificate) -> Iterator[FoundFact]:
    if certificate.common_name is not None:
        yield _name(_COMMON_NAME, certificate.common_name)
    subject = _parsed(certificate.subject)
    if subject is not None:
        yield _name(_SUBJECT, subject)
        # gRPC uses the first common name only; the others count for deny rules, so
        # that an additional name does not evade them.
        for value in subject.values(COMMON_NAME):
            yield _name(_COMMON_NAME, value, is_sound=False)


def _parsed(text: str) -> Subject | None:
    try:
        return parse_subject(text)
    except ValueError:
        return None
