"""Tests of method patterns: grammar, matching, and relations of two patterns."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.refusals import why_refused

from grpcsecure.policy.patterns import PatternKind, parse_method_pattern

CHARGE = "/pay.v1.Pay/Charge"

GRAMMAR = [
    (CHARGE, PatternKind.EXACT, CHARGE),
    ("/pay.v1.Pay/*", PatternKind.PREFIX, "/pay.v1.Pay/"),
    ("/pay.v1.Pay/Get*", PatternKind.PREFIX, "/pay.v1.Pay/Get"),
    ("/pay.*", PatternKind.PREFIX, "/pay."),
    ("/*", PatternKind.PREFIX, "/"),
    ("/pay.v1.Pay/.*", PatternKind.PREFIX, "/pay.v1.Pay/."),
    ("*/Check", PatternKind.SUFFIX, "/Check"),
    ("*Check", PatternKind.SUFFIX, "Check"),
    ("*", PatternKind.ANY, ""),
]

NO_PATTERN = [
    "",
    "/",
    "//",
    "/pay.v1.Pay",
    "/pay.v1.Pay/",
    "/pay.v1.Pay//Charge",
    "/pay.v1.Pay/Charge/",
    "//Charge",
    "pay.v1.Pay/Charge",
    " /pay.v1.Pay/Charge",
    "pay.v1.Pay/*",
    ".*",
    "**",
    "*/Check*",
    "/pay.*/Charge",
    "/pay.v1.Pay/**",
    "/*/Charge",
]

MATCHES = [
    (CHARGE, CHARGE, True),
    (CHARGE, "/pay.v1.Pay/charge", False),
    (CHARGE, "/pay.v1.Pay/Charge ", False),
    (CHARGE, "/pay.v1.Pay/Charge/", False),
    (CHARGE, "/pay.v1.Pay/%43harge", False),
    (CHARGE, "/pay.v1.Pay/../v1.Pay/Charge", False),
    (CHARGE, "//pay.v1.Pay/Charge", False),
    (CHARGE, "/payXv1.Pay/Charge", False),  # a dot is a dot
    ("/pay.v1.Pay/*", CHARGE, True),
    ("/pay.v1.Pay/*", "/pay.v1.Pay/", True),
    ("/pay.v1.Pay/*", "/pay.v1.Payments/Charge", False),
    ("/pay.v1.Pay/*", "/pay.v1.Pay", False),
    ("/pay.v1.Pay/*", "/x/pay.v1.Pay/Charge", False),
    ("/pay.v1.Pay/Get*", "/pay.v1.Pay/GetAll", True),
    ("/pay.v1.Pay/Get*", "/pay.v1.Pay/Ge", False),
    ("/pay.v1.Pay/.*", CHARGE, False),
    ("/pay.v1.Pay/.*", "/pay.v1.Pay/.Charge", True),
    ("*/Check", "/grpc.health.v1.Health/Check", True),
    ("*/Check", "/Check", True),
    ("*/Check", "/grpc.health.v1.Health/Checks", False),
    ("*", "", True),
    ("*", "no path at all", True),
]

COVERS = [
    ("*", "/*", True),
    ("*", CHARGE, True),
    ("/*", "*", False),
    ("/*", CHARGE, True),
    ("/pay.*", "/pay.v1.Pay/*", True),
    ("/pay.v1.Pay/*", "/pay.*", False),
    ("/pay.v1.Pay/*", CHARGE, True),
    ("/pay.v1.Pay/*", "/pay.v1.Pays/Charge", False),
    ("/pay.v1.Pay/*", "*/Charge", False),
    ("*/Charge", "/pay.v1.Pay/*", False),
    ("*/Charge", CHARGE, True),
    ("*Charge", "*/Charge", True),
    ("*/Charge", "*Charge", False),
    (CHARGE, CHARGE, True),
    (CHARGE, "/pay.v1.Pay/Refund", False),
    (CHARGE, "/pay.v1.Pay/*", False),
]

OVERLAPS = [
    ("*", CHARGE, True),
    ("*", "*/Check", True),
    ("/pay.*", "/pay.v1.Pay/*", True),
    ("/pay.*", "/shop.*", False),
    ("/pay.*", CHARGE, True),
    ("/shop.*", CHARGE, False),
    ("/pay.*", "*/Check", True),
    ("*/Check", "*Check", True),
    ("*/Check", "*/Watch", False),
    ("*/Charge", CHARGE, True),
    ("*/Refund", CHARGE, False),
    (CHARGE, CHARGE, True),
    (CHARGE, "/pay.v1.Pay/Refund", False),
]


@pytest.mark.parametrize(("text", "kind", "body"), GRAMMAR)
def test_patterns_are_parsed(text, kind, body):
    """A `*` at one end is a wildcard; the rest of the text is kept."""
    pattern = parse_method_pattern(text)
    assert (pattern.kind, pattern.text) == (kind, body)
    assert str(pattern) == text


@pytest.mark.parametrize("text", NO_PATTERN)
def test_invalid_pattern_is_refused(text):
    """Text that looks like a pattern but would match nothing, or all, is a mistake."""
    with pytest.raises(ValueError, match=r"^expected `/package\.Service/Method`"):
        parse_method_pattern(text)


@pytest.mark.parametrize(("text", "path", "matches"), MATCHES)
def test_patterns_match_literally(text, path, matches):
    """Paths are compared unchanged, character by character."""
    assert parse_method_pattern(text).matches(path) is matches


@pytest.mark.parametrize(("one", "other", "covers"), COVERS)
def test_covering_pattern_matches_every_path_of_the_other(one, other, covers):
    """A pattern covers another if it matches every path of the other."""
    assert parse_method_pattern(one).covers(parse_method_pattern(other)) is covers


@pytest.mark.parametrize(("one", "other", "overlaps"), OVERLAPS)
def test_overlapping_patterns_share_a_path(one, other, overlaps):
    """Two patterns overlap if one path matches both; the relation is symmetric."""
    first, second = parse_method_pattern(one), parse_method_pattern(other)
    assert first.overlaps(second) is overlaps
    assert second.overlaps(first) is overlaps


_TEXTS = st.text("/ab.", max_size=6)
_PATTERNS = st.one_of(
    _TEXTS.map("/{}*".format),
    _TEXTS.map("*{}".format),
    st.builds("/{}/{}".format, st.text("ab", min_size=1), st.text("ab", min_size=1)),
)


def naive(text):
    """Return a regular expression for a pattern: a `*` matches any text."""
    return re.compile(".*".join(map(re.escape, text.split("*"))), re.DOTALL)


@given(_PATTERNS, _TEXTS | _TEXTS.map("/{}".format) | st.text())
def test_patterns_agree_with_regular_expressions(text, path):
    """The compiled pattern matches exactly what its regular expression matches."""
    wanted = naive(text).fullmatch(path) is not None
    assert parse_method_pattern(text).matches(path) is wanted


@given(_PATTERNS, _PATTERNS, _TEXTS.map("/{}".format))
def test_relations_agree_with_matches(one, other, path):
    """No path contradicts the relations of two patterns."""
    first, second = parse_method_pattern(one), parse_method_pattern(other)
    if first.covers(second):
        assert first.overlaps(second)
        assert first.matches(path) or not second.matches(path)
    if first.matches(path) and second.matches(path):
        assert first.overlaps(second)


@given(_PATTERNS, _PATTERNS)
def test_relations_have_examples(one, other):
    """Overlapping patterns share a path; a pattern not covered has one outside."""
    first, second = parse_method_pattern(one), parse_method_pattern(other)
    # `~` is in no pattern: it shows where a `*` is open.
    samples = {
        f"{a.text}{middle}{b.text}"
        for a in (first, second)
        for b in (first, second)
        for middle in ("", "~")
    } | {first.text, second.text, f"~{second.text}", f"{second.text}~"}
    common = [p for p in samples if first.matches(p) and second.matches(p)]
    outside = [p for p in samples if second.matches(p) and not first.matches(p)]
    assert first.overlaps(second) is bool(common)
    assert first.covers(second) is not bool(outside)


@given(st.text() | st.text(st.sampled_from("/*aB.")))
def test_any_text_is_a_pattern_or_refused(text):
    """No text raises anything but a ValueError with the reason."""
    assert (why_refused(parse_method_pattern, text) or "expected").startswith("expect")
