"""The concise format, a line per finding: `file:line:col: severity[CODE] message`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.diagnostics.render.text import Style, place, profile_suffix, visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grpcsecure.diagnostics.findings import Finding, Report

__all__ = ["render_concise", "render_finding_line"]


def render_concise(reports: Sequence[Report], *, color: bool = False) -> str:
    """Return a line per finding, or an empty text without findings."""
    style = Style(color=color)
    return "".join(
        _line(finding, report.subject, style) + profile_suffix(report, reports) + "\n"
        for report in reports
        for finding in report.findings
    )


def render_finding_line(finding: Finding, subject: str = "config") -> str:
    """Return one finding for a log line or an exception, without a line end.

    `subject` is shown as the place of a finding about the config as a whole.
    """
    return _line(finding, subject, Style(color=False))


def _line(finding: Finding, subject: str, style: Style) -> str:
    severity = finding.severity.value
    tag = style.paint(severity, f"{severity}[{visible(finding.code)}]")
    return f"{place(finding, subject)}: {tag} {visible(finding.message)}"
