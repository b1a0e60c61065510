"""Tests that hold for every report in every format."""

from __future__ import annotations

import json
import os
from pathlib import Path
from xml.etree import ElementTree as ET

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.findings import ANY_TEXT, PATIENT, kind, reports, span

from grpcsecure.diagnostics.findings import Label, Report, Severity, Span
from grpcsecure.diagnostics.render import FORMATS, render
from grpcsecure.diagnostics.render.concise import render_finding_line

SCHEMA = json.loads(
    (Path(__file__).parents[3] / "schemas" / "report.schema.json").read_text()
)
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
MANY_REPORTS = st.lists(reports(), max_size=2)
LINE_FORMATS = ("concise", "github")
ONE_DOCUMENT = ("json", "sarif", "junit")


def _count(many):
    return sum(len(report.findings) for report in many)


def _report(*findings, **more):
    return Report(subject="a.yaml", findings=findings, **more)


@pytest.mark.properties
@PATIENT
@given(many=MANY_REPORTS, color=st.booleans())
def test_any_report_can_be_shown_in_every_format(many, color):
    """Every format shows every finding, with any texts and places.

    One test for all formats, because generating the reports takes most of the time.
    """
    for format_ in FORMATS:
        check_text(render(format_, many), render(format_, many, color=color))
    for format_ in LINE_FORMATS:
        assert len(render(format_, many).splitlines()) == _count(many), format_
    check_json(json.loads(render("json", many)), many)
    check_sarif(json.loads(render("sarif", many)), many)
    check_junit(ET.fromstring(render("junit", many)), many)


def check_text(shown, coloured):
    """UTF-8 encodes it, and no file name or source line can move the cursor."""
    assert all(line.isprintable() for line in shown.split("\n"))
    for text in (shown, coloured):
        text.encode()
        assert not text or text.endswith("\n")


def check_json(document, many):
    """The published schema describes every document, and no finding is missing."""
    VALIDATOR.validate(document)
    assert sum(len(report["findings"]) for report in document["reports"]) == (
        _count(many)
    )


def check_sarif(log, many):
    """One run has all results, each with a rule, a level and a place."""
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == sorted({rule["id"] for rule in rules})
    assert all(rule["help"]["text"] for rule in rules)
    assert len(run["results"]) == _count(many)
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in {"error", "warning"}
        (location,) = result["locations"]
        uri = location["physicalLocation"]["artifactLocation"]["uri"]
        assert uri.isascii()
        assert ":" not in uri.removeprefix("file:")


def check_junit(root, many):
    """The XML is well-formed, errors fail, warnings and clean reports pass."""
    suites = root.findall("testsuite")
    assert len(suites) == len(many)
    for suite, report in zip(suites, many, strict=True):
        assert len(suite.findall("testcase/failure")) == report.errors
        assert len(suite.findall("testcase/system-out")) == report.warnings
        assert len(suite.findall("testcase/skipped")) == len(report.not_run)
        assert int(suite.get("tests")) == len(suite.findall("testcase")) > 0


def test_json_schema_describes_every_key():
    """Every key of the document is in the schema."""
    label = Label(span=span("b.yaml", 1, 1), text="there")
    finding = kind()("x", span=span("a.yaml", 1, 1), secondary=[label], help="do")
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    schema = json.loads(json.dumps(SCHEMA))
    for name in ("report", "finding", "span"):
        schema["$defs"][name]["additionalProperties"] = False
    schema["additionalProperties"] = False
    jsonschema.validate(json.loads(render("json", [_report(finding)])), schema)


@pytest.mark.skipif("SARIF_SCHEMA" not in os.environ, reason="$SARIF_SCHEMA not set")
@PATIENT
@given(many=MANY_REPORTS)
def test_sarif_fits_the_official_schema(many):
    """OASIS's own schema, in the file SARIF_SCHEMA, accepts every log."""
    schema = json.loads(Path(os.environ["SARIF_SCHEMA"]).read_text())
    jsonschema.validate(json.loads(render("sarif", many)), schema)


@pytest.mark.parametrize(
    ("file", "uri"),
    [
        ("payments.yaml", "payments.yaml"),
        ("conf d/näme.yaml", "conf%20d/n%C3%A4me.yaml"),
        ("/etc/x.yaml", "file:///etc/x.yaml"),
        ("c:x#1.yaml", "c%3Ax%231.yaml"),
        ("<stdin>", "%3Cstdin%3E"),
    ],
)
def test_sarif_names_files_by_uri(file, uri):
    """Every file name is a valid URI reference, relative ones stay relative."""
    log = json.loads(render("sarif", [_report(kind()("x", span=span(file, 1, 1)))]))
    (location,) = log["runs"][0]["results"][0]["locations"]
    assert location["physicalLocation"]["artifactLocation"]["uri"] == uri


