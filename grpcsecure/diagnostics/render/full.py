"""The full format for people: findings with source lines, then a summary line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.diagnostics.render.sources import Sources
from grpcsecure.diagnostics.render.text import (
    Style,
    count,
    describe_development,
    subject,
    visible,
    visible_lines,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from grpcsecure.diagnostics.findings import Coverage, Finding, Report

__all__ = ["describe_development", "render_finding", "render_full", "render_verdict"]


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
    sentences = [f"{subject(report)}: {_counts(report)}", *_remarks(report)]
    return ". ".join(sentences) + "." * (len(sentences) > 1)


def _counts(report: Report) -> str:
    counts = [
        count(number, word)
        for number, word in ((report.errors, "error"), (report.warnings, "warning"))
        if number
    ]
    return ", ".join(counts if report.errors else ["ok", *counts])


def _remarks(report: Report) -> Iterator[str]:
    if report.not_run:
        failed = report.failed
        which = "errors" if failed is None else f"{visible(failed)} errors"
        phases = ", ".join(map(visible, report.not_run))
        yield f"Not checked yet: {phases} (fix the {which} first)"
    elif report.coverage is not None and not report.errors:
        yield from _covered(report.coverage, len(report.cases))
    if report.is_development:
        text = describe_development(report)
        yield text[:1].upper() + text[1:]


def _covered(coverage: Coverage, tests: int) -> Iterator[str]:
    """Yield what a check without errors covered, and what it left out."""
    checked = [*coverage.phases, *([count(tests, "policy test")] if tests else [])]
    if checked:
        lacking = " (there are no policy tests)" if coverage.lacks_tests else ""
        yield f"Checked: {', '.join(checked)}{lacking}"
    left_out = list(coverage.left_out)
    if coverage.tests_left_out:
        number = count(coverage.tests_left_out, "policy test")
        left_out.append(f"{number} on certificates in files")
    if coverage.values_left_out:
        left_out.append(f"{count(coverage.values_left_out, 'value')} in files")
    if coverage.profiles:
        names = ", ".join(f"`{visible(name)}`" for name in coverage.profiles)
        word = "profile" if len(coverage.profiles) == 1 else "profiles"
        left_out.append(f"{word} {names} (--all-profiles)")
    if left_out:
        yield f"Not checked: {', '.join(left_out)}"


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
    from grpcsecure.diagnostics.render.excerpt import gutter_width, render_excerpt

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
