"""GS4xx: identities and rules."""

from __future__ import annotations

__all__: list[str] = []
