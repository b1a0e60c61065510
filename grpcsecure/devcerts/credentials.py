"""Issues certificates with keys, which strict verifiers accept by default.

They have what RFC 5280 requires and Go, Node and `openssl -x509_strict` check: key
identifiers, critical basicConstraints and keyUsage, names in the SAN.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from datetime import datetime

__all__ = [
    "ANY_PURPOSE",
    "CA_USAGE",
    "CLIENT_AUTH",
    "SERVER_AUTH",
    "Credential",
    "Profile",
    "Validity",
    "issue",
    "make_authority",
    "new_key",
]

CLIENT_AUTH = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER_AUTH = ExtendedKeyUsageOID.SERVER_AUTH
ANY_PURPOSE = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE

CA_USAGE = ("key_cert_sign", "crl_sign")
_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)

#: The clocks of containers and of laptops after sleep may be late.
_BACKDATE = timedelta(hours=1)

PrivateKey = (
    ec.EllipticCurvePrivateKey
    | rsa.RSAPrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A certificate with its key; `chain` has the certificates that follow it."""

    certificate: x509.Certificate
    key: PrivateKey = field(repr=False)
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def certificate_pem(self) -> bytes:
        """The certificate and its chain as PEM."""
        return pem_of(self.certificate, *self.chain)

    @property
    def key_pem(self) -> bytes:
        """The key as PKCS #8, without a passphrase."""
        return self.key_pem_with(serialization.NoEncryption())

    def key_pem_with(
        self, encryption: serialization.KeySerializationEncryption
    ) -> bytes:
        """Return the key as PKCS #8 with the given encryption."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
        )

    def with_chain(self, *chain: x509.Certificate) -> Credential:
        """Return the same credential with another chain."""
        return replace(self, chain=chain)


def pem_of(*certificates: x509.Certificate) -> bytes:
    """Return the certificates as PEM."""
    return b"".join(c.public_bytes(serialization.Encoding.PEM) for c in certificates)


class Validity(NamedTuple):
    """The validity period of a certificate: its first and its last moment."""

    not_before: datetime
    not_after: datetime

    @classmethod
    def of(cls, days: float, *, now: datetime) -> Validity:
        """Return a period of `days` from `now`, beginning a little earlier."""
        return cls(now - _BACKDATE, now + timedelta(days=days))


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The content of a certificate; the defaults are those of a good client.

    `usage=None` omits the keyUsage extension, `purposes=()` the extendedKeyUsage.
    """

    subject: str
    validity: Validity
    units: tuple[str, ...] = ()
    names: tuple[x509.GeneralName, ...] = ()
    purposes: tuple[x509.ObjectIdentifier, ...] = (CLIENT_AUTH,)
    usage: tuple[str, ...] | None = ("digital_signature",)
    is_ca: bool = False
    constraints: x509.NameConstraints | None = None


def new_key() -> PrivateKey:
    """Return a new EC P-256 key: every TLS library supports it, and it is fast."""
    return ec.generate_private_key(ec.SECP256R1())


def make_authority(subject: str, *, now: datetime, days: float) -> Credential:
    """Return a self-signed CA that is valid for `days` from `now`."""
    profile = Profile(
        subject=subject,
        validity=Validity.of(days, now=now),
        purposes=(),
        usage=CA_USAGE,
        is_ca=True,
    )
    return issue(profile)


def issue(
    profile: Profile,
    *,
    issuer: Credential | None = None,
    key: PrivateKey | None = None,
) -> Credential:
    """Return a certificate signed by `issuer`, or a self-signed one without it."""
    key = new_key() if key is None else key
    subject = _name(profile)
    signer = issuer.key if issuer else key
    if isinstance(signer, (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey)):
        raise TypeError("issuers sign with EC or RSA keys")
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(profile.validity.not_before)
        .not_valid_after(profile.validity.not_after)
    )
    builder = _add_identifiers(builder, key, signer)
    builder = _add_usage(builder, profile)
    return Credential(certificate=builder.sign(signer, hashes.SHA256()), key=key)


def _name(profile: Profile) -> x509.Name:
    units = [(NameOID.ORGANIZATIONAL_UNIT_NAME, unit) for unit in profile.units]
    return x509.Name(
        x509.NameAttribute(oid, value)
        for oid, value in [*units, (NameOID.COMMON_NAME, profile.subject)]
    )


def _add_identifiers(
    builder: x509.CertificateBuilder, key: PrivateKey, signer: PrivateKey
) -> x509.CertificateBuilder:
    own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    return builder.add_extension(own, critical=False).add_extension(
        authority, critical=False
    )


def _add_usage(
    builder: x509.CertificateBuilder, profile: Profile
) -> x509.CertificateBuilder:
    builder = builder.add_extension(
        x509.BasicConstraints(ca=profile.is_ca, path_length=None), critical=True
    )
    if profile.usage is not None:
        usage = {name: name in profile.usage for name in _USAGES}
        builder = builder.add_extension(x509.KeyUsage(**usage), critical=True)
    if profile.purposes:
        builder = builder.add_extension(
            x509.ExtendedKeyUsage(profile.purposes), critical=False
        )
    if profile.names:
        builder = builder.add_extension(
            x509.SubjectAlternativeName(profile.names), critical=False
        )
    if profile.constraints is not None:
        builder = builder.add_extension(profile.constraints, critical=True)
    return builder
