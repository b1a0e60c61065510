"""Finds forbidden characters: those with an effect that a reader cannot see.

Knows text and places only. Invariant: text without findings has the same lines in YAML
1.1, YAML 1.2, editors and Python.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from grpcsecure.diagnostics.catalog import syntax_kinds as kinds
from grpcsecure.diagnostics.findings import Span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grpcsecure.config.source import Source
    from grpcsecure.diagnostics.findings import Finding

__all__ = ["ODD_SPACE", "find_odd_space", "find_unseen"]

#: Enough to see the pattern; a binary file has thousands.
_MAX_FINDINGS = 5

#: C0 and C1 controls except tab and line ends; line breaks of YAML 1.1 only (NEL, LS,
#: PS); marks that reorder displayed text (CVE-2021-42574); byte order marks in the
#: middle; UTF-16 surrogates and non-characters, which YAML excludes.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069"
    "\ufeff\ud800-\udfff\ufffe\uffff]"
)
#: Characters that look like a space, or like nothing, and are text in YAML.
ODD_SPACE = "[\u00a0\u1680\u2000-\u200b\u202f\u205f\u2060\u3000]"

_LINE_BREAK = re.compile("\r\n|\r|\n")


def find_unseen(source: Source) -> Iterator[Finding]:
    """Find the first few characters that a reader of the file cannot see."""
    text = source.text
    for count, match in enumerate(_UNSEEN.finditer(text)):
        if count == _MAX_FINDINGS:
            return
        before = text[: match.start()]
        breaks = list(_LINE_BREAK.finditer(before))
        line = len(breaks) + 1
        column = match.start() - (breaks[-1].end() if breaks else 0) + 1
        yield kinds.CONTROL_CHARACTER(
            f"the character U+{ord(match[0]):04X} is not allowed",
            span=Span(source.name, line, column, line, column + 1),
            label="this character is invisible",
            help="remove it, or write it as an escape in double quotes",
        )


def find_odd_space(text: str) -> re.Match[str] | None:
    """Find such a character where an ordinary space would begin or end a value.

    Inside text it may be meant: French has a no-break space before `!`.
    """
    return re.search(f"^{ODD_SPACE}|{ODD_SPACE}$|:{ODD_SPACE}", text)