@given(message=ANY_TEXT, file=ANY_TEXT)
def test_github_command_cannot_be_broken_out_of(message, file):
    """Text cannot end a property or a command, or begin another command."""
    finding = kind()(message, span=span(file, 1, 1))
    line = render("github", [_report(finding)]).removesuffix("\n")
    _, head, text = line.split("::", 2)
    assert [part.partition("=")[0] for part in head.split(",")] == [
        "error file",
        "line",
        "endLine",
        "col",
        "endColumn",
        "title",
    ]
    assert "\n" not in text
    assert "\r" not in text


def test_github_escapes_as_the_runner_unescapes():
    """A message keeps its colons and commas, a property does not; `%` comes first."""
    finding = kind()("50%, a:b\n%0A", span=span("C:\\a,b%.yaml", 1, 1))
    line = render("github", [_report(finding)])
    assert "file=C%3A\\a%2Cb%25.yaml,line=1," in line
    assert line.endswith("::50%25, a:b\\n%250A\n")


def test_github_omits_columns_over_several_lines():
    """GitHub rejects columns in an annotation that ends on another line."""
    finding = kind()("x", span=Span("a.yaml", 2, 3, 4, 5))
    line = render("github", [_report(finding)])
    assert "line=2,endLine=4,title" in line


KEY = "\n".join("QUJD" * 16 for _ in range(4))
PASTED = f"""\
private_key: |
  -----BEGIN EC PRIVATE KEY-----
{KEY}
  short==
  -----END EC PRIVATE KEY-----
one_line: "-----BEGIN PRIVATE KEY-----\\nQUJDshort==\\n-----END PRIVATE KEY-----"
after: seen
cut_off: |
  -----BEGIN PRIVATE KEY-----
  QUJD
"""


@PATIENT
@given(
    start=st.tuples(st.integers(1, 14), st.integers(1, 80)),
    end=st.tuples(st.integers(1, 14), st.integers(1, 80)),
    other=st.tuples(st.integers(1, 14), st.integers(1, 80)),
    format_=st.sampled_from(FORMATS),
)
def test_pasted_key_is_never_shown(start, end, other, format_):
    """No place of a finding makes a renderer show a key in the config."""
    label = Label(span=span("a.yaml", *other), text="and here")
    finding = kind()("x", span=Span("a.yaml", *start, *end), secondary=[label])
    shown = render(format_, [_report(finding, sources={"a.yaml": PASTED})])
    assert "QUJD" not in shown
    assert "short==" not in shown
    assert "-----BEGIN" not in shown


def test_lines_around_a_pasted_key_are_shown():
    """Only the key is hidden, so that a mistake next to it is visible."""
    finding = kind()("x", span=span("a.yaml", 10, 1, 6))
    shown = render("full", [_report(finding, sources={"a.yaml": PASTED})])
    assert "after: seen" in shown


def test_colour_carries_no_information():
    """Without its escape sequences, the coloured output is the plain one."""
    warning = kind("GS311", Severity.WARNING)
    findings = [
        kind()("x", span=span("a.yaml", 1, 1), label="y", help="z"),
        warning("w"),
    ]
    many = [_report(*findings, sources={"a.yaml": "a: 1"}), _report()]
    coloured = render("full", many, color=True)
    for code in ("0", "1", "1;31", "1;33", "32", "34"):
        assert f"\x1b[{code}m" in coloured
        coloured = coloured.replace(f"\x1b[{code}m", "")
    assert coloured == render("full", many)


@pytest.mark.parametrize("format_", ONE_DOCUMENT)
def test_several_reports_are_one_document(format_):
    """Tools that read a file expect one document for any number of configs."""
    shown = render(format_, [_report(kind()("x")), _report()])
    assert json.loads(shown) if format_ != "junit" else ET.fromstring(shown) is not None


@pytest.mark.parametrize("format_", FORMATS)
def test_output_is_stable(format_):
    """The same findings give the same bytes, so that outputs can be compared."""
    finding = kind()("x", span=span("a.yaml", 1, 1), notes=["n"], help="h")
    assert render(format_, [_report(finding)]) == render(format_, [_report(finding)])


@pytest.mark.parametrize("format_", ["json", "sarif", "junit"])
def test_documents_are_ascii(format_):
    """ASCII documents are correct in any encoding they are saved in."""
    finding = kind()("Grüße ⋮ 名前", span=span("näme.yaml", 1, 1))
    assert render(format_, [_report(finding)]).isascii()


def test_finding_line_is_one_line():
    """A log or an exception shows a finding as one line, with or without a place."""
    finding = kind()("two\nlines", span=span("a.yaml", 3, 7))
    assert render_finding_line(finding) == r"a.yaml:3:7: error[GS102] two\nlines"
    assert render_finding_line(kind()("x"), "b.yaml") == "b.yaml: error[GS102] x"


def test_long_file_is_rendered_in_time():
    """Lines of megabytes and a thousand findings are rendered in moments."""
    text = "\n".join(["x" * 2_000_000, *("a: 1" for _ in range(10_000))])
    findings = [
        kind()("x", span=span("a.yaml", n % 9 + 1, 900_000)) for n in range(999)
    ]
    shown = render("full", [_report(*findings, sources={"a.yaml": text})])
    assert len(shown) < 1_000_000
