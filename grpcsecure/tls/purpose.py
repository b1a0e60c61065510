"""Questions about one certificate: its issuer, purpose and strength.

Answers about the certificate alone; `checking` decides which answer is a mistake. The
limits were measured on grpcio 1.85 (BoringSSL) and OpenSSL 3.0 at security level 2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.errors import CertificateError
from grpcsecure.tls.certificate import (
    load_public_key,
    load_x509,
    subject_public_key_info,
)
from grpcsecure.tls.der import DerError, dotted, read_all, read_certificate
from grpcsecure.tls.extensions import KeyUse, allows, has_purpose, is_authority

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

    from grpcsecure.model.peer import Certificate
    from grpcsecure.tls.der import CertificateFields

__all__ = [
    "allows_crl_signing",
    "allows_server_auth",
    "allows_signing",
    "describe_key",
    "has_issued",
    "has_server_names",
    "has_weak_key",
    "is_authority_certificate",
    "is_ca",
    "is_from_public_ca",
    "is_self_signed",
    "weak_digest",
]

#: Object identifiers in DER: an extension of RFC 6962 (3.3), and id-kp-serverAuth.
_SCT_LIST = bytes.fromhex("2b06010401d679020402")
_SERVER_AUTH = bytes.fromhex("2b06010505070301")

#: Shorter keys have less than 112 bits of strength: OpenSSL refuses them at level 2
#: ("key too weak").
_MIN_RSA_BITS = 2048

#: Signature algorithms whose digest has practical collisions, with RSA, DSA and ECDSA
#: (RFC 3279, 2.2); OpenSSL refuses them ("CA signature digest algorithm too weak").
_BROKEN_DIGESTS = {
    "1.2.840.113549.1.1.4": "md5",
    "1.2.840.113549.1.1.5": "sha1",
    "1.2.840.10040.4.3": "sha1",
    "1.2.840.10045.4.1": "sha1",
}

#: Object identifiers in DER, as at the beginning of a SubjectPublicKeyInfo.
_RSASSA_PSS = bytes.fromhex("06092a864886f70d01010a")
_NAMED_CURVE = bytes.fromhex("06072a8648ce3d020106")


#: Object identifiers of ML-DSA keys in DER (RFC 9881), which old releases of
#: `cryptography` do not know.
_ML_DSA = {
    bytes.fromhex("0609608648016503040311"): "ML-DSA-44",
    bytes.fromhex("0609608648016503040312"): "ML-DSA-65",
    bytes.fromhex("0609608648016503040313"): "ML-DSA-87",
}


def is_self_signed(certificate: Certificate) -> bool:
    """Whether the certificate's own key signed it."""
    return certificate.issuer == certificate.subject and has_issued(
        certificate, certificate
    )


def has_issued(issuer: Certificate, certificate: Certificate) -> bool:
    """Whether `issuer` signed `certificate`, by its name and its key.

    Only the name is compared where `cryptography` cannot verify: signatures with MD5
    and SHA-1, and certificates that it does not parse.
    """
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    if certificate.issuer != issuer.subject:
        return False
    try:
        loaded, signer = load_x509(certificate.der), load_x509(issuer.der)
        if weak_digest(certificate) is None:
            loaded.verify_directly_issued_by(signer)
    except CertificateError:
        return True
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def is_ca(certificate: Certificate) -> bool:
    """Whether it may sign other certificates (RFC 5280, 4.2.1.3 and 4.2.1.9)."""
    fields = _fields(certificate)
    authority = is_authority(fields)
    if authority is None:
        # Version 1 has no extensions; OpenSSL takes such a root for a CA.
        return fields.version == 1 and is_self_signed(certificate)
    return authority and allows(fields, KeyUse.KEY_CERT_SIGN)


def is_authority_certificate(certificate: Certificate) -> bool:
    """Whether its basicConstraints make it a CA, whatever its key may be used for."""
    return is_authority(_fields(certificate)) is True


def has_server_names(certificate: Certificate) -> bool:
    """Whether it has a name of a type that clients compare with the dialled address."""
    return bool(certificate.dns or certificate.ips or certificate.uris)


def allows_server_auth(certificate: Certificate) -> bool:
    """Whether clients accept it from a server; they do if it lacks the extension."""
    return has_purpose(_fields(certificate), _SERVER_AUTH)


def allows_signing(certificate: Certificate) -> bool:
    """Whether its key may sign a handshake; TLS 1.3 and all ECDHE suites need that."""
    return allows(_fields(certificate), KeyUse.DIGITAL_SIGNATURE)


def allows_crl_signing(certificate: Certificate) -> bool:
    """Whether its key may sign revocation lists; it may if it lacks the extension."""
    return allows(_fields(certificate), KeyUse.CRL_SIGN)


def is_from_public_ca(certificate: Certificate) -> bool:
    """Whether it is from a public CA: those log their certificates (RFC 6962).

    Public CAs always sign with an intermediate.
    """
    return _SCT_LIST in _fields(certificate).extensions


def weak_digest(certificate: Certificate) -> str | None:
    """Return the broken digest that its signature uses, or None."""
    algorithm = next(read_all(_fields(certificate).signature_algorithm), None)
    kind = None if algorithm is None else next(read_all(algorithm.value), None)
    return None if kind is None else _BROKEN_DIGESTS.get(dotted(kind.value))


def has_weak_key(certificate: Certificate) -> bool:
    """Whether the key is too short."""
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = _public_key(certificate)
    return isinstance(key, rsa.RSAPublicKey) and key.key_size < _MIN_RSA_BITS


def describe_key(certificate: Certificate) -> str:
    """Return the type of the key, as in `RSA 1024` or `EC secp224r1`."""
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    key = _public_key(certificate)
    if isinstance(key, rsa.RSAPublicKey):
        pss = "-PSS" if _has_algorithm(certificate, _RSASSA_PSS) else ""
        return f"RSA{pss} {key.key_size}"
    if isinstance(key, ec.EllipticCurvePublicKey):
        named = _has_algorithm(certificate, _NAMED_CURVE)
        return f"EC {key.curve.name}{'' if named else ' (explicit parameters)'}"
    for identifier, name in _ML_DSA.items():
        if _has_algorithm(certificate, identifier):
            return name
    if key is None:
        return "unknown"
    return type(key).__name__.removesuffix("PublicKey").lstrip("_")


def _public_key(certificate: Certificate) -> PublicKeyTypes | None:
    """Return the key, or None if `cryptography` does not support its type."""
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        return load_public_key(certificate.der)
    except (ValueError, UnsupportedAlgorithm):
        return None


def _has_algorithm(certificate: Certificate, identifier: bytes) -> bool:
    # The identifier follows two SEQUENCE headers of at most four bytes each.
    info = subject_public_key_info(certificate.der)
    return identifier in info[: 2 * 4 + len(identifier)]


def _fields(certificate: Certificate) -> CertificateFields:
    try:
        return read_certificate(certificate.der)
    except DerError as error:
        raise CertificateError(f"the certificate cannot be read: {error}") from None
