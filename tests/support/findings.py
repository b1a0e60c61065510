"""Findings and reports for tests, and strategies that generate them."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from grpcsecure.diagnostics.findings import (
    Case,
    Finding,
    Kind,
    Label,
    Report,
    Severity,
    Span,
)

#: Hypothesis settings without a deadline: the first test on a report is slow, since it
#: builds tables of all of Unicode.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

#: All of Unicode, including control characters and lone surrogates.
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=60)


def kind(code: str = "GS102", severity: Severity = Severity.ERROR, **more: Any) -> Kind:
    """Return a kind that is not in the catalogue."""
    more.setdefault("name", f"name-of-{code.lower()}")
    return Kind(code=code, severity=severity, what="It is so.", why="It hurts.", **more)


def span(file: str, line: int, column: int, end: int | None = None) -> Span:
    """Return a span in one line, one character wide unless `end` is given."""
    return Span(file, line, column, line, column + 1 if end is None else end)


def spans(files: list[str]) -> st.SearchStrategy[Span]:
    """Return spans inside and beyond `files`, also ones that end before they begin."""
    number = st.integers(1, 30)
    return st.builds(Span, st.sampled_from(files), number, number, number, number)


@st.composite
def findings(draw: st.DrawFn, files: list[str]) -> Finding:
    """Return a finding with any text in any of its parts."""
    labels = st.builds(Label, span=spans(files), text=ANY_TEXT)
    made = kind(
        draw(st.sampled_from(["GS102", "GS311", "GS509"])),
        draw(st.sampled_from(Severity)),
        name=draw(ANY_TEXT),
        bad=draw(ANY_TEXT),
    )
    return made(
        draw(ANY_TEXT),
        span=draw(st.none() | spans(files)),
        label=draw(ANY_TEXT),
        secondary=draw(st.lists(labels, max_size=3)),
        notes=draw(st.lists(ANY_TEXT, max_size=2)),
        help=draw(st.none() | ANY_TEXT),
    )


@st.composite
def reports(draw: st.DrawFn) -> Report:
    """Return a report on files, some of which are missing."""
    files = draw(st.lists(ANY_TEXT, min_size=1, max_size=3, unique=True))
    lines = st.lists(ANY_TEXT, max_size=12).map("\n".join)
    found = draw(st.lists(findings(files), max_size=3))
    # Failed test cases may have the same place as a finding.
    places = [finding.span for finding in found if finding.span is not None]
    at = spans(files) | st.sampled_from(places) if places else spans(files)
    codes = st.sampled_from(["GS102", "GS311", "GS509"])
    cases = st.builds(Case, name=ANY_TEXT, span=at, code=codes)
    return Report(
        subject=draw(ANY_TEXT),
        findings=tuple(found),
        cases=tuple(draw(st.lists(cases, max_size=3))),
        sources=draw(st.dictionaries(st.sampled_from(files), lines)),
        not_run=tuple(draw(st.lists(ANY_TEXT, max_size=2))),
        failed=draw(st.none() | ANY_TEXT),
        profile=draw(st.none() | ANY_TEXT),
    )
