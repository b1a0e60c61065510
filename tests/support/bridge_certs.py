"""Certificates of every type that a client may present, generated in memory.

`authority()` makes a CA; the arguments of `certificate()` are the differences from a
plain client certificate. Keys are P-256 and generated once per name, because that takes
most of the time.
"""

from __future__ import annotations

import base64
import datetime as dt
from dataclasses import dataclass
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = dt.datetime.now(dt.timezone.utc).replace(microsecond=0)
DAY = dt.timedelta(days=1)
PEM = serialization.Encoding.PEM
DER = serialization.Encoding.DER

_USES = (
    *("digital_signature", "key_cert_sign", "crl_sign", "content_commitment"),
    *("key_encipherment", "data_encipherment", "key_agreement"),
    *("encipher_only", "decipher_only"),
)


def key_usage(*uses: str) -> x509.KeyUsage:
    """Return a KeyUsage extension that allows only these uses."""
    return x509.KeyUsage(**{use: use in uses for use in _USES})


_CA_USAGE = key_usage("digital_signature", "key_cert_sign", "crl_sign")
LEAF_USAGE = key_usage("digital_signature")
NO_SIGNATURE_USAGE = key_usage("key_agreement")


@cache
def new_key(name: str) -> ec.EllipticCurvePrivateKey:
    """Return the key called `name`, generated on first use."""
    del name
    return ec.generate_private_key(ec.SECP256R1())


def common_name(text: str) -> x509.Name:
    """Return a name with a CN only."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A certificate with its key, and the certificates to send after it."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    issuers: tuple[x509.Certificate, ...] = ()
    #: PEM of a wrong key, to be used instead of the key's.
    key_text: bytes | None = None

    @property
    def certificate_pem(self) -> bytes:
        """The leaf alone."""
        return self.certificate.public_bytes(PEM)

    @property
    def chain_pem(self) -> bytes:
        """The leaf and the certificates sent after it."""
        return b"".join(c.public_bytes(PEM) for c in (self.certificate, *self.issuers))

    @property
    def der(self) -> bytes:
        """The leaf as DER."""
        return self.certificate.public_bytes(DER)

    @property
    def key_pem(self) -> bytes:
        """The key as PKCS #8 without a passphrase, or the wrong one."""
        if self.key_text is not None:
            return self.key_text
        return self.key.private_bytes(
            PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )


def certificate(
    subject: x509.Name | str,
    *,
    issuer: Pair | None = None,
    key: str | None = None,
    signer: ec.EllipticCurvePrivateKey | None = None,
    names: list[x509.GeneralName] | None = None,
    extended: list[x509.ObjectIdentifier] | None = None,
    usage: x509.KeyUsage | None = LEAF_USAGE,
    extra: tuple[x509.UnrecognizedExtension, ...] = (),
    is_ca: bool = False,
    start: dt.datetime = NOW - DAY,
    end: dt.datetime = NOW + 30 * DAY,
    send: tuple[x509.Certificate, ...] = (),
) -> Pair:
    """Make a certificate, self-signed unless there is an issuer."""
    name = common_name(subject) if isinstance(subject, str) else subject
    own = new_key(key or name.rfc4514_string())
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.certificate.subject if issuer else name)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(own.public_key()), critical=False
        )
    )
    if usage is not None:
        builder = builder.add_extension(usage, critical=True)
    if extended:
        builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
    if names:
        builder = builder.add_extension(
            x509.SubjectAlternativeName(names), critical=False
        )
    for extension in extra:
        builder = builder.add_extension(extension, critical=False)
    signing = signer or (issuer.key if issuer else own)
    return Pair(
        certificate=builder.sign(signing, hashes.SHA256()), key=own, issuers=send
    )


def authority(subject: str, *, issuer: Pair | None = None, **arguments: object) -> Pair:
    """Make a CA certificate."""
    return certificate(subject, issuer=issuer, is_ca=True, usage=_CA_USAGE, **arguments)


def revocation_list(
    issuer: Pair,
    *revoked: Pair,
    next_update: dt.datetime = NOW + 7 * DAY,
) -> bytes:
    """Return the DER of a CRL of `issuer`."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(NOW - 2 * DAY)
        .next_update(next_update)
    )
    for pair in revoked:
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder()
            .serial_number(pair.certificate.serial_number)
            .revocation_date(NOW - DAY)
            .build()
        )
    return builder.sign(issuer.key, hashes.SHA256()).public_bytes(DER)


def forged_key(
    victim: ec.EllipticCurvePrivateKey, thief: ec.EllipticCurvePrivateKey
) -> bytes:
    """Return a key with the public half of `victim` and the private half of `thief`.

    OpenSSL accepts it for the victim's certificate: it compares only the public half.
    """
    plain = (
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    secret, other = (
        key.private_numbers().private_value.to_bytes(32, "big")
        for key in (victim, thief)
    )
    der = victim.private_bytes(DER, *plain).replace(secret, other)
    text = base64.encodebytes(der).decode()
    return (
        f"-----BEGIN EC PRIVATE KEY-----\n{text}-----END EC PRIVATE KEY-----\n".encode()
    )


CLIENT_AUTH = [ExtendedKeyUsageOID.CLIENT_AUTH]
SERVER_AUTH = [ExtendedKeyUsageOID.SERVER_AUTH]
ANY_USAGE = [ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]
