"""The SARIF 2.1.0 format for code scanning: one run, one rule per reported code.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from grpcsecure.diagnostics.render.json import dump

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from grpcsecure.diagnostics.findings import Finding, Kind, Report, Span

__all__ = ["render_sarif"]

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def render_sarif(
    reports: Sequence[Report],
    *,
    color: bool = False,  # noqa: ARG001 - all renderers are called alike
) -> str:
    """Return one log with one run for all reports."""
    found = {f.code: f.kind for report in reports for f in report.findings}
    kinds = [found[code] for code in sorted(found)]
    index = {kind.code: number for number, kind in enumerate(kinds)}
    run = {
        "tool": {
            "driver": {
                "name": "grpcsecure",
                "version": _version(),
                "rules": [_rule(kind) for kind in kinds],
            }
        },
        # Our columns count code points; SARIF's default is UTF-16 units.
        "columnKind": "unicodeCodePoints",
        "invocations": [{"executionSuccessful": True}],
        "results": [
            _result(finding, report, index[finding.code])
            for report in reports
            for finding in report.findings
        ],
    }
    return dump({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]})


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("grpcsecure")
    except PackageNotFoundError:
        return "unknown"


def _rule(kind: Kind) -> dict[str, object]:
    return {
        "id": kind.code,
        "name": kind.name,
        "shortDescription": {"text": kind.what},
        "fullDescription": {"text": f"{kind.what} {kind.why}"},
        "help": {"text": "\n".join(_help(kind)), "markdown": _markdown(kind)},
        "defaultConfiguration": {"level": kind.severity.value},
    }


def _help(kind: Kind) -> Iterator[str]:
    yield from (kind.what, kind.why)
    for title, example in (("Bad:", kind.bad), ("Good:", kind.good)):
        if example:
            yield from ("", title, example)


def _markdown(kind: Kind) -> str:
    parts = [kind.what, kind.why]
    parts += [
        f"{title}\n\n```yaml\n{example}\n```"
        for title, example in (("Bad:", kind.bad), ("Good:", kind.good))
        if example
    ]
    return "\n\n".join(parts)


def _result(finding: Finding, report: Report, rule: int) -> dict[str, object]:
    result: dict[str, object] = {
        "ruleId": finding.code,
        "ruleIndex": rule,
        "level": finding.severity.value,
        "message": {"text": "\n".join(_message(finding))},
        "locations": [_location(finding.span, report.subject)],
    }
    if finding.secondary:
        result["relatedLocations"] = [
            {
                **_location(label.span, report.subject),
                "id": number,
                "message": {"text": label.text},
            }
            for number, label in enumerate(finding.secondary, 1)
        ]
    if report.profile is not None:
        result["properties"] = {"profile": report.profile}
    return result


def _message(finding: Finding) -> Iterator[str]:
    yield finding.message
    if finding.label:
        yield finding.label
    yield from (f"note: {note}" for note in finding.notes)
    if finding.help:
        yield f"help: {finding.help}"


def _location(span: Span | None, subject: str) -> dict[str, object]:
    file = subject if span is None else span.file
    physical: dict[str, object] = {"artifactLocation": {"uri": _uri(file)}}
    if span is not None:
        physical["region"] = {
            "startLine": span.line,
            "startColumn": span.column,
            "endLine": span.end_line,
            "endColumn": span.end_column,
        }
    return {"physicalLocation": physical}


def _uri(file: str) -> str:
    """Return a URI reference (RFC 3986): relative as written, or `file:///…`."""
    # A colon before the first slash would be read as a scheme, so it is quoted, too.
    path = quote(file.encode("utf-8", "backslashreplace"), safe="/")
    return f"file://{path}" if path.startswith("/") else path
