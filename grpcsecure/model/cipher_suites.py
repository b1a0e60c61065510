"""The cipher suites and key exchange groups that a listener may have.

The suites are those of HTTP/2 that gRPC's clients offer: RFC 9113, appendix A prohibits
most of TLS 1.2. Its suites have OpenSSL's names, and those of TLS 1.3 the names of RFC
8446.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["GROUPS", "TLS12_GROUPS", "TLS12_SUITES", "TLS13_SUITES", "split_suites"]

#: The suites of TLS 1.2, with the kind of key that each needs.
TLS12_SUITES = {
    "ECDHE-ECDSA-AES128-GCM-SHA256": "ECDSA",
    "ECDHE-ECDSA-AES256-GCM-SHA384": "ECDSA",
    "ECDHE-ECDSA-CHACHA20-POLY1305": "ECDSA",
    "ECDHE-RSA-AES128-GCM-SHA256": "RSA",
    "ECDHE-RSA-AES256-GCM-SHA384": "RSA",
    "ECDHE-RSA-CHACHA20-POLY1305": "RSA",
}

TLS13_SUITES = (
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
)

#: The groups, in OpenSSL's spelling; TLS 1.2 has those after the first.
GROUPS = ("X25519MLKEM768", "X25519", "P-256", "P-384", "P-521")
TLS12_GROUPS = GROUPS[1:]


def split_suites(names: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the suites of TLS 1.2 and those of TLS 1.3."""
    names = tuple(names)
    return (
        tuple(name for name in names if name not in TLS13_SUITES),
        tuple(name for name in names if name in TLS13_SUITES),
    )
