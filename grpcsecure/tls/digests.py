"""Digests in the notation of the config: `sha256:9f:86:…`."""

from __future__ import annotations

import hashlib

__all__ = ["spell_digest"]


def spell_digest(data: bytes) -> str:
    """Return the SHA-256 of `data` in the notation of the config."""
    return f"sha256:{hashlib.sha256(data).digest().hex(':')}"
