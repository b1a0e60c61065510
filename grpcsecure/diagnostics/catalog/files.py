"""GS2xx: files and key material."""

from __future__ import annotations

__all__: list[str] = []
