"""Builds and verifies the path of a client's certificate, as BoringSSL does.

The order of the steps matters: BoringSSL takes the first issuer that fits by name and
key identifiers, never a second one, and checks the rest of the path afterwards.
Invariant: a path that breaks any rule has an error; without one it ends at an anchor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from grpcsecure.tls.boringssl.constraints import (
    has_host_name_as_common_name,
    why_violated,
)
from grpcsecure.tls.boringssl.parsed_certificate import (
    DIGITAL_SIGNATURE,
    KEY_AGREEMENT,
    KEY_CERT_SIGN,
    ParsedCertificate,
    parse_certificate,
)
from grpcsecure.tls.boringssl.policies import why_policies_fail
from grpcsecure.tls.boringssl.signatures import has_usable_key, is_signed_by
from grpcsecure.tls.der import DerError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from grpcsecure.tls.boringssl.general_names import NameConstraints

__all__ = ["CHAIN_UNREADABLE", "PathError", "PathVerifier"]

#: id-kp-clientAuth.
_CLIENT_AUTH = bytes.fromhex("2b06010505070302")

#: The longest path: 100 certificates between the leaf and the anchor.
_MAX_PATH = 102

#: The most CAs that BoringSSL keeps in order: fewer than the C++ library's sort does
#: by insertion.
_MOST_IN_ORDER = 16

#: X509_V_ERR numbers.
UNREADABLE_KEY, BAD_SIGNATURE = 6, 7
NOT_YET_VALID, EXPIRED, BAD_NOT_BEFORE, BAD_NOT_AFTER = 9, 10, 13, 14
SELF_SIGNED_LEAF, SELF_SIGNED_IN_CHAIN, NO_ISSUER_FOUND = 18, 19, 20
PATH_TOO_LONG, WRONG_PURPOSE, UNKNOWN_CRITICAL = 25, 26, 34
INVALID_EXTENSION, INVALID_CA = 41, 79

#: Reasons without a number of OpenSSL.
CHAIN_UNREADABLE = "BoringSSL cannot parse a certificate of the chain"
HOST_AS_COMMON_NAME = (
    "a common name that looks like a host name, without alternative names, under a"
    " name constraint"
)


class PathError(NamedTuple):
    """The first error of a path: OpenSSL's number for it, or a reason without one."""

    code: int | None
    reason: str | None = None


class _BrokenPathError(Exception):
    """Ends the verification; its argument is the `PathError`."""


class PathVerifier:
    """Verifies clients against the client CAs of a listener.

    Of CAs with the same name, those in force count, the last to expire first: the
    server gives gRPC no others. With more than 16 CAs, BoringSSL keeps no order of
    those; a client is then verified if it is in either order.

    Args:
        anchors: the client CAs (DER). Like gRPC, it stops at the first one that
            BoringSSL cannot parse.
    """

    __slots__ = ("_by_name", "_orders")

    def __init__(self, anchors: Iterable[bytes]) -> None:
        by_name: dict[bytes, list[ParsedCertificate]] = {}
        loaded = 0
        for der in dict.fromkeys(anchors):
            try:
                anchor = parse_certificate(der)
            except DerError:
                break
            by_name.setdefault(anchor.subject.canonical, []).append(anchor)
            loaded += 1
        self._by_name = by_name
        is_ambiguous = len(by_name) < loaded and loaded > _MOST_IN_ORDER
        self._orders = (1, -1) if is_ambiguous else (1,)

    def why_refused(
        self, leaf: bytes, chain: Sequence[bytes], *, at: int
    ) -> PathError | None:
        """Return the first error of a client's path at a time, or None.

        Args:
            leaf: its certificate (DER).
            chain: the certificates that it sends after its own (DER).
            at: seconds since 1970.
        """
        try:
            sent = [parse_certificate(der) for der in (leaf, *chain)]
        except DerError:
            return PathError(None, CHAIN_UNREADABLE)
        first: PathError | None = None
        for order in self._orders:
            store = _AnchorStore(self._by_name, at=at, order=order)
            error = _why_refused(store, sent, at)
            if error is None:
                return None
            first = first or error
        return first


