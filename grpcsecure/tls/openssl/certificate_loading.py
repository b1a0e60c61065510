"""Whether OpenSSL loads a certificate, as the bridge does with client CAs."""

from __future__ import annotations

from OpenSSL import crypto

__all__ = ["can_load"]


def can_load(der: bytes) -> bool:
    """Whether OpenSSL loads a certificate (DER)."""
    try:
        crypto.load_certificate(crypto.FILETYPE_ASN1, der)
    except (crypto.Error, ValueError):
        return False
    return True
