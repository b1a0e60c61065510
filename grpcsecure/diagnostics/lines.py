"""Splits a source text into lines as YAML does."""

from __future__ import annotations

import re

__all__ = ["split_lines"]


def split_lines(text: str) -> list[str]:
    r"""Return the lines of `text` without their ends.

    `str.splitlines` differs from PyYAML, whose line numbers the spans have: PyYAML
    breaks lines at `\r\n`, `\n`, `\r`, NEL, LS and PS, but not at form feeds.
    """
    return re.split("\r\n|[\n\r\x85\u2028\u2029]", text)
