"""Parses and formats durations and sizes with units: `30s`, `4MiB`.

A unit is required: a number without a unit is refused, since readers of the config
could not tell seconds from milliseconds.
"""

from __future__ import annotations

import re

__all__ = ["parse_duration", "parse_size", "render_duration"]

#: Seconds of each unit, largest first: `render_duration` tries them in this order.
_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6}

#: Bytes of each unit; only binary units, which are unambiguous.
_BYTES = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}

_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)([A-Za-z]+)")


def parse_duration(text: str) -> float:
    """Parse a duration such as `500us`, `30s` or `12h` to seconds.

    Raises:
        ValueError: `text` is not a number followed by one of us, ms, s, m, h, d.
    """
    return _parse(text, _SECONDS)


def parse_size(text: str) -> int:
    """Parse a size such as `512KiB` or `4MiB` to bytes.

    Raises:
        ValueError: `text` is not a number followed by one of B, KiB, MiB, GiB.
    """
    return round(_parse(text, _BYTES))


def _parse(text: str, units: dict[str, float] | dict[str, int]) -> float:
    match = _QUANTITY.fullmatch(text)
    if match is None or match[2] not in units:
        raise ValueError(f"expected a number and one of {', '.join(units)}")
    return float(match[1]) * units[match[2]]


def render_duration(seconds: float) -> str:
    """Format `seconds` in the largest unit that gives a whole number."""
    for unit, size in _SECONDS.items():
        count = round(seconds / size)
        if count and abs(count * size - seconds) < 1e-9:  # noqa: PLR2004 - a nanosecond
            return f"{count}{unit}"
    return "0s"
