"""GS3xx: TLS settings and listeners."""

from __future__ import annotations

__all__: list[str] = []
