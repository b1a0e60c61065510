"""Verifies a client's chain again at a call, by the client CAs and CRLs in force.

The check is that of the engine's handshakes, with the material and the time of now: a
client that its engine verified is not refused for a rule of the other engine. A verdict
is cached until it may change: up to the next date of any certificate or list that it
may rest on. Invariant: a chain that could not be checked is not verified.
"""

from __future__ import annotations

from bisect import bisect_right
from calendar import timegm
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from threading import Lock
from typing import TYPE_CHECKING

from grpcsecure.errors import CertificateError
from grpcsecure.model.listener import Engine
from grpcsecure.tls.certificate import parse_pem_certificates, read_dates
from grpcsecure.tls.chain_verdict import ChainVerdict
from grpcsecure.tls.crl import parse_crl
from grpcsecure.tls.handshake_result import NOT_CHECKED
from grpcsecure.tls.openssl.settings import ContextMaterial
from grpcsecure.tls.pem import render_pem
from grpcsecure.tls.trust_domains import restrict_to_trust_domains, trust_domains_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from grpcsecure.model.peer import Certificate
    from grpcsecure.tls.chain_verdict import ChainCheck
    from grpcsecure.tls.material import Material

__all__ = ["Rechecker", "load_check"]

#: The most verdicts that are cached, and the bytes of the longest chain: a peer sends
#: as much after its leaf as it likes.
_MOST_KEPT = 1024
_MAX_KEPT = 16 * 1024

_UNREADABLE = "the certificate cannot be read"
_NOT_LOADED = "the client CA or a CRL does not load"

_LATEST = datetime.max.replace(tzinfo=timezone.utc)
_EARLIEST = datetime.min.replace(tzinfo=timezone.utc)
_SECOND = timedelta(seconds=1)


_NO_AUTHORITY = ChainVerdict(reason=NOT_CHECKED, since=_EARLIEST, until=_LATEST)


class Rechecker:
    """Verifies chains by the material of one generation of one listener.

    It checks neither the possession of the key nor the strength of keys: the handshake
    has checked both.

    Args:
        material: with the client CAs and CRLs.
        engine: of the listener.
    """

    __slots__ = ("_bases", "_domains", "_engine", "_known", "_lock", "_material")

    def __init__(self, material: Material, engine: Engine = Engine.BRIDGE) -> None:
        self._material = ContextMaterial.of(material)
        self._engine = engine
        #: The material with the CAs of each trust domain only; None if any CA vouches
        #: for any of them.
        self._domains = _by_domain(self._material, material.trust_domains)
        #: By trust domain; that of None has all client CAs.
        self._bases: dict[str | None, _LoadedMaterial] = {}
        self._known: dict[tuple[bytes, tuple[bytes, ...]], ChainVerdict] = {}
        self._lock = Lock()

    def prepare(self) -> None:
        """Load what the first verdict needs, so that no call waits for it."""
        if self._material.client_ca is not None:
            for domain in (None, *(self._domains or ())):
                self._load(domain)

    def verdict(
        self, leaf: bytes, chain: tuple[bytes, ...], now: datetime
    ) -> ChainVerdict:
        """Return the verdict on a certificate now.

        Args:
            leaf: the peer's certificate (DER).
            chain: the certificates that it sent after its own (DER).
            now: the moment of the call, aware.
        """
        known = self._known.get((leaf, chain))
        if known is not None and known.since <= now < known.until:
            return known
        return self._decide(leaf, chain, now)

    def _decide(
        self, leaf: bytes, chain: tuple[bytes, ...], now: datetime
    ) -> ChainVerdict:
        if self._material.client_ca is None:
            return _NO_AUTHORITY
        verdict = self._load(None).verdict(leaf, chain, now)
        if self._domains is not None:
            verdict = restrict_to_trust_domains(
                verdict,
                trust_domains_of(leaf),
                known=self._domains,
                find_own=lambda name: self._load(name).verdict(leaf, chain, now),
            )
        is_small = len(leaf) + sum(map(len, chain)) <= _MAX_KEPT
        if is_small and verdict.since < verdict.until:
            self._keep((leaf, chain), verdict)
        return verdict

    def _load(self, domain: str | None) -> _LoadedMaterial:
        found = self._bases.get(domain)
        if found is None:
            with self._lock:
                found = self._bases.get(domain)
                if found is None:
                    found = _LoadedMaterial(self._material_of(domain), self._engine)
                    self._bases[domain] = found
        return found

    def _material_of(self, domain: str | None) -> ContextMaterial:
        if domain is None or self._domains is None:
            return self._material
        return self._domains[domain]

    def _keep(
        self, key: tuple[bytes, tuple[bytes, ...]], verdict: ChainVerdict
    ) -> None:
        with self._lock:
            if key not in self._known and len(self._known) >= _MOST_KEPT:
                del self._known[next(iter(self._known))]
            self._known[key] = verdict


