"""The errors of certificate verification: OpenSSL's numbers (X509_V_ERR) and texts.

BoringSSL has the same numbers. OpenSSL's texts change with its releases, but the reason
after a handshake and the reason at a call must be the same.
"""

from __future__ import annotations

__all__ = ["BAD_EXTENSION", "BAD_KEY_USAGE", "UNUSABLE", "VERIFY_ERRORS"]

#: OpenSSL 3.0's texts for X509_V_ERR numbers.
VERIFY_ERRORS = {
    1: "unspecified certificate verification error",
    3: "unable to get certificate CRL",
    6: "unable to decode issuer public key",
    7: "certificate signature failure",
    8: "CRL signature failure",
    9: "certificate is not yet valid",
    10: "certificate has expired",
    11: "CRL is not yet valid",
    12: "CRL has expired",
    13: "format error in certificate's notBefore field",
    14: "format error in certificate's notAfter field",
    18: "self-signed certificate",
    19: "self-signed certificate in certificate chain",
    20: "unable to get local issuer certificate",
    21: "unable to verify the first certificate",
    22: "certificate chain too long",
    23: "certificate revoked",
    25: "path length constraint exceeded",
    26: "unsupported certificate purpose",
    34: "unhandled critical extension",
    41: "invalid or inconsistent certificate extension",
    42: "invalid or inconsistent certificate policy extension",
    43: "no explicit policy",
    47: "permitted subtree violation",
    48: "excluded subtree violation",
    49: "name constraints minimum and maximum not supported",
    51: "unsupported name constraint type",
    52: "unsupported or invalid name constraint syntax",
    53: "unsupported or invalid name syntax",
    79: "invalid CA certificate",
}

#: Reasons for checks that OpenSSL does not make, or makes differently from BoringSSL.
BAD_KEY_USAGE = "key usage bit incorrect"
BAD_EXTENSION = VERIFY_ERRORS[41]

#: The reasons for which a certificate is refused in every mode that asks for one.
UNUSABLE = frozenset({BAD_KEY_USAGE, BAD_EXTENSION})
