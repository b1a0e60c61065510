"""Colours, escaping and places, as shared by the line-based formats."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grpcsecure.diagnostics.findings import Finding, Report, Span

__all__ = [
    "Style",
    "count",
    "describe_development",
    "place",
    "profile_suffix",
    "spell",
    "subject",
    "visible",
    "visible_lines",
]

#: SGR parameters (ECMA-48, 8.3.117) by role. Only the eight colours that terminal
#: themes adjust.
_SGR = {
    "error": "1;31",
    "warning": "1;33",
    "message": "1",
    "frame": "34",
    "secondary": "36",
    "ok": "32",
}


class Style:
    """Colours text by its role, or leaves it unchanged without colours."""

    def __init__(self, *, color: bool) -> None:
        self._color = color

    def paint(self, role: str, text: str) -> str:
        """Return `text` in the colour of `role`."""
        return f"\x1b[{_SGR[role]}m{text}\x1b[0m" if self._color and text else text


def visible(text: str) -> str:
    """Return `text` as one line without control or invisible characters.

    They are escaped: a file name must not move the cursor, and bidirectional marks
    must not reorder a line (CVE-2021-42574).
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text
    )


def visible_lines(text: str) -> list[str]:
    """Return the lines of a note (a traceback has several), each `visible`."""
    return [visible(line.expandtabs(4)) for line in text.strip("\n").split("\n")]


def place(finding: Finding, of: str) -> str:
    """Return `file:line:col`, or `of` for a finding about the config as a whole."""
    return visible(of) if finding.span is None else spell(finding.span)


def spell(span: Span) -> str:
    """Return a place as `file:line:col`."""
    return f"{visible(span.file)}:{span.line}:{span.column}"


def subject(report: Report) -> str:
    """Return the name of the checked config, with its profile."""
    profile = "" if report.profile is None else f" (profile {visible(report.profile)})"
    return visible(report.subject) + profile


def count(number: int, word: str) -> str:
    """Return a number with a word, in the plural if necessary."""
    return f"{number} {word}{'s' * (number != 1)}"


def describe_development(report: Report) -> str:
    """Return the effect on findings of a profile that says `production: false`."""
    name = visible(report.profile or "")
    text = f"profile `{name}` says `production: false`"
    if not report.tolerated:
        return text
    errors = "an error" if report.tolerated == 1 else "errors"
    return (
        f"{text}: {count(report.tolerated, 'warning')} would be {errors} in production"
    )


def profile_suffix(report: Report, reports: Sequence[Report]) -> str:
    """Return the profile for the end of a line, if the output has several profiles."""
    if report.profile is None or len({other.profile for other in reports}) == 1:
        return ""
    return f" (profile {visible(report.profile)})"
