"""The GitHub format: workflow commands in the log that become annotations.

https://docs.github.com/actions/reference/workflow-commands-for-github-actions
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.diagnostics.render.text import profile_suffix, visible, visible_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from grpcsecure.diagnostics.findings import Finding, Report, Span

__all__ = ["render_github"]


def render_github(
    reports: Sequence[Report],
    *,
    color: bool = False,  # noqa: ARG001 - all renderers are called alike
) -> str:
    """Return one command per finding, or an empty text without findings."""
    return "".join(
        _command(finding, report, profile_suffix(report, reports))
        for report in reports
        for finding in report.findings
    )


def _command(finding: Finding, report: Report, suffix: str) -> str:
    properties = {
        "file": report.subject if finding.span is None else finding.span.file,
        **({} if finding.span is None else _region(finding.span)),
        "title": f"{finding.code} {finding.kind.name}",
    }
    listed = ",".join(f"{key}={_property(text)}" for key, text in properties.items())
    text = "\n".join(_message(finding, suffix))
    return f"::{finding.severity.value} {listed}::{_escaped(text)}\n"


def _region(span: Span) -> dict[str, str]:
    region = {"line": str(span.line), "endLine": str(span.end_line)}
    # GitHub rejects columns in annotations of several lines (REST API, check runs).
    if span.line == span.end_line:
        region |= {"col": str(span.column), "endColumn": str(span.end_column)}
    return region


def _message(finding: Finding, suffix: str) -> Iterator[str]:
    yield visible(finding.message) + suffix
    if finding.label:
        yield visible(finding.label)
    for label in finding.secondary:
        place = f"{visible(label.span.file)}:{label.span.line}:{label.span.column}"
        yield f"{place}: {visible(label.text)}"
    for word, text in (
        *(("note", note) for note in finding.notes),
        *([("help", finding.help)] if finding.help else []),
    ):
        first, *rest = visible_lines(text)
        yield from (f"{word}: {first}", *rest)


def _escaped(text: str) -> str:
    """Escape characters that would end the command (actions/toolkit, `escapeData`)."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """Escape characters that would end a property (toolkit, `escapeProperty`)."""
    return _escaped(visible(text)).replace(":", "%3A").replace(",", "%2C")
