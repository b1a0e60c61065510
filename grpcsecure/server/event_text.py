"""Events as text: one line each, as `event  key=value …` or as a JSON object.

What clients choose (subjects, methods) is in there. Invariant: no value can make up a
line, or a further field, of its own.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["clip", "escape", "render_json", "render_text"]

#: Characters of one value that are shown; a path may have 100,000.
_MOST_SHOWN = 1024

#: Two spaces separate fields, so that only single ones inside a value stay as they are.
_SEPARATING = re.compile(r"^ +| +$|(?<= ) +")


def escape(value: object) -> str:
    """Return `value` as text without control characters, of a bounded length."""
    text = str(value)
    shown = "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode()
        for c in text[:_MOST_SHOWN]
    )
    shown = _SEPARATING.sub(lambda match: r"\x20" * len(match[0]), shown)
    return shown if len(text) <= _MOST_SHOWN else f"{shown}…"


def clip(text: str) -> str:
    """Return as much of a text as `escape` shows, for whoever has to keep it."""
    return text[: _MOST_SHOWN + 1]


def render_text(event: str, fields: Mapping[str, object]) -> str:
    """Return `event  key=value …`; a list is its parts with commas, `-` if empty."""
    return "  ".join((event, *(f"{key}={_spell(v)}" for key, v in fields.items())))


def _spell(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(escape, value)) or "-"
    return escape(value)


def render_json(fields: Mapping[str, object]) -> str:
    """Return a JSON object whose text can be read, without control characters.

    JSON itself escapes a few of them only; others move text about in a viewer of logs.
    """
    text = json.dumps(fields, default=str, ensure_ascii=False)
    # Outside of its strings JSON is printable, and inside each character has an escape.
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)
