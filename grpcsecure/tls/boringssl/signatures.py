"""Public keys and signatures of certificates that BoringSSL supports, as tables.

`cryptography` verifies the signatures. It supports more than BoringSSL; what the tables
do not list is refused here.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from grpcsecure.tls.boringssl.strict_der import (
    BIT_STRING,
    INTEGER,
    OBJECT_IDENTIFIER,
    SEQUENCE,
    DerReader,
    encode,
    parse_bits,
    parse_integer,
)
from grpcsecure.tls.der import DerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.hashes import HashAlgorithm

    from grpcsecure.tls.boringssl.parsed_certificate import Algorithm, ParsedCertificate

__all__ = ["has_usable_key", "is_signed_by", "is_supported_key"]

#: Object identifiers in DER.
RSA = bytes.fromhex("2a864886f70d010101")
RSASSA_PSS = bytes.fromhex("2a864886f70d01010a")
EC = bytes.fromhex("2a8648ce3d0201")
#: Keys whose signatures have no parameters, and the identifier of the key: Ed25519 and
#: ML-DSA-44, -65 and -87.
_SELF_CONTAINED = frozenset(
    {
        bytes.fromhex("2b6570"),
        bytes.fromhex("608648016503040311"),
        bytes.fromhex("608648016503040312"),
        bytes.fromhex("608648016503040313"),
    }
)
_MGF1 = bytes.fromhex("2a864886f70d010108")

#: Object identifiers of the curves.
_CURVES = frozenset(
    {
        bytes.fromhex("2b81040021"),  # P-224
        bytes.fromhex("2a8648ce3d030107"),  # P-256
        bytes.fromhex("2b81040022"),  # P-384
        bytes.fromhex("2b81040023"),  # P-521
    }
)

#: Signature algorithms: the type of key, and the hash.
_SIGNATURES = {
    bytes.fromhex("2a864886f70d010105"): (RSA, "SHA1"),
    bytes.fromhex("2b0e03021d"): (RSA, "SHA1"),
    bytes.fromhex("2a864886f70d01010e"): (RSA, "SHA224"),
    bytes.fromhex("2a864886f70d01010b"): (RSA, "SHA256"),
    bytes.fromhex("2a864886f70d01010c"): (RSA, "SHA384"),
    bytes.fromhex("2a864886f70d01010d"): (RSA, "SHA512"),
    bytes.fromhex("2a8648ce3d0401"): (EC, "SHA1"),
    bytes.fromhex("2a8648ce3d040301"): (EC, "SHA224"),
    bytes.fromhex("2a8648ce3d040302"): (EC, "SHA256"),
    bytes.fromhex("2a8648ce3d040303"): (EC, "SHA384"),
    bytes.fromhex("2a8648ce3d040304"): (EC, "SHA512"),
}

#: RSA-PSS: the hash's identifier to its name and the only length of the salt.
_PSS_HASHES = {
    bytes.fromhex("608648016503040201"): ("SHA256", 32),
    bytes.fromhex("608648016503040202"): ("SHA384", 48),
    bytes.fromhex("608648016503040203"): ("SHA512", 64),
}

_NULL = b"\x05\0"

#: Bits of RSA: the shortest and the longest modulus, and the longest exponent.
_MIN_MODULUS, _MAX_MODULUS, _MAX_EXPONENT = 512, 16_384, 33


def has_usable_key(certificate: ParsedCertificate) -> bool:
    """Whether BoringSSL can verify signatures of the certificate's key."""
    return _load_key(certificate.public_key) is not None


def is_signed_by(certificate: ParsedCertificate, issuer: ParsedCertificate) -> bool:
    """Whether the issuer's key signed a certificate, with an algorithm it supports."""
    loaded = _load_key(issuer.public_key)
    if loaded is None or certificate.algorithm != certificate.inner_algorithm:
        return False
    kind, key = loaded
    try:
        verify = _verifier(kind, key, certificate.algorithm)
    except DerError:
        return False
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    try:
        verify(certificate.signature, certificate.signed)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True


