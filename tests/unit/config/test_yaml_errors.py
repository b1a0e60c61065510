"""Tests of findings for YAML syntax errors: the place, the likely cause, the help."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.configs import LOADERS, brief, source

from grpcsecure.config.yaml import parse_yaml
from grpcsecure.config.yaml_errors import explain_syntax

STARTS = "quote values that begin with `[`, `{`, `*`, `&`, `!`, `%`, `@` or `` ` ``"

CASES = [
    ("a: {b: ${X}}", "1:8 a `${` without quotes inside brackets",
     "quote `${…}` inside `{…}` and `[…]`"),
    ("a: [${X}, y]", "1:5 a `${` without quotes inside brackets",
     "quote `${…}` inside `{…}` and `[…]`"),
    ("address: [::]:8443", "1:11 a value that begins with `[` is a list",
     'quote the value, as in "[::]:8443"'),
    ("dns: *.example", "1:6 `*` begins an alias, but no name follows", STARTS),
    ("a: & b", "1:4 `&` begins an anchor, but no name follows", STARTS),
    ("a: %x", "1:4 a value cannot begin with `%`", STARTS),
    ("a: @x", "1:4 a value cannot begin with `@`", STARTS),
    ("a: `x`", "1:4 a value cannot begin with a backtick", STARTS),
    ("a: ]", "1:4 a value is missing before `]`", STARTS),
    ("a: b: c", "1:5 a second `: ` in one line",
     "quote the value if the `:` is part of it"),
    ("a: 1\n  b: 2",
     "2:3 a key is indented further than the one above, which has a value",
     "indent it like the line above"),
    ("a\nb: 2", "2:2 a key begins before the value above it ends", None),
    ("a:1\nb: 2", "1:2 a space is missing after a `:`",
     "write a space between the `:` and the value"),
    ("a: 1\nb:[2]\n", "2:2 a space is missing after a `:`", None),
    ("a:\n  -b: 1\n   c: 2\n", "2:3 a space is missing after a `-`", None),
    ("a = 1\nb: 2", "1:3 a `=` in place of a `:`", "write `key: value`"),
    ("a: 1\nb:\u00a02\n", "2:3 a space that is not U+0020 is used as one", None),
    ("{{- if .A }}\na: 1\n", "1:1 a template `{{ … }}` is not rendered", None),
    ("a: {{ b }}/c\n", "1:4 a template `{{ … }}` is not rendered", None),
    ("{% if a %}\na: 1\n", "1:1 a template `{% … %}` is not rendered", None),
    ('{\n  // b\n  "a": 1\n}', "2:3 a comment begins with `//`",
     "begin comments with `#`"),
    ('a: ["b]\nc: ["d"]\n', "1:5 a quote is never closed", "close the quote"),
    ("a:\n\tb: c", "2:1 a tab is used for indentation", "indent with spaces"),
    ('a: "x\nb: 1\n', "1:4 a quote is never closed", "close the quote"),
    ("a: 'x", "1:4 a quote is never closed", "close the quote"),
    ("a: [1, 2\n", "1:4 `[` is never closed",
     "add `]`, or quote the value if it is text"),
    ("a: {b: c\n\n\n", "1:4 `{` is never closed",
     "add `}`, or quote the value if it is text"),
    ("a: [b}", "1:6 `[` is closed by `}`",
     "add `]`, or quote the value if it is text"),
    ("a: {b: c\nd: 1", "1:4 `{` is never closed",
     "add `}`, or quote the value if it is text"),
    ("a: 1\nb\nc: 1", "2:1 a line is neither a key nor an item",
     "write `key: value` or `- item`; indent text that goes on"),
    ("- a\nb: 1", "2:1 a list and a mapping at the same indentation", None),
    ('a: "b" c', "1:8 text follows the end of a value", None),
    ("a: 'it's'", "1:8 text follows the end of a value", None),
    ("a:\n  b: 1\n c: 2", "3:2 the indentation matches no line above",
     "indent it like the keys that belong with it"),
    ("a: 1\n: 2", "2:1 a key is missing before `:`", "write a name before the `:`"),
    ("a: 1\n...\nb: 2", "3:1 text follows the end of the document", None),
    ("a: | x\n  y", "1:6 text follows `|` or `>` on the same line",
     "begin the text on the next line, indented"),
    ("a: - b", "1:4 a list or a key begins where a value is expected", None),
    ("a: !e!x 1", "1:4 a value begins with `!`, which begins a tag", None),
]  # fmt: skip


@pytest.mark.parametrize("loader", LOADERS, ids=lambda loader: loader.__name__)
@pytest.mark.parametrize(
    ("text", "expected", "advice"), CASES, ids=lambda x: repr(x)[:20]
)
def test_syntax_error_is_one_line_at_its_place(loader, text, expected, advice):
    """Errors of both parsers become the same finding."""
    root, findings = parse_yaml(source(text), loader=loader)
    place, _, message = expected.partition(" ")
    assert brief(findings) == [f"{place} GS101 {message}"]
    assert root is None
    if advice is not None:
        assert findings[0].help == advice


@pytest.mark.parametrize("loader", LOADERS, ids=lambda loader: loader.__name__)
@pytest.mark.parametrize("text", ['a: "\\q"', 'a: "\\x2"', 'a: "\\u12"'])
def test_help_of_an_unknown_escape_shows_a_backslash(loader, text):
    """Windows paths and patterns have backslashes."""
    _, [finding] = parse_yaml(source(text), loader=loader)
    assert finding.message == "an unknown escape in a quoted value"


def test_second_label_shows_the_opening_bracket():
    """The bracket may be many lines above."""
    _, [finding] = parse_yaml(source("a: {\n  b: c\n  d: e\n}"))
    assert [(s.span.line, s.span.column, s.text) for s in finding.secondary] == [
        (1, 4, "opens here")
    ]


def test_findings_before_the_error_are_kept():
    """One run reports all findings up to the syntax error."""
    _, findings = parse_yaml(source("a: off\nb: [\n"))
    assert [finding.code for finding in findings] == ["GS108", "GS101"]


@pytest.mark.parametrize("loader", LOADERS, ids=lambda loader: loader.__name__)
@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("k: |\n-----BEGIN PRIVATE KEY-----\nMIIEsecret\n-----END", "2:1"),
        ("k: -----BEGIN PRIVATE KEY-----\nMIIEsecret\nx: 1\n", "1:4"),
        ("k:\n  a: b\n -----BEGIN PRIVATE KEY-----", "3:2"),
    ],
)
def test_pasted_key_that_breaks_the_syntax_is_reported_as_such(loader, text, place):
    """The finding is about the key, and shows none of it."""
    _, findings = parse_yaml(source(text), loader=loader)
    assert brief(findings) == [
        f"{place} GS128 the config has PEM text in it; the paths of files are expected"
    ]
    assert "secret" not in repr(findings)


def test_error_after_a_pasted_key_is_not_about_the_key():
    """A complete PEM block is not blamed for an error below it."""
    text = "k: '-----BEGIN X----- y -----END X-----'\na: b: c\n"
    _, [finding] = parse_yaml(source(text))
    assert finding.code == "GS101"


@given(st.text(max_size=60), st.text(max_size=20), st.integers(0, 5), st.integers(0, 9))
def test_any_problem_at_any_place_is_explained(text, problem, line, column):
    """Error texts of other parser versions also become a finding."""
    lines = text.split("\n")
    where = (min(line, len(lines) - 1), column)
    for opened in (None, where, (0, 0)):
        finding = explain_syntax(
            source(text), problem=problem, place=where, opened=opened
        )
        assert "\n" not in finding.message
