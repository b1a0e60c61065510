"""Finds `# grpcsecure: ignore[GS405]` comments in the text of a config.

Knows lines, not YAML: it must also work if the YAML does not parse.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from grpcsecure.diagnostics.lines import split_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["IgnoreComment", "find_ignore_comments"]


class IgnoreComment(NamedTuple):
    """One ignore comment.

    `names` are codes or kebab names as written; none if the comment is malformed.
    `line` and `column` are the place of the comment, `end_column` is exclusive.
    `target` is the line that the comment applies to: its own, or the next line with
    content if the comment is alone on its line.
    """

    names: tuple[str, ...]
    line: int
    column: int
    end_column: int
    target: int


def find_ignore_comments(text: str) -> Iterator[IgnoreComment]:
    """Yield the ignore comments of a file, in its order."""
    if "grpcsecure:" not in text:
        return
    lines = split_lines(text)
    for index, line in enumerate(lines):
        if "grpcsecure:" not in line:
            continue
        start = _comment_start(line)
        match = re.match(r"#\s*grpcsecure:\s*ignore\b(\[[^\]]*\])?", line[start:])
        if match is None:
            continue
        yield IgnoreComment(
            names=tuple(re.findall(r"[^\s,\[\]]+", match[1] or "")),
            line=index + 1,
            column=start + 1,
            end_column=start + match.end() + 1,
            target=_target(lines, index) if not line[:start].strip() else index + 1,
        )


def _comment_start(line: str) -> int:
    """Return the index of the `#` that begins a comment, or the length of `line`.

    A quote opens only where a YAML scalar can begin, so that the apostrophe of a plain
    `don't` is a letter.
    """
    quote = ""
    index = 0
    while index < len(line):
        char = line[index]
        previous = line[index - 1] if index else " "
        if quote:
            if (char == "\\" and quote == '"') or line[index : index + 2] == "''":
                index += 1
            elif char == quote:
                quote = ""
        elif char in "\"'" and previous in " \t[{,:-":
            quote = char
        elif char == "#" and previous in " \t":
            return index
        index += 1
    return len(line)


def _target(lines: list[str], index: int) -> int:
    """Return the number of the line below the comment that is alone on `lines[index]`.

    Other comments in between are skipped: a reason, or another ignore.
    """
    for number, line in enumerate(lines[index + 1 :], index + 2):
        if not line.lstrip().startswith("#"):
            return number
    return index + 1
