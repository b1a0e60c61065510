"""Parsing of certificate revocation lists (RFC 5280, section 5), and their signatures.

Detects lists that cannot answer "is it revoked?" by themselves, since OpenSSL silently
skips such lists. Invariant: for any bytes, `parse_crl` either returns or raises
`CertificateError`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from grpcsecure.errors import CertificateError
from grpcsecure.tls.certificate import load_public_key, reading
from grpcsecure.tls.der import read_crl_issuer
from grpcsecure.tls.name_text import name_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from cryptography import x509

    from grpcsecure.model.peer import Certificate

__all__ = ["CrlScope", "RevocationList", "is_signed_by", "parse_crl"]

#: Critical extensions that OpenSSL knows: authorityKeyIdentifier and
#: issuingDistributionPoint. If a list has any other, OpenSSL refuses every certificate
#: of its issuer ("unhandled critical CRL extension").
_KNOWN_CRITICAL = frozenset({"2.5.29.35", "2.5.29.28"})

_DELTA = "2.5.29.27"

#: The reason removeFromCRL of an entry (RFC 5280, 5.3.1), in DER. Searched for in the
#: bytes: reading the entries of a long list one by one takes seconds.
_REMOVAL = re.compile(
    rb"\x06\x03\x55\x1d\x15(?:\x01\x01[\x00\xff])?\x04\x03\x0a\x01\x08"
)


class CrlScope(Enum):
    """The certificates of its issuer that a list is for, as text for users."""

    ALL = "all certificates"
    CLIENTS = "end-entity certificates only"
    AUTHORITIES = "CA certificates only"
    ATTRIBUTES = "attribute certificates only"

    @property
    def has_clients(self) -> bool:
        """Whether a list of this scope can vouch for the certificates of clients."""
        return self in (CrlScope.ALL, CrlScope.CLIENTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationList:
    """A parsed CRL; `issuer` is an RFC 4514 string, dates are aware and in UTC.

    `next_update` is None if the issuer announced no next list: it never expires.
    `limitation` is the reason why the list cannot be used, or None. A list with
    `points` is only for certificates that name one of these distribution points.
    `removals` is the number of its entries that count as not revoked.
    """

    der: bytes = field(repr=False)
    issuer: str
    this_update: datetime
    next_update: datetime | None
    limitation: str | None = None
    scope: CrlScope = CrlScope.ALL
    points: tuple[str, ...] = ()
    removals: int = 0

    def why_not_in_force(self, now: datetime) -> str | None:
        """Return why the list is not valid at `now`, or None if it is.

        The text is OpenSSL's, so that a check and a handshake give the same reason.
        """
        if self.next_update is not None and now > self.next_update:
            return "CRL has expired"
        if now < self.this_update:
            return "CRL is not yet valid"
        return None


def parse_crl(der: bytes) -> RevocationList:
    """Parse a revocation list in DER.

    Raises:
        CertificateError: it is not a revocation list, or cannot be read.
    """
    loaded = _load(der)
    with reading("the revocation list cannot be read"):
        distribution = _distribution(loaded)
        return RevocationList(
            der=der,
            issuer=name_text(read_crl_issuer(der)),
            this_update=loaded.last_update_utc,
            next_update=loaded.next_update_utc,
            limitation=next(_limitations(loaded), None),
            scope=_scope(distribution),
            points=tuple(_points(distribution)),
            removals=len(_REMOVAL.findall(der)),
        )


def _load(der: bytes) -> x509.CertificateRevocationList:
    from cryptography.x509 import load_der_x509_crl

    with reading("it is not an X.509 revocation list"):
        return load_der_x509_crl(der)


def _limitations(loaded: x509.CertificateRevocationList) -> Iterator[str]:
    from cryptography.x509 import IssuingDistributionPoint

    for extension in loaded.extensions:
        identifier, value = extension.oid.dotted_string, extension.value
        if identifier == _DELTA:
            yield "it lists changes to another list only (delta CRL)"
        elif isinstance(value, IssuingDistributionPoint):
            yield from _limitations_of_scope(value)
        elif extension.critical and identifier not in _KNOWN_CRITICAL:
            yield f"its critical extension {identifier} is unknown"


def _limitations_of_scope(scope: x509.IssuingDistributionPoint) -> Iterator[str]:
    # A scope of CAs only, or of one distribution point, is not a limitation: OpenSSL
    # compares it with the certificate that it looks for.
    if scope.indirect_crl:
        yield "it lists certificates of other CAs as well (indirect CRL)"
    if scope.only_some_reasons:
        yield "it lists certificates revoked for some reasons only"


def _distribution(
    loaded: x509.CertificateRevocationList,
) -> x509.IssuingDistributionPoint | None:
    from cryptography.x509 import IssuingDistributionPoint

    values = (extension.value for extension in loaded.extensions)
    return next((v for v in values if isinstance(v, IssuingDistributionPoint)), None)


def _scope(distribution: x509.IssuingDistributionPoint | None) -> CrlScope:
    if distribution is None:
        return CrlScope.ALL
    if distribution.only_contains_attribute_certs:
        return CrlScope.ATTRIBUTES
    if distribution.only_contains_ca_certs:
        return CrlScope.AUTHORITIES
    return CrlScope.CLIENTS if distribution.only_contains_user_certs else CrlScope.ALL


def _points(distribution: x509.IssuingDistributionPoint | None) -> Iterator[str]:
    """Yield the names of the distribution point; relative and odd ones as text."""
    if distribution is None:
        return
    from cryptography.x509 import Name

    for each in distribution.full_name or ():
        value = each.value
        yield value.rfc4514_string() if isinstance(value, Name) else str(value)
    if distribution.relative_name is not None:
        yield ",".join(each.rfc4514_string() for each in distribution.relative_name)


def is_signed_by(crl: RevocationList, authority: Certificate) -> bool:
    """Whether the key of `authority` signed the list; the names are not compared."""
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        key = load_public_key(authority.der)
        # Keys that cannot sign, such as X25519, raise a TypeError in there.
        return bool(_load(crl.der).is_signature_valid(key))  # type: ignore[arg-type]
    except (CertificateError, ValueError, TypeError, UnsupportedAlgorithm):
        return False