class _AnchorStore:
    """The client CAs that gRPC has at a time; with `order` -1 reversed in each name."""

    __slots__ = ("_at", "_by_name", "_order")

    def __init__(
        self,
        by_name: Mapping[bytes, Sequence[ParsedCertificate]],
        *,
        at: int,
        order: int,
    ) -> None:
        self._by_name = by_name
        self._at = at
        self._order = order

    def find_issuer(self, certificate: ParsedCertificate) -> ParsedCertificate | None:
        """Return the first CA that may have issued a certificate."""
        named = self._named(certificate.issuer.canonical)
        return next((each for each in named if _has_issued(each, certificate)), None)

    def __contains__(self, certificate: ParsedCertificate) -> bool:
        named = self._named(certificate.subject.canonical)
        return any(each.der == certificate.der for each in named)

    def _named(self, canonical: bytes) -> Sequence[ParsedCertificate]:
        named = self._by_name.get(canonical, ())
        if len(named) <= 1:
            return named
        in_force = [
            (each.not_after, each)
            for each in named
            if each.not_before is not None
            and each.not_after is not None
            and each.not_before <= self._at < each.not_after
        ]
        in_force.sort(key=lambda pair: pair[0], reverse=True)
        return ([each for _, each in in_force] or named)[:: self._order]


def _why_refused(
    store: _AnchorStore, sent: Sequence[ParsedCertificate], at: int
) -> PathError | None:
    try:
        path, untrusted = _build_path(store, sent)
        _check_extensions(path[:untrusted])
        _check_dates_and_signatures(path, at)
        _check_names(path)
    except _BrokenPathError as found:
        error: PathError = found.args[0]
        return error
    code = why_policies_fail(path)
    return None if code is None else PathError(code)


def _build_path(
    store: _AnchorStore, sent: Sequence[ParsedCertificate]
) -> tuple[list[ParsedCertificate], int]:
    """Return the path, the leaf first, and how many of its head are not anchors."""
    leaf = sent[0]
    path = _climb(store, sent)
    top = None
    if _is_self_signed(path[-1]):
        if len(path) == 1:
            return _pinned(store, leaf)
        top = path.pop()
    untrusted = len(path)
    while len(path) < _MAX_PATH and not _is_self_signed(path[-1]):
        anchor = store.find_issuer(path[-1])
        if anchor is None:
            break
        path.append(anchor)
    if untrusted < len(path):
        return path, untrusted
    if leaf in store:
        return path, 0
    if top is not None and _has_issued(top, path[-1]):
        raise _BrokenPathError(PathError(SELF_SIGNED_IN_CHAIN))
    raise _BrokenPathError(PathError(_why_no_issuer(path[-1], sent)))


def _climb(
    store: _AnchorStore, sent: Sequence[ParsedCertificate]
) -> list[ParsedCertificate]:
    """Return the head of the path, of what the client sent: up to an anchor."""
    path, rest = [sent[0]], [*sent]
    while len(path) < _MAX_PATH and not _is_self_signed(path[-1]):
        if store.find_issuer(path[-1]) is not None:
            break
        issuer = next((each for each in rest if _has_issued(each, path[-1])), None)
        if issuer is None:
            break
        path.append(issuer)
        rest.remove(issuer)
    return path


def _pinned(
    store: _AnchorStore, leaf: ParsedCertificate
) -> tuple[list[ParsedCertificate], int]:
    anchor = store.find_issuer(leaf)
    if anchor is None or anchor.der != leaf.der:
        raise _BrokenPathError(PathError(SELF_SIGNED_LEAF))
    return [leaf], 0


def _why_no_issuer(last: ParsedCertificate, sent: Sequence[ParsedCertificate]) -> int:
    """Return the error of a path whose last certificate has no issuer.

    BoringSSL calls each case "unable to get local issuer certificate": for it, a
    certificate that may not sign others is not an issuer. OpenSSL has the more useful
    text.
    """
    if last.is_self_issued:
        return SELF_SIGNED_LEAF if last is sent[0] else SELF_SIGNED_IN_CHAIN
    named = (each for each in sent if each.subject.canonical == last.issuer.canonical)
    is_no_ca = any(not each.may_use(KEY_CERT_SIGN) for each in named)
    return INVALID_CA if is_no_ca else NO_ISSUER_FOUND


def _is_self_signed(certificate: ParsedCertificate) -> bool:
    """Whether a path ends here: by its names and key identifiers, not its signature."""
    if certificate.facts.is_invalid:
        raise _BrokenPathError(PathError(INVALID_EXTENSION))
    return (
        certificate.is_self_issued
        and _has_key_of(certificate, certificate)
        and certificate.may_use(KEY_CERT_SIGN)
    )


