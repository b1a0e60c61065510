"""GS0xx: the tool itself: reading the config, ignores, features of later versions."""

from __future__ import annotations

__all__: list[str] = []