def _verifier(
    kind: bytes,
    key: Any,  # noqa: ANN401 - a key of any type of `cryptography`
    algorithm: Algorithm,
) -> Callable[[bytes, bytes], None]:
    """Return the function that verifies (signature, data), or raises.

    Raises:
        DerError: BoringSSL does not support the algorithm, or not with this key.
    """
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

    if kind in _SELF_CONTAINED:
        if algorithm != (kind, None):
            raise DerError("an algorithm of another type of key")
        verify: Callable[[bytes, bytes], None] = key.verify
        return verify
    if isinstance(key, rsa.RSAPublicKey) and algorithm.oid == RSASSA_PSS:
        digest, salt = _parse_pss(algorithm.parameters)
        pss = padding.PSS(padding.MGF1(digest), salt)
        return lambda signature, data: key.verify(signature, data, pss, digest)
    expected, name = _SIGNATURES.get(algorithm.oid, (b"", ""))
    if expected != kind or algorithm.parameters not in {None, _NULL}:
        raise DerError("an algorithm that is not supported with this key")
    digest = _hash(name)
    if isinstance(key, rsa.RSAPublicKey):
        pkcs1 = padding.PKCS1v15()
        return lambda signature, data: key.verify(signature, data, pkcs1, digest)
    if isinstance(key, ec.EllipticCurvePublicKey):
        return lambda signature, data: key.verify(signature, data, ec.ECDSA(digest))
    raise DerError("a key of another type")


def _hash(name: str) -> HashAlgorithm:
    from cryptography.hazmat.primitives import hashes

    found: HashAlgorithm = getattr(hashes, name)()
    return found


def _parse_pss(parameters: bytes | None) -> tuple[HashAlgorithm, int]:
    """Return the hash and the length of the salt of RSA-PSS (RFC 4055, section 3.1).

    BoringSSL supports three sets of parameters, with the same hash in both places.
    """
    reader = DerReader(parameters or b"")
    fields = DerReader(reader.expect(SEQUENCE))
    reader.end()
    oid = _parse_hash(DerReader(fields.expect(0xA0)))
    generator = DerReader(fields.expect(0xA1))
    mask = DerReader(generator.expect(SEQUENCE))
    generator.end()
    if mask.expect(OBJECT_IDENTIFIER) != _MGF1 or _parse_hash(mask) != oid:
        raise DerError("RSA-PSS with two hashes")
    length = DerReader(fields.expect(0xA2))
    salt = parse_integer(length.expect(INTEGER))
    length.end()
    trailer = fields.optional(0xA3)
    fields.end()
    name, expected = _PSS_HASHES.get(oid, ("", -1))
    if salt != expected or trailer not in {None, encode(INTEGER, b"\1")}:
        raise DerError("RSA-PSS with other parameters")
    return _hash(name), salt


def _parse_hash(reader: DerReader) -> bytes:
    algorithm = DerReader(reader.expect(SEQUENCE))
    reader.end()
    oid = algorithm.expect(OBJECT_IDENTIFIER)
    if not algorithm.is_at_end and algorithm.read()[2] != _NULL:
        raise DerError("a hash with parameters")
    algorithm.end()
    return oid


def is_supported_key(info: bytes) -> bool:
    """Whether BoringSSL parses a SubjectPublicKeyInfo, by its form."""
    return _supported_kind(info) is not None


def _supported_kind(info: bytes) -> bytes | None:
    try:
        outer = DerReader(info)
        reader = DerReader(outer.expect(SEQUENCE))
        algorithm = DerReader(reader.expect(SEQUENCE))
        kind = algorithm.expect(OBJECT_IDENTIFIER)
        parameters = None if algorithm.is_at_end else algorithm.read()
        key = parse_bits(reader.expect(BIT_STRING))
        return kind if _is_supported(kind, parameters, key) else None
    except DerError:
        return None


@lru_cache(maxsize=1024)
def _load_key(info: bytes) -> tuple[bytes, Any] | None:
    """Return the type and the key of a SubjectPublicKeyInfo; None if not supported."""
    kind = _supported_kind(info)
    if kind is None:
        return None
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    try:
        return kind, load_der_public_key(info)
    except (ValueError, UnsupportedAlgorithm):
        return None


def _is_supported(
    kind: bytes, parameters: tuple[int, bytes, bytes] | None, key: bytes
) -> bool:
    if kind == RSA:
        return parameters is not None and parameters[2] == _NULL and _is_rsa(key)
    if kind == EC:
        return (
            parameters is not None
            and parameters[0] == OBJECT_IDENTIFIER
            and parameters[1] in _CURVES
        )
    return kind in _SELF_CONTAINED and parameters is None


def _is_rsa(key: bytes) -> bool:
    outer = DerReader(key)
    reader = DerReader(outer.expect(SEQUENCE))
    outer.end()
    modulus, exponent = (parse_integer(reader.expect(INTEGER)) for _ in "ne")
    reader.end()
    return (
        _MIN_MODULUS <= modulus.bit_length() <= _MAX_MODULUS
        and modulus > 0
        and exponent > 1
        and exponent % 2 == 1
        and exponent.bit_length() <= _MAX_EXPONENT
    )
