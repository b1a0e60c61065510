"""JUnit XML: a suite per report, a case per finding, one that passes if there is none.

A warning is a case that passes and says something: it fails no build, in any format.
All text is `visible`, which leaves no character that XML 1.0 (2.2) forbids.
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
from grpcsecure.diagnostics.render.text import Style, place, subject, visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grpcsecure.diagnostics.model import Finding, Report

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
    # ASCII with character references: right in whatever encoding it is saved.
    document: bytes = tostring(root, encoding="us-ascii", xml_declaration=True)
    return document.decode() + "\n"


def _suite(report: Report) -> Element:
    name = subject(report)
    suite = Element("testsuite", name=name)
    sources = Sources(report.sources)
    for finding in report.findings:
        suite.append(_case(finding, report, sources, name))
    if not report.findings:
        SubElement(suite, "testcase", name="valid", classname=name)
    for phase in report.not_run:
        case = SubElement(suite, "testcase", name=visible(phase), classname=name)
        SubElement(case, "skipped", message="not checked: mend the errors first")
    _count(suite)
    return suite


def _case(finding: Finding, report: Report, sources: Sources, suite: str) -> Element:
    where = place(finding, report.subject)
    name = visible(f"{finding.code} {finding.kind.name}") + f" {where}"
    case = Element("testcase", name=name, classname=suite)
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
    return case


def _count(element: Element) -> None:
    """Write the totals that readers show before they look at the cases."""
    counts = {"tests": "testcase", "failures": "failure", "skipped": "skipped"}
    for attribute, tag in counts.items():
        element.set(attribute, str(len(list(element.iter(tag)))))
    element.set("errors", "0")
