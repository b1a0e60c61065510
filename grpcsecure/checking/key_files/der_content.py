"""Tells the kinds of DER files apart by their first bytes, without parsing them."""

from __future__ import annotations

import re

__all__ = ["describe_der"]

#: Tag and length of a SEQUENCE, in DER or, as some tools write, in BER.
_SEQUENCE = rb"\x30(?:[\x00-\x80]|\x81.|\x82..|\x83...|\x84....)"

#: The bytes after the tag and the length of the outer SEQUENCE.
_KINDS = (
    (rb"\x02\x01\x03", "a PKCS #12 bundle"),
    (rb"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07", "a PKCS #7 bundle"),
    (_SEQUENCE + rb"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x05", "an encrypted key"),
    # PKCS #8 and PKCS #1 begin with version 0, RFC 5915 with 1.
    (rb"\x02\x01[\x00\x01]", "a private key"),
    (_SEQUENCE + rb"\x02\x01\x00" + _SEQUENCE + rb"[\x31]", "a signing request"),
    (_SEQUENCE + rb"\xa0\x03\x02\x01", "a certificate"),
    (_SEQUENCE + rb"\x06", "a public key"),
    (_SEQUENCE + rb"\x02\x01\x01" + _SEQUENCE, "a revocation list"),
)


def describe_der(data: bytes) -> str | None:
    """Return the kind of a file in DER, such as "a certificate", or None."""
    for pattern, kind in _KINDS:
        if re.match(_SEQUENCE + pattern, data, re.DOTALL):
            return kind
    return None
