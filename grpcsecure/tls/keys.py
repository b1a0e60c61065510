"""Checks of private keys: can a key be loaded, and does it fit a certificate.

Invariant: only the public half of a key leaves this module. Exceptions are raised
`from None`, so that no traceback refers to the key's bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.errors import CertificateError, KeyMaterialError
from grpcsecure.tls.certificate import load_public_key

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

    from grpcsecure.model.peer import Certificate
    from grpcsecure.tls.pem import PemBlock

__all__ = ["PublicHalf", "load_public_half"]


class PublicHalf:
    """The public half of a private key."""

    __slots__ = ("_key",)

    def __init__(self, key: PublicKeyTypes) -> None:
        self._key = key

    def fits(self, certificate: Certificate) -> bool:
        """Whether `certificate` has this public key."""
        try:
            return bool(load_public_key(certificate.der) == self._key)
        except (CertificateError, ValueError, TypeError, _unsupported()):
            return False


def load_public_half(block: PemBlock) -> PublicHalf:
    """Return the public half of the private key in `block`.

    Raises:
        KeyMaterialError: it is encrypted, or is not a private key.
    """
    from cryptography.hazmat.primitives.serialization import load_der_private_key

    if block.is_encrypted:
        raise KeyMaterialError("the private key is encrypted")
    try:
        return PublicHalf(load_der_private_key(block.der, None).public_key())
    except (ValueError, TypeError, _unsupported()):
        raise KeyMaterialError("it is not a readable private key") from None


def _unsupported() -> type[Exception]:
    from cryptography.exceptions import UnsupportedAlgorithm

    return UnsupportedAlgorithm
