"""Golden tests of rendering: a file in tests/golden/render has findings and screens.

A file has sections that begin with `=== NAME`: `report` (JSON), `source FILE`, and one
per format with the expected screen. After a change, rewrite the screens and review the
diff: UPDATE_GOLDEN=1 pytest tests/unit/diagnostics/test_golden.py
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from grpcsecure.diagnostics.findings import Finding, Kind, Label, Report, Severity, Span
from grpcsecure.diagnostics.render import FORMATS, render

FOLDER = Path(__file__).parents[2] / "golden" / "render"
FILES = sorted(FOLDER.glob("*.txt"))


def _sections(text: str) -> dict[str, str]:
    parts = re.split(r"(?m)^=== (.+)\n", text)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def _span(place: list) -> Span:
    file, line, column, *end = place
    end_line, end_column = end if len(end) > 1 else (line, *(end or [column + 1]))
    return Span(file, line, column, end_line, end_column)


def _finding(data: dict) -> Finding:
    kind = Kind(
        code=data["code"],
        name=data["name"],
        severity=Severity(data["severity"]),
        what="What it is.",
        why="Why it matters.",
    )
    return kind(
        data["message"],
        span=_span(data["span"]) if "span" in data else None,
        label=data.get("label", ""),
        secondary=[
            Label(span=_span(place), text=text)
            for place, text in data.get("secondary", [])
        ],
        notes=data.get("notes", []),
        help=data.get("help"),
    )


def _reports(sections: dict[str, str]) -> list[Report]:
    data = json.loads(sections["report"])
    sources = {
        name.removeprefix("source "): text
        for name, text in sections.items()
        if name.startswith("source ")
    }
    return [
        Report(
            subject=report.get("subject", "payments.yaml"),
            findings=tuple(map(_finding, report.get("findings", []))),
            sources={**sources, **report.get("sources", {})},
            not_run=tuple(report.get("not_run", [])),
            failed=report.get("failed"),
            profile=report.get("profile"),
        )
        for report in (data if isinstance(data, list) else [data])
    ]


def _comparable(screen: str) -> str:
    """Hide the version, and the escape character: files with it count as binary."""
    screen = re.sub(r'"version": "(?!2\.1\.0")[^"]*"', '"version": "X.Y.Z"', screen)
    return screen.replace("\x1b", "␛")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_screen_equals_the_golden_file(path):
    """The findings of the file are rendered exactly as its sections show."""
    text = path.read_text()
    sections = _sections(text)
    reports = _reports(sections)
    wanted = [name for name in sections if name.split()[0] in FORMATS]
    assert wanted, "no screen in this file: add an empty section, such as `=== full`"
    shown = {
        name: render(name.split()[0], reports, color=name.endswith(" color"))
        for name in wanted
    }
    shown = {name: _comparable(screen) for name, screen in shown.items()}
    if os.environ.get("UPDATE_GOLDEN"):
        sections |= {name: screen + "\n" for name, screen in shown.items()}
        body = "".join(f"=== {name}\n{part}" for name, part in sections.items())
        path.write_text(text[: text.index("=== ")] + body.rstrip("\n") + "\n")
    for name, screen in shown.items():
        assert screen.rstrip("\n") == sections[name].rstrip("\n")
