"""Parsing of certificate revocation lists (RFC 5280, section 5), and their signatures.

Detects lists that cannot answer "is it revoked?" by themselves, since OpenSSL silently
skips such lists. Invariant: for any bytes, `parse_crl` either returns or raises
`CertificateError`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
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

__all__ = ["RevocationList", "is_signed_by", "parse_crl"]

#: Critical extensions that OpenSSL knows: authorityKeyIdentifier and
#: issuingDistributionPoint. If a list has any other, OpenSSL refuses every certificate
#: of its issuer ("unhandled critical CRL extension").
_KNOWN_CRITICAL = frozenset({"2.5.29.35", "2.5.29.28"})

_DELTA = "2.5.29.27"


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationList:
    """A parsed CRL; `issuer` is an RFC 4514 string, dates are aware and in UTC.

    `next_update` is None if the issuer announced no next list: it never expires.
    `limitation` is the reason why the list cannot be used, or None.
    """

    der: bytes = field(repr=False)
    issuer: str
    this_update: datetime
    next_update: datetime | None
    limitation: str | None = None

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
        return RevocationList(
            der=der,
            issuer=name_text(read_crl_issuer(der)),
            this_update=loaded.last_update_utc,
            next_update=loaded.next_update_utc,
            limitation=next(_limitations(loaded), None),
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
    if scope.only_contains_attribute_certs:
        yield "it is for attribute certificates only"


def is_signed_by(crl: RevocationList, authority: Certificate) -> bool:
    """Whether the key of `authority` signed the list; the names are not compared."""
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        key = load_public_key(authority.der)
        # Keys that cannot sign, such as X25519, raise a TypeError in there.
        return bool(_load(crl.der).is_signature_valid(key))  # type: ignore[arg-type]
    except (CertificateError, ValueError, TypeError, UnsupportedAlgorithm):
        return False