def _by_domain(
    material: ContextMaterial, domains: Mapping[str, tuple[Certificate, ...]] | None
) -> dict[str, ContextMaterial] | None:
    if domains is None:
        return None
    return {
        domain: replace(
            material, client_ca=render_pem("CERTIFICATE", [ca.der for ca in cas])
        )
        for domain, cas in domains.items()
    }


class _LoadedMaterial:
    """The material as the engine loads it, with its dates in order.

    Without a `check`, no chain can be verified.
    """

    __slots__ = ("_check", "_turns")

    def __init__(self, material: ContextMaterial, engine: Engine) -> None:
        self._check: ChainCheck | None = None
        self._turns: list[datetime] = []
        with suppress(CertificateError):
            self._turns = sorted(_turns(_dates_of(material)))
            self._check = load_check(material, engine)

    def verdict(
        self, leaf: bytes, chain: tuple[bytes, ...], now: datetime
    ) -> ChainVerdict:
        if self._check is None:
            return ChainVerdict(reason=_NOT_LOADED, since=now, until=now)
        outcome = self._check.run(leaf, chain, at=timegm(now.utctimetuple()))
        if outcome.reason is None and not outcome.verified:
            return ChainVerdict(reason=_UNREADABLE, since=now, until=now)
        since, until = self._stretch((leaf, *chain), now)
        return ChainVerdict(
            reason=outcome.reason, code=outcome.code, since=since, until=until
        )

    def _stretch(
        self, certificates: Iterable[bytes], now: datetime
    ) -> tuple[datetime, datetime]:
        """Return the longest time around `now` in which no date begins or ends.

        All dates count, also those of certificates outside the chain that was built:
        another chain may be built later. If dates cannot be read, that time is empty.
        """
        try:
            own = [*_turns(_dates(certificates))]
        except CertificateError:
            return now, now
        turns = self._turns
        index = bisect_right(turns, now)
        return (
            max((_EARLIEST, *turns[:index][-1:], *(at for at in own if at <= now))),
            min((_LATEST, *turns[index : index + 1], *(at for at in own if at > now))),
        )


def load_check(
    material: ContextMaterial, engine: Engine, *, any_strength: bool = True
) -> ChainCheck:
    """Return the check that an engine's handshakes make, with this material.

    Args:
        material: with the client CAs and CRLs.
        engine: of the listener.
        any_strength: whether to skip the bridge's check of the strength of keys and
            signatures; gRPC's own TLS has none.

    Raises:
        CertificateError: the client CAs or CRLs do not load.
    """
    if engine is Engine.GRPC:
        from grpcsecure.tls.boringssl.client_check import NativeCheck

        return NativeCheck(parse_pem_certificates(material.client_ca or b""))
    # pyOpenSSL takes time to import, and not every server comes to need it.
    from grpcsecure.tls.openssl.chain_check import CertificateCheck
    from grpcsecure.tls.openssl.context import ContextError

    try:
        return CertificateCheck(material, any_strength=any_strength)
    except ContextError as error:
        raise CertificateError(str(error)) from None


def _dates_of(material: ContextMaterial) -> Iterator[datetime]:
    for der in parse_pem_certificates(material.client_ca or b""):
        # Neither engine verifies a client by a CA whose dates are in another form.
        with suppress(CertificateError):
            yield from read_dates(der)
    for der in material.crls:
        crl = parse_crl(der)
        yield crl.this_update
        if crl.next_update is not None:
            yield crl.next_update


def _dates(certificates: Iterable[bytes]) -> Iterator[datetime]:
    for der in certificates:
        yield from read_dates(der)


def _turns(dates: Iterable[datetime]) -> Iterator[datetime]:
    """Yield the moments at which these dates may change a verdict.

    OpenSSL compares whole seconds; whether the very second of a date is still in or
    already out differs between its versions and between certificates and lists.
    """
    for date in dates:
        yield date
        if date <= _LATEST - _SECOND:
            yield date + _SECOND
