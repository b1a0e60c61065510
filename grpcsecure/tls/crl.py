"""Certificate revocation lists (RFC 5280, section 5): what one says, and who signed it.

A list that cannot answer "is it revoked?" by itself is told apart here, since OpenSSL
passes over such lists without a word. Invariant: `parse_crl` returns or raises
`CertificateError`, whatever the bytes are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from grpcsecure.errors import CertificateError
from grpcsecure.tls.certificate import load_x509, reading

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from cryptography import x509

    from grpcsecure.model.peer import Certificate

__all__ = ["RevocationList", "is_signed_by", "parse_crl"]

#: Critical extensions that OpenSSL knows: authorityKeyIdentifier and
#: issuingDistributionPoint. With any other it takes no certificate for good
#: ("unhandled critical CRL extension").
_KNOWN_CRITICAL = frozenset({"2.5.29.35", "2.5.29.28"})

_DELTA = "2.5.29.27"


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationList:
    """What a CRL says; `issuer` is an RFC 4514 string, dates are aware and in UTC.

    `next_update` is None where the issuer promised no next one: it counts for ever.
    `limitation` says why it cannot be used, or is None.
    """

    der: bytes = field(repr=False)
    issuer: str
    this_update: datetime
    next_update: datetime | None
    limitation: str | None = None

    def why_not_in_force(self, now: datetime) -> str | None:
        """Say why its dates exclude `now`, or None if they do not.

        The words are OpenSSL's, so that a check and a handshake agree.
        """
        if self.next_update is not None and now > self.next_update:
            return "CRL has expired"
        if now < self.this_update:
            return "CRL is not yet valid"
        return None


def parse_crl(der: bytes) -> RevocationList:
    """Return what the revocation list says.

    Raises:
        CertificateError: it is none, or cannot be read.
    """
    loaded = _load(der)
    with reading("the revocation list cannot be read"):
        return RevocationList(
            der=der,
            issuer=loaded.issuer.rfc4514_string(),
            this_update=loaded.last_update_utc,
            next_update=loaded.next_update_utc,
            limitation=next(_limitations(loaded), None),
        )


def _load(der: bytes) -> x509.CertificateRevocationList:
    from cryptography.x509 import load_der_x509_crl

    with reading("it is no X.509 revocation list"):
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
    # That it is for CAs only, or for certificates of one distribution point, OpenSSL
    # can tell from the certificate that it looks for.
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
        key = load_x509(authority.der).public_key()
        # Kinds of keys that sign nothing, such as X25519, are a TypeError in there.
        return bool(_load(crl.der).is_signature_valid(key))  # type: ignore[arg-type]
    except (CertificateError, ValueError, TypeError, UnsupportedAlgorithm):
        return False
