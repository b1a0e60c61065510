"""Source lines for excerpts; keeps lines that may hold secrets from being shown.

Users paste a private key in place of its path, and write passwords as arguments of
servicers: such lines are never shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.diagnostics.lines import split_lines
from grpcsecure.quoting import holds_key_text

if TYPE_CHECKING:
    from grpcsecure.diagnostics.findings import Report

__all__ = ["Sources"]


class Sources:
    """The source texts of a report, each split into lines once."""

    def __init__(self, report: Report) -> None:
        self._texts = report.sources
        self._arguments = report.argument_lines
        self._lines: dict[str, tuple[list[str], frozenset[int]]] = {}
        self._secret: dict[tuple[str, int], bool] = {}

    def line(self, file: str, number: int) -> str | None:
        """Return a line as written ("" past the end), or None for an unknown file."""
        if file not in self._texts:
            return None
        lines, _ = self._split(file)
        return lines[number - 1] if 0 < number <= len(lines) else ""

    def substitute(self, file: str, number: int) -> str | None:
        """Return the text that is shown in place of a line, if one is."""
        if self._is_key(file, number):
            return "(may be a key, not shown)"
        if number in self._arguments.get(file, ()):
            return "(arguments of a servicer, not shown)"
        return None

    def _is_key(self, file: str, number: int) -> bool:
        """Whether the line may be part of a private key."""
        place = (file, number)
        if place not in self._secret:
            line = self.line(file, number)
            self._secret[place] = line is not None and (
                number in self._split(file)[1] or holds_key_text(line)
            )
        return self._secret[place]

    def _split(self, file: str) -> tuple[list[str], frozenset[int]]:
        if file not in self._lines:
            lines = split_lines(self._texts[file])
            self._lines[file] = lines, _pem_lines(lines)
        return self._lines[file]


def _pem_lines(lines: list[str]) -> frozenset[int]:
    """Return the numbers of the lines that belong to PEM blocks.

    A block without an end extends to the end of the file: it is safer to show too
    little of a broken file.
    """
    found = set()
    inside = False
    for number, line in enumerate(lines, 1):
        begin, end = line.rfind("-----BEGIN"), line.rfind("-----END")
        if inside or begin >= 0 or end >= 0:
            found.add(number)
        if begin >= 0 or end >= 0:
            inside = begin > end
    return frozenset(found)
