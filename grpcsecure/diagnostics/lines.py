"""The lines of a source, counted as YAML counts them."""

from __future__ import annotations

import re

__all__ = ["split_lines"]


def split_lines(text: str) -> list[str]:
    r"""Return the lines of `text` without their ends.

    Not `str.splitlines`: PyYAML breaks at `\r\n`, `\n`, `\r`, NEL, LS and PS, and not
    at form feeds, and the lines of a span are PyYAML's.
    """
    return re.split("\r\n|[\n\r\x85\u2028\u2029]", text)
