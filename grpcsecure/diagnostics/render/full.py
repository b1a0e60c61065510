"""The full format for people: findings with source lines, then a summary line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.diagnostics.render.excerpt import gutter_width, render_excerpt
from grpcsecure.diagnostics.render.sources import Sources
from grpcsecure.diagnostics.render.text import Style, subject, visible, visible_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from grpcsecure.diagnostics.findings import Finding, Report

__all__ = ["render_finding", "render_full", "render_verdict"]


def render_full(reports: Sequence[Report], *, color: bool = False) -> str:
    """Return the findings of all reports; each report ends with its summary line."""
    style = Style(color=color)
    text = "\n".join(line for report in reports for line in _report(report, style))
    return text.rstrip("\n") + "\n" if text else ""


def render_finding(
    finding: Finding, sources: Sources, *, subject: str, style: Style
) -> str:
    """Return one finding as a block of lines."""
    return "\n".join(_finding(finding, sources, subject, style))


def render_verdict(report: Report) -> str:
    """Return the summary line: counts of findings, and what was (not) checked."""
    text = f"{subject(report)}: {_counts(report)}"
    if not report.not_run:
        return text + "".join(_covered(report))
    which = "errors" if report.failed is None else f"{visible(report.failed)} errors"
    phases = ", ".join(map(visible, report.not_run))
    return f"{text}. Not checked yet: {phases} (fix the {which} first)."


def _counts(report: Report) -> str:
    counts = [
        _count(count, word)
        for count, word in ((report.errors, "error"), (report.warnings, "warning"))
        if count
    ]
    return ", ".join(counts if report.errors else ["ok", *counts])


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'s' * (number != 1)}"


def _covered(report: Report) -> Iterator[str]:
    """Yield what a check without errors covered, and what it left out."""
    coverage = report.coverage
    if coverage is None or report.errors:
        return
    checked = list(coverage.phases)
    if report.cases:
        checked.append(_count(len(report.cases), "policy test"))
    if checked:
        yield f". Checked: {', '.join(checked)}"
        yield " (there are no policy tests)" if coverage.lacks_tests else ""
    left_out = list(coverage.left_out)
    if coverage.tests_left_out:
        left_out.append(
            f"{_count(coverage.tests_left_out, 'policy test')} on certificates in files"
        )
    if coverage.profiles:
        names = ", ".join(f"`{visible(name)}`" for name in coverage.profiles)
        word = "profile" if len(coverage.profiles) == 1 else "profiles"
        left_out.append(f"{word} {names} (--all-profiles)")
    if left_out:
        yield f". Not checked: {', '.join(left_out)}"
    if checked or left_out:
        yield "."


def _report(report: Report, style: Style) -> Iterator[str]:
    sources = Sources(report)
    for finding in report.findings:
        yield render_finding(finding, sources, subject=report.subject, style=style)
        yield ""
    yield style.paint("error" if report.errors else "ok", render_verdict(report))
    if report.findings:
        yield ""


def _finding(
    finding: Finding, sources: Sources, subject: str, style: Style
) -> Iterator[str]:
    severity = finding.severity.value
    head = style.paint(severity, f"{severity}[{visible(finding.code)}]")
    yield f"{head}: {style.paint('message', visible(finding.message))}"
    pad = " " * gutter_width(finding)
    if finding.span is None:
        yield f"{pad}{style.paint('frame', '-->')} {visible(subject)}"
    yield from render_excerpt(finding, sources, style)
    remarks = [("note", note) for note in finding.notes]
    remarks += [("help", finding.help)] if finding.help else []
    if remarks:
        yield f"{pad} {style.paint('frame', '|')}"
    for word, text in remarks:
        first, *rest = visible_lines(text)
        title = style.paint("message", f"{word}:")
        yield f"{pad} {style.paint('frame', '=')} {title} {first}".rstrip()
        yield from (f"{pad}         {line}".rstrip() for line in rest)
