"""GS5xx: servicers and their methods."""

from __future__ import annotations

__all__: list[str] = []
