"""The JSON format, described by `schemas/report.schema.json`.

The document is sorted and stable: the same findings give the same bytes.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grpcsecure.diagnostics.findings import Coverage, Finding, Report, Span

__all__ = ["SCHEMA_VERSION", "dump", "render_json"]

#: Incremented if programs that read the old format would break; not for new keys.
SCHEMA_VERSION = 1


def render_json(
    reports: Sequence[Report],
    *,
    color: bool = False,  # noqa: ARG001 - all renderers are called alike
) -> str:
    """Return one document with all reports, in their order."""
    return dump(
        {
            "schema_version": SCHEMA_VERSION,
            "errors": sum(report.errors for report in reports),
            "warnings": sum(report.warnings for report in reports),
            "reports": [_report(report) for report in reports],
        }
    )


def dump(document: object) -> str:
    """Return `document` as JSON in ASCII, which every stream encoding preserves."""
    return json.dumps(_encodable(document), indent=2, sort_keys=True) + "\n"


def _encodable(value: object) -> object:
    """Replace lone surrogates (file names that are not UTF-8): JSON forbids them.

    RFC 8259, section 8.2: programs handle them unpredictably.
    """
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    if isinstance(value, dict):
        return {key: _encodable(item) for key, item in value.items()}
    return value


def _report(report: Report) -> dict[str, object]:
    return {
        "subject": report.subject,
        "profile": report.profile,
        "development": report.is_development,
        "errors": report.errors,
        "warnings": report.warnings,
        "failed_phase": report.failed,
        "phases_not_run": list(report.not_run),
        "coverage": _coverage(report.coverage, len(report.cases)),
        "findings": [_finding(finding) for finding in report.findings],
    }


def _coverage(coverage: Coverage | None, tests: int) -> dict[str, object] | None:
    if coverage is None:
        return None
    return {
        "phases": list(coverage.phases),
        "phases_left_out": list(coverage.left_out),
        "policy_tests": tests,
        "policy_tests_left_out": coverage.tests_left_out,
        "values_left_out": coverage.values_left_out,
        "profiles_left_out": list(coverage.profiles),
    }


def _finding(finding: Finding) -> dict[str, object]:
    return {
        "code": finding.code,
        "name": finding.kind.name,
        "severity": finding.severity.value,
        "message": finding.message,
        "span": None if finding.span is None else _span(finding.span),
        "label": finding.label,
        "secondary": [
            {"span": _span(label.span), "text": label.text}
            for label in finding.secondary
        ],
        "notes": list(finding.notes),
        "help": finding.help,
    }


def _span(span: Span) -> dict[str, object]:
    return {
        "file": span.file,
        "line": span.line,
        "column": span.column,
        "end_line": span.end_line,
        "end_column": span.end_column,
    }
