"""The JUnit XML format: a suite per report, a case per finding.

A report without findings has one passing case. Tests in a config are cases with their
names, passing or failing. A warning is a passing case with output: as in all formats,
it does not fail a build. All text is `visible`, which removes every character that XML
1.0 (section 2.2) forbids.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree.ElementTree import (
    Element,
    SubElement,
    indent,
    tostring,
)

from grpcsecure.diagnostics.render.full import render_finding
from grpcsecure.diagnostics.render.sources import Sources
from grpcsecure.diagnostics.render.text import Style, place, spell, subject, visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from grpcsecure.diagnostics.findings import Finding, Report, Span

__all__ = ["render_junit"]


def render_junit(
    reports: Sequence[Report],
    *,
    color: bool = False,  # noqa: ARG001 - all renderers are called alike
) -> str:
    """Return one document for all reports."""
    root = Element("testsuites", name="grpcsecure")
    root.extend(_suite(report) for report in reports)
    _count(root)
    indent(root)
    # ASCII with character references is correct in any encoding it may be saved in.
    document: bytes = tostring(root, encoding="us-ascii", xml_declaration=True)
    return document.decode() + "\n"


def _suite(report: Report) -> Element:
    name = subject(report)
    suite = Element("testsuite", name=name)
    sources = Sources(report)
    failing, others = _split(report)
    for test in report.cases:
        title = f"{visible(test.name)} {spell(test.span)}"
        case = SubElement(suite, "testcase", name=title, classname=name)
        finding = failing.pop((test.span, test.code), None)
        if finding is not None:
            _add_result(case, finding, report, sources)
    for finding in others:
        where = place(finding, report.subject)
        title = visible(f"{finding.code} {finding.kind.name}") + f" {where}"
        case = SubElement(suite, "testcase", name=title, classname=name)
        _add_result(case, finding, report, sources)
    if not report.findings and not report.cases:
        SubElement(suite, "testcase", name="valid", classname=name)
    for phase, reason in _skipped(report):
        case = SubElement(suite, "testcase", name=visible(phase), classname=name)
        SubElement(case, "skipped", message=f"not checked: {reason}")
    _count(suite)
    return suite


def _skipped(report: Report) -> Iterator[tuple[str, str]]:
    """Yield what was not checked, with the reason."""
    for phase in report.not_run:
        yield phase, "fix the errors first"
    if report.coverage is not None:
        for phase in report.coverage.left_out:
            yield phase, "left out by an option"
        if report.coverage.tests_left_out:
            yield "policy tests on certificates in files", "no file is read"
        if report.coverage.values_left_out:
            yield "values in files", "no file is read"


def _split(
    report: Report,
) -> tuple[dict[tuple[Span | None, str], Finding], list[Finding]]:
    """Return the findings of failed tests, by place and code, and all others."""
    tests = {(test.span, test.code) for test in report.cases}
    failing: dict[tuple[Span | None, str], Finding] = {}
    others = []
    for finding in report.findings:
        key = (finding.span, finding.code)
        if key in tests and key not in failing:
            failing[key] = finding
        else:
            others.append(finding)
    return failing, others


def _add_result(
    case: Element, finding: Finding, report: Report, sources: Sources
) -> None:
    text = render_finding(
        finding, sources, subject=report.subject, style=Style(color=False)
    )
    if finding.is_error:
        failure = SubElement(
            case,
            "failure",
            type=visible(finding.code),
            message=visible(finding.message),
        )
        failure.text = text
    else:
        SubElement(case, "system-out").text = text


def _count(element: Element) -> None:
    """Write the totals, which JUnit viewers show without counting the cases."""
    counts = {"tests": "testcase", "failures": "failure", "skipped": "skipped"}
    for attribute, tag in counts.items():
        element.set(attribute, str(len(list(element.iter(tag)))))
    element.set("errors", "0")
