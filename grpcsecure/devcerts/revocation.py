"""Issues revocation lists of a throw-away CA: good ones and deliberately bad ones.

They have what RFC 5280, section 5, requires: a CRL number and the key identifier of
their issuer.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from grpcsecure.devcerts.credentials import (
    Profile,
    Validity,
    issue,
    make_authority,
    pem_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from grpcsecure.devcerts.credentials import Credential, PrivateKey

__all__ = ["make_crl", "make_revocations"]

_DAY = timedelta(days=1)


def make_crl(
    issuer: Credential,
    revoked: Iterable[x509.Certificate] = (),
    *,
    validity: Validity,
    key: PrivateKey | None = None,
    is_delta: bool = False,
) -> x509.CertificateRevocationList:
    """Return a list of certificates that `issuer` has revoked.

    Args:
        issuer: the CA.
        revoked: certificates that the CA issued.
        validity: the times of this update and of the next one.
        key: the key that signs the list instead of the CA's key.
        is_delta: whether it is marked as a delta CRL (changes since an earlier list).
    """
    signer = issuer.key if key is None else key
    if isinstance(signer, ed25519.Ed25519PrivateKey):
        raise TypeError("issuers sign with EC or RSA keys")
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(validity.not_before)
        .next_update(validity.not_after)
        .add_extension(x509.CRLNumber(2), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()),
            critical=False,
        )
    )
    if is_delta:
        builder = builder.add_extension(x509.DeltaCRLIndicator(1), critical=True)
    for certificate in revoked:
        entry = x509.RevokedCertificateBuilder(
            certificate.serial_number, validity.not_before
        )
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(signer, hashes.SHA256())


def make_revocations(
    authority: Credential, *, now: datetime, days: float
) -> Iterator[tuple[str, bytes]]:
    """Yield files by name: a revoked client of `authority`, good and bad lists.

    `ca.crl` is the good list.
    """
    validity = Validity.of(days, now=now)
    client = issue(Profile(subject="revoked", validity=validity), issuer=authority)
    other = make_authority("another CA", now=now, days=days)
    yield "client-revoked.pem", client.certificate_pem
    yield "client-revoked.key", client.key_pem
    yield "ca-two.pem", pem_of(authority.certificate, other.certificate)
    revoked = [client.certificate]
    good = make_crl(authority, revoked, validity=validity)
    text = _pem(good)
    past = Validity(now - 30 * _DAY, now - _DAY)
    yield "ca.crl", text
    yield "ca-der.crl", good.public_bytes(serialization.Encoding.DER)
    yield "ca-broken.crl", text + text.replace(b"M", b"!", 1)
    yield "ca-expired.crl", _pem(make_crl(authority, revoked, validity=past))
    delta = make_crl(authority, revoked, validity=validity, is_delta=True)
    yield "ca-delta.crl", _pem(delta)
    forged = make_crl(authority, validity=validity, key=other.key)
    yield "ca-forged.crl", _pem(forged)
    yield "other-ca.crl", _pem(make_crl(other, validity=validity))


def _pem(crl: x509.CertificateRevocationList) -> bytes:
    return crl.public_bytes(serialization.Encoding.PEM)
