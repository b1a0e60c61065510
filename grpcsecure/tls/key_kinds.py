"""The type of a certificate's key, read from its DER.

`cryptography` does not know every type, and which it knows depends on its release.
"""

from __future__ import annotations

from typing import NamedTuple

from grpcsecure.tls.der import BIT_STRING, SEQUENCE, DerError, dotted, read_all

__all__ = ["KeyKind", "kind_of_key"]

_INTEGER, _OBJECT_IDENTIFIER = 0x02, 0x06

_RSA = "1.2.840.113549.1.1.1"
_EC = "1.2.840.10045.2.1"

_CURVES = {
    "1.2.840.10045.3.1.1": "P-192",
    "1.3.132.0.33": "P-224",
    "1.2.840.10045.3.1.7": "P-256",
    "1.3.132.0.34": "P-384",
    "1.3.132.0.35": "P-521",
    "1.3.132.0.10": "secp256k1",
    "1.3.36.3.3.2.8.1.1.7": "brainpoolP256r1",
    "1.3.36.3.3.2.8.1.1.11": "brainpoolP384r1",
    "1.3.36.3.3.2.8.1.1.13": "brainpoolP512r1",
}

_KINDS = {
    "1.2.840.113549.1.1.10": "RSA-PSS",
    "1.2.840.10040.4.1": "DSA",
    "1.3.101.110": "X25519",
    "1.3.101.111": "X448",
    "1.3.101.112": "Ed25519",
    "1.3.101.113": "Ed448",
    "2.16.840.1.101.3.4.3.17": "ML-DSA-44",
    "2.16.840.1.101.3.4.3.18": "ML-DSA-65",
    "2.16.840.1.101.3.4.3.19": "ML-DSA-87",
}


class KeyKind(NamedTuple):
    """A type of key: its name, and its length in bits where the type leaves it open."""

    name: str
    bits: int | None = None

    def __str__(self) -> str:
        return self.name if self.bits is None else f"{self.name} {self.bits}"


def kind_of_key(public_key_info: bytes) -> KeyKind:
    """Return the type of the key in a SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7).

    Raises:
        DerError: it does not have that structure.
    """
    outer = [*read_all(public_key_info)]
    if [each.tag for each in outer] != [SEQUENCE]:
        raise DerError("a public key that is not a sequence")
    parts = [*read_all(outer[0].value)]
    if [each.tag for each in parts] != [SEQUENCE, BIT_STRING]:
        raise DerError("a public key without algorithm or key")
    algorithm = [*read_all(parts[0].value)]
    if not algorithm or algorithm[0].tag != _OBJECT_IDENTIFIER:
        raise DerError("a public key without algorithm")
    oid = dotted(algorithm[0].value)
    if oid == _EC:
        return KeyKind(_curve(algorithm[1].whole if len(algorithm) > 1 else b""))
    name = "RSA" if oid == _RSA else _KINDS.get(oid, oid)
    if name.startswith("RSA"):
        return KeyKind(name, _modulus_bits(parts[1].value[1:]))
    return KeyKind(name)


def _curve(parameters: bytes) -> str:
    if not parameters or parameters[0] != _OBJECT_IDENTIFIER:
        return "EC with explicit parameters"
    oid = dotted(parameters[2:])
    return _CURVES.get(oid, f"EC {oid}")


def _modulus_bits(key: bytes) -> int:
    """Return the length of the modulus in an RSAPublicKey (RFC 8017, A.1.1)."""
    for sequence in read_all(key):
        for number in read_all(sequence.value):
            if number.tag == _INTEGER:
                return int.from_bytes(number.value, "big").bit_length()
    raise DerError("an RSA key without a modulus")
