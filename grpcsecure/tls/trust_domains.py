"""Ties SPIFFE trust domains to their CAs: which verdicts a certificate needs.

A CA vouches for its own trust domain only (SPIFFE Trust Domain and Bundle, section 4).
So a chain that ends at some client CA is checked again, against the CAs of each trust
domain that its certificate names. Invariant: without good verdicts from all of these,
the certificate is not verified, whatever other names it has.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from grpcsecure.errors import CertificateError
from grpcsecure.model.listener import why_unvouched

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from grpcsecure.tls.chain_verdict import ChainVerdict

__all__ = ["restrict_to_trust_domains", "trust_domains_of"]


def trust_domains_of(leaf: bytes) -> tuple[str, ...]:
    """Return the trust domains that a certificate (DER) names.

    There are none in one whose names cannot be read: none of these is ever trusted.
    """
    from grpcsecure.tls.certificate import parse_certificate

    with suppress(CertificateError):
        return parse_certificate(leaf).trust_domains
    return ()


def restrict_to_trust_domains(
    verdict: ChainVerdict,
    names: tuple[str, ...],
    *,
    known: Container[str],
    find_own: Callable[[str], ChainVerdict],
) -> ChainVerdict:
    """Return the verdict on a certificate that names trust domains.

    Args:
        verdict: of all client CAs together.
        names: the trust domains that the certificate names.
        known: the trust domains that have CAs.
        find_own: returns the verdict of the CAs of one of these alone.
    """
    for name in names:
        if verdict.reason is not None:
            return verdict
        if name not in known:
            return _unvouched(verdict, name, known)
        own = find_own(name)
        verdict = replace(
            verdict,
            since=max(verdict.since, own.since),
            until=min(verdict.until, own.until),
        )
        if own.reason is not None:
            verdict = _unvouched(verdict, name, known)
    return verdict


def _unvouched(verdict: ChainVerdict, name: str, known: Container[str]) -> ChainVerdict:
    return replace(verdict, reason=why_unvouched(name, known), is_unvouched=True)
