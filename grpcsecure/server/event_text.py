"""Rendering of events: one line each, as `event  key=value …` or as a JSON object.

Some values are chosen by clients (subjects, methods). Invariant: no value can forge
another line or another field.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["clip", "escape", "render_json", "render_text"]

#: The most characters of one value that are shown; a method path may have 100,000.
_MOST_SHOWN = 1024

#: Two spaces separate fields, so only single spaces inside a value stay unescaped.
_SEPARATING = re.compile(r"^ +| +$|(?<= ) +")


def escape(value: object) -> str:
    """Return `value` as text of bounded length without control characters."""
    text = str(value)
    shown = "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode()
        for c in text[:_MOST_SHOWN]
    )
    shown = _SEPARATING.sub(lambda match: r"\x20" * len(match[0]), shown)
    return shown if len(text) <= _MOST_SHOWN else f"{shown}…"


def clip(text: str) -> str:
    """Cut a text to what `escape` shows of it, so that storing it is bounded."""
    return text[: _MOST_SHOWN + 1]


def render_text(event: str, fields: Mapping[str, object]) -> str:
    """Return `event  key=value …`; a list is joined with commas, or `-` if empty."""
    return "  ".join((event, *(f"{key}={_render(v)}" for key, v in fields.items())))


def _render(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(escape, value)) or "-"
    return escape(value)


def render_json(fields: Mapping[str, object]) -> str:
    """Return a readable JSON object without control characters.

    JSON itself escapes only a few of them; the others (such as those that change the
    direction of writing) rearrange text in a log viewer.
    """
    text = json.dumps(fields, default=str, ensure_ascii=False)
    # JSON is printable outside its strings; inside, every character can be escaped.
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)