def _has_issued(issuer: ParsedCertificate, certificate: ParsedCertificate) -> bool:
    return (
        issuer.subject.canonical == certificate.issuer.canonical
        and not issuer.facts.is_invalid
        and not certificate.facts.is_invalid
        and _has_key_of(issuer, certificate)
        and issuer.may_use(KEY_CERT_SIGN)
    )


def _has_key_of(issuer: ParsedCertificate, certificate: ParsedCertificate) -> bool:
    """Whether the AuthorityKeyIdentifier of a certificate fits an issuer."""
    named = certificate.facts.authority_key
    if named is None:
        return True
    is_other_key = None not in {named.key, issuer.facts.subject_key} and (
        named.key != issuer.facts.subject_key
    )
    return (
        not is_other_key
        and named.serial in {None, issuer.serial}
        and (named.issuer is None or named.issuer.canonical == issuer.issuer.canonical)
    )


def _check_extensions(untrusted: Sequence[ParsedCertificate]) -> None:
    """Check extensions, of all certificates but the anchors."""
    length = 0
    for index, certificate in enumerate(untrusted):
        if certificate.facts.has_unknown_critical:
            raise _BrokenPathError(PathError(UNKNOWN_CRITICAL))
        if index and not _is_ca(certificate):
            raise _BrokenPathError(PathError(INVALID_CA))
        if not _is_for_clients(certificate, is_leaf=not index):
            raise _BrokenPathError(PathError(WRONG_PURPOSE))
        if certificate.is_self_issued:
            continue
        limit = certificate.facts.path_length
        if index > 1 and limit is not None and length > limit + 1:
            raise _BrokenPathError(PathError(PATH_TOO_LONG))
        length += 1


def _is_ca(certificate: ParsedCertificate) -> bool:
    if not certificate.may_use(KEY_CERT_SIGN):
        return False
    is_old_root = certificate.version == 1 and _is_self_signed(certificate)
    return is_old_root or certificate.facts.is_authority


def _is_for_clients(certificate: ParsedCertificate, *, is_leaf: bool) -> bool:
    purposes = certificate.facts.purposes
    if purposes is not None and _CLIENT_AUTH not in purposes:
        return False
    return not is_leaf or certificate.may_use(DIGITAL_SIGNATURE | KEY_AGREEMENT)


def _check_dates_and_signatures(path: Sequence[ParsedCertificate], at: int) -> None:
    """Check all dates from the anchor down, and all signatures but the anchor's."""
    issuer = None
    for certificate in reversed(path):
        if issuer is not None:
            if not has_usable_key(issuer):
                raise _BrokenPathError(PathError(UNREADABLE_KEY))
            if not is_signed_by(certificate, issuer):
                raise _BrokenPathError(PathError(BAD_SIGNATURE))
        _check_dates(certificate, at)
        issuer = certificate


def _check_dates(certificate: ParsedCertificate, at: int) -> None:
    if certificate.not_before is None:
        raise _BrokenPathError(PathError(BAD_NOT_BEFORE))
    if certificate.not_before > at:
        raise _BrokenPathError(PathError(NOT_YET_VALID))
    if certificate.not_after is None:
        raise _BrokenPathError(PathError(BAD_NOT_AFTER))
    # The last second that the certificate names does not count any more.
    if certificate.not_after <= at:
        raise _BrokenPathError(PathError(EXPIRED))


def _check_names(path: Sequence[ParsedCertificate]) -> None:
    for index, certificate in reversed([*enumerate(path)]):
        if index and certificate.is_self_issued:
            continue
        for constraints in _constraints_of(reversed(path[index + 1 :])):
            code = why_violated(certificate, constraints)
            if code is not None:
                raise _BrokenPathError(PathError(code))
    is_constrained = next(_constraints_of(path[1:]), None) is not None
    if is_constrained and has_host_name_as_common_name(path[0]):
        raise _BrokenPathError(PathError(None, HOST_AS_COMMON_NAME))


def _constraints_of(
    certificates: Iterable[ParsedCertificate],
) -> Iterator[NameConstraints]:
    for certificate in certificates:
        if certificate.facts.constraints is not None:
            yield certificate.facts.constraints
