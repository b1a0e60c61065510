"""GS1xx: YAML, variables, profiles and what the JSON Schema says."""

from __future__ import annotations

__all__: list[str] = []
