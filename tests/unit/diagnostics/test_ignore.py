"""Tests of production, ignores and `--strict`, which finish the findings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.findings import ANY_TEXT, PATIENT, kind, reports, span

from grpcsecure.diagnostics.catalog import CATALOG, listener_kinds, tool_kinds
from grpcsecure.diagnostics.comments import find_ignore_comments
from grpcsecure.diagnostics.findings import Report, Severity
from grpcsecure.diagnostics.ignore import Draft, Ignores, make_report, make_reports
from grpcsecure.errors import ExitCode, UsageError

FILE = "a.yaml"
REFLECTION = listener_kinds.REFLECTION_OPEN
UNUSED = tool_kinds.UNUSED_IGNORE.code


def draft(text, *findings, file=FILE, not_run=(), profile=None, dev=False, **more):
    """Return the draft of a report on `text`; `dev`: its profile is for development."""
    report = Report(
        subject=file,
        findings=findings,
        sources={file: text},
        not_run=not_run,
        profile=profile,
        is_development=dev,
    )
    return Draft(report=report, **more)


def reflection(line=1, file=FILE):
    """Return a warning that production makes an error."""
    return REFLECTION("reflection is on", span=span(file, line, 1))


def codes(report):
    """Return the codes of the remaining findings, with `!` after errors."""
    return [f.code + "!" * f.is_error for f in report.findings]


@pytest.mark.parametrize(
    "comment",
    [
        "ignore[GS311]",
        "ignore[gs311]",
        "ignore[reflection-open]",
        "ignore[GS311] - health checks only, until 2027",
        "ignore[ GS311 ]",
    ],
)
def test_comment_silences_the_warning_of_its_line(comment):
    """By code or name, with or without a reason, the warning is dropped."""
    report = make_report(
        draft(f"reflection: true  # grpcsecure: {comment}", reflection())
    )
    assert codes(report) == []


@pytest.mark.parametrize(
    ("lines", "at"),
    [
        pytest.param(["# grpcsecure: ignore[GS311]", "a: 1"], 2, id="line-before"),
        pytest.param(
            ["  # grpcsecure: ignore[GS311]", "  # why: probes", "  a: 1"],
            3,
            id="comments-between",
        ),
        pytest.param(["#grpcsecure:ignore[GS311]", "a: 1"], 2, id="no-blanks"),
        pytest.param(["a: don't # grpcsecure: ignore[GS311]"], 1, id="apostrophe"),
        pytest.param(
            ["a: 'it''s # x' # grpcsecure: ignore[GS311]"], 1, id="quoted-hash-before"
        ),
        pytest.param(
            [r'a: "\" # x" # grpcsecure: ignore[GS311]'], 1, id="escaped-quote-before"
        ),
    ],
)
def test_comment_applies_to_its_line_or_the_next(lines, at):
    """After a value it applies to that line, alone to the next line with content."""
    report = make_report(draft("\n".join(lines), reflection(at)))
    assert codes(report) == []


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a: 1\n# grpcsecure: ignore[GS311]", id="line-after"),
        pytest.param("a: 1 # grpcsecure: ignore[GS312]", id="another-code"),
    ],
)
def test_comment_elsewhere_silences_nothing(text):
    """An ignore for another place keeps the finding, and is reported as unused."""
    assert sorted(codes(make_report(draft(text, reflection())))) == [UNUSED, "GS311"]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('a: "# grpcsecure: ignore[GS311]"', id="in-double-quotes"),
        pytest.param("a: '# grpcsecure: ignore[GS311]'", id="in-single-quotes"),
        pytest.param("a: b# grpcsecure: ignore[GS311]", id="no-comment"),
        pytest.param("# about grpcsecure: ignore it", id="prose"),
        pytest.param("# grpcsecure: ignored", id="another-word"),
    ],
)
def test_text_in_a_value_is_not_an_ignore(text):
    """Text of a value that looks like an ignore has no effect and is not reported."""
    assert codes(make_report(draft(text, reflection()))) == ["GS311"]


def test_several_codes_in_one_comment():
    """Each code of a comment that matches nothing is reported."""
    other = listener_kinds.PLAINTEXT_EXPOSED("plain", span=span(FILE, 1, 5))
    text = "a: 1 # grpcsecure: ignore[GS311, plaintext-exposed, GS313]"
    report = make_report(draft(text, reflection(), other))
    assert codes(report) == [UNUSED]
    assert "GS313" in report.findings[0].message


def test_ignored_error_stays():
    """An error cannot be ignored; the attempt is reported."""
    error = listener_kinds.ADDRESS_CONFLICT("taken", span=span(FILE, 1, 1))
    text = "a: 1 # grpcsecure: ignore[GS305]"
    report = make_report(draft(text, error))
    assert codes(report) == ["GS305!", UNUSED]
    assert "does not apply" in report.findings[1].message


def test_production_comes_before_ignores():
    """A warning that production makes an error cannot be ignored."""
    text = "a: 1 # grpcsecure: ignore[GS311]"
    report = make_report(draft(text, reflection(), production=True))
    assert codes(report) == ["GS311!", UNUSED]
    assert "in production" in report.findings[1].message


def test_production_leaves_other_warnings():
    """Only kinds with `production` become errors in production."""
    unused_ca = listener_kinds.UNUSED_CLIENT_CA("unused", span=span(FILE, 1, 1))
    assert codes(make_report(draft("a: 1", unused_ca, production=True))) == ["GS303"]


def test_strict_comes_after_ignores():
    """In strict mode, an ignored warning stays ignored; all others are errors."""
    text = "a: 1 # grpcsecure: ignore[GS311]\nb: 1"
    drafts = [draft(text, reflection(1), reflection(2))]
    (report,) = make_reports(drafts, strict=True)
    assert codes(report) == ["GS311!"]
    assert report.findings[0].span.line == 2


@pytest.mark.parametrize("kind_", CATALOG.values(), ids=lambda kind_: kind_.code)
def test_development_keeps_the_warnings_that_production_makes_errors(kind_):
    """In strict mode, a profile for development has these warnings, and no others."""
    (report,) = make_reports([draft("", kind_("text"), dev=True)], strict=True)
    assert report.tolerated == kind_.production
    assert codes(report) == [kind_.code + "!" * (not kind_.production)]
    (report,) = make_reports([draft("", kind_("text"))], strict=True)
    assert codes(report) == [f"{kind_.code}!"]


def test_unused_ignore_is_an_error_in_strict_mode():
    """An unused ignore is a warning like any other."""
    drafts = [draft("a: 1 # grpcsecure: ignore[GS311]")]
    (report,) = make_reports(drafts, strict=True)
    assert codes(report) == [f"{UNUSED}!"]


@pytest.mark.parametrize("name", ["GS311", "gs311", "reflection-open"])
def test_option_silences_everywhere(name):
    """`--ignore` applies to every place, and to findings without a place."""
    drafts = [draft("a: 1", reflection(), REFLECTION("reflection is on"))]
    (report,) = make_reports(drafts, ignores=Ignores([name]))
    assert codes(report) == []


def test_unused_option_is_reported_once():
    """An `--ignore` that matches in no config is one warning, not one per config."""
    drafts = [draft("a: 1"), draft("b: 1", file="b.yaml")]
    first, second = make_reports(drafts, ignores=Ignores(["GS311", "GS311"]))
    assert codes(first) == []
    assert codes(second) == [UNUSED]
    assert "--ignore GS311" in second.findings[0].message


def test_option_is_used_if_any_config_has_a_use():
    """An option that matches in one of several configs is used."""
    drafts = [draft("a: 1", reflection()), draft("b: 1", file="b.yaml")]
    assert [codes(r) for r in make_reports(drafts, ignores=Ignores(["GS311"]))] == [
        [],
        [],
    ]


def test_comment_is_used_if_any_profile_has_a_use():
    """A comment for the profile `dev` is not reported as unused because of `prod`."""
    text = "a: 1 # grpcsecure: ignore[GS311]"
    drafts = [draft(text, profile="prod"), draft(text, reflection(), profile="dev")]
    assert [codes(r) for r in make_reports(drafts)] == [[], []]


def test_comment_that_no_profile_needs_is_reported_once():
    """If all profiles are checked, an unused comment is one warning."""
    text = "a: 1 # grpcsecure: ignore[GS311]"
    drafts = [draft(text, profile="prod"), draft(text, profile="dev")]
    assert [codes(r) for r in make_reports(drafts)] == [[UNUSED], []]


@pytest.mark.parametrize(
    "partial",
    [
        pytest.param({"not_run": ("files",)}, id="stopped-early"),
        pytest.param({"complete": False}, id="syntax-only"),
        pytest.param({"all_profiles": False}, id="one-profile"),
    ],
)
def test_ignore_is_not_unused_in_a_partial_check(partial):
    """A phase or profile that was not checked may have a finding for the ignore."""
    text = "a: 1 # grpcsecure: ignore[GS311]"
    assert codes(make_report(draft(text, **partial))) == []


def test_option_can_be_unused_with_one_profile():
    """`--ignore` belongs to this run, for any choice of profiles."""
    (report,) = make_reports(
        [draft("a: 1", all_profiles=False)], ignores=Ignores(["GS311"])
    )
    assert codes(report) == [UNUSED]


def test_unused_ignores_can_be_ignored():
    """`--ignore GS002` drops findings about ignores, and is never unused itself."""
    text = "a: 1 # grpcsecure: ignore[GS311]\n# grpcsecure: ignore\n"
    (report,) = make_reports([draft(text)], ignores=Ignores(["unused-ignore"]))
    assert codes(report) == []


@pytest.mark.parametrize(
    ("comment", "said"),
    [
        ("ignore[GS31]", "`GS31`"),
        ("ignore[reflection-opne]", "`reflection-open`"),
        ("ignore", "no code"),
        ("ignore[]", "no code"),
        ("ignore[,]", "no code"),
    ],
)
def test_comment_with_an_unknown_code_is_reported(comment, said):
    """A misspelled code in a comment is a warning at the comment, and has no effect."""
    report = make_report(draft(f"a: 1 # grpcsecure: {comment}", reflection()))
    assert codes(report) == ["GS311", UNUSED]
    finding = report.findings[1]
    assert said in finding.message + finding.label
    assert (finding.span.line, finding.span.column) == (1, 6)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("GS999", max(CATALOG)),
        ("gs310", "GS311"),
        ("reflection-opne", "reflection-open"),
        ("GS3l3", "GS303"),
        ("everything", "GS311"),
    ],
)
def test_option_with_an_unknown_code_is_a_usage_error(name, nearest):
    """`--ignore GS999` fails with exit code 2 and the nearest valid name."""
    with pytest.raises(UsageError) as raised:
        Ignores([name])
    assert raised.value.exit_code == ExitCode.CANNOT
    assert f"`{name}`" in str(raised.value)
    assert f"`{nearest}`" in str(raised.value)


def test_findings_are_sorted_by_place():
    """The config as a whole comes first, then its file, then other files by name."""
    warning = kind("GS390", Severity.WARNING)
    places = [None, (FILE, 2, 9), (FILE, 10, 1), ("Z.yaml", 1, 1), ("b.yaml", 1, 1)]
    findings = [warning("x", span=place and span(*place)) for place in places]
    report = make_report(draft("a: 1", *reversed(findings)))
    assert list(report.findings) == findings


@PATIENT
@given(report=reports(), production=st.booleans(), strict=st.booleans())
def test_nothing_is_lost_without_ignores(report, production, strict):
    """Without ignores, every finding is kept, and none becomes less severe."""
    (made,) = make_reports([Draft(report=report, production=production)], strict=strict)
    assert len(made.findings) == len(report.findings)
    assert made.errors >= report.errors
    assert not (strict and made.warnings)


@PATIENT
@given(lines=st.lists(ANY_TEXT), comment=ANY_TEXT)
def test_any_text_can_be_searched_for_comments(lines, comment):
    """Reading the ignores of a broken file never raises."""
    text = "\n".join([*lines, f"# grpcsecure: ignore[{comment}]", *lines])
    for found in find_ignore_comments(text):
        assert 1 <= found.line <= found.target
