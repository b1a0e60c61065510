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

__all__ = ["make_crl", "make_revocations", "make_scope"]

_DAY = timedelta(days=1)


def make_crl(  # noqa: PLR0913 - the parts of a list
    issuer: Credential,
    revoked: Iterable[x509.Certificate] = (),
    *,
    validity: Validity,
    key: PrivateKey | None = None,
    is_delta: bool = False,
    scope: x509.IssuingDistributionPoint | None = None,
    reason: x509.ReasonFlags | None = None,
) -> x509.CertificateRevocationList:
    """Return a list of certificates that `issuer` has revoked.

    Args:
        issuer: the CA.
        revoked: certificates that the CA issued.
        validity: the times of this update and of the next one.
        key: the key that signs the list instead of the CA's key.
        is_delta: whether it is marked as a delta CRL (changes since an earlier list).
        scope: the certificates that it is for; None means all of the CA.
        reason: the reason of all its entries.
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
    if scope is not None:
        builder = builder.add_extension(scope, critical=True)
    for certificate in revoked:
        entry = x509.RevokedCertificateBuilder(
            certificate.serial_number, validity.not_before
        )
        if reason is not None:
            entry = entry.add_extension(x509.CRLReason(reason), critical=False)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(signer, hashes.SHA256())


def make_scope(
    *, url: str | None = None, only_authorities: bool = False
) -> x509.IssuingDistributionPoint:
    """Return the scope of a list: of one distribution point, or for CAs only.

    Args:
        url: the distribution point.
        only_authorities: whether it is for CA certificates only.
    """
    return x509.IssuingDistributionPoint(
        full_name=None if url is None else [x509.UniformResourceIdentifier(url)],
        relative_name=None,
        only_contains_user_certs=False,
        only_contains_ca_certs=only_authorities,
        only_some_reasons=None,
        indirect_crl=False,
        only_contains_attribute_certs=False,
    )


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
    yield "ca-with-crl.pem", pem_of(authority.certificate) + text
    yield "ca-der.crl", good.public_bytes(serialization.Encoding.DER)
    yield "ca-broken.crl", text + text.replace(b"M", b"!", 1)
    yield "ca-expired.crl", _pem(make_crl(authority, revoked, validity=past))
    delta = make_crl(authority, revoked, validity=validity, is_delta=True)
    yield "ca-delta.crl", _pem(delta)
    for name, scope in {
        "authorities": make_scope(only_authorities=True),
        "point": make_scope(url="http://ca.corp.example/1.0/crl"),
    }.items():
        limited = make_crl(authority, revoked, validity=validity, scope=scope)
        yield f"ca-{name}.crl", _pem(limited)
    taken_off = make_crl(
        authority, revoked, validity=validity, reason=x509.ReasonFlags.remove_from_crl
    )
    yield "ca-removals.crl", _pem(taken_off)
    forged = make_crl(authority, validity=validity, key=other.key)
    yield "ca-forged.crl", _pem(forged)
    yield "other-ca.crl", _pem(make_crl(other, validity=validity))


def _pem(crl: x509.CertificateRevocationList) -> bytes:
    return crl.public_bytes(serialization.Encoding.PEM)
