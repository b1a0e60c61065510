"""Tests of plain scalars: YAML 1.2's core schema, and where YAML 1.1 differs."""

from __future__ import annotations

import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from grpcsecure.config.scalars import describe_legacy, is_usable_number, resolve


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None), ("~", None), ("null", None), ("Null", None), ("NULL", None),
        ("true", True), ("True", True), ("TRUE", True), ("false", False),
        ("nUll", "nUll"), ("tRUE", "tRUE"), ("yes", "yes"), ("off", "off"),
        ("0", 0), ("-19", -19), ("+12", 12), ("007", 7), ("0o7", 7), ("0x3A", 58),
        ("0.", 0.0), ("-0.0", -0.0), (".5", 0.5), ("+12e03", 12000.0), ("-2E+05", -2e5),
        (".inf", math.inf), ("-.Inf", -math.inf), ("+.INF", math.inf),
        ("1_000", "1_000"), ("1:30", "1:30"), ("0b1", "0b1"), ("0o8", "0o8"),
        ("1.2.3", "1.2.3"), (".", "."), ("-", "-"), ("+", "+"), ("e3", "e3"),
        ("127.0.0.1:8443", "127.0.0.1:8443"), ("2001-01-01", "2001-01-01"),
        ("-0x1", "-0x1"), ("²", "²"), ("\u0661", "\u0661"),
    ],
)  # fmt: skip
def test_plain_scalar_has_its_value_in_the_core_schema(text, value):
    """The examples of YAML 1.2.2, section 10.3.2, have their values."""
    resolved = resolve(text)
    assert resolved == value
    assert type(resolved) is type(value)


def test_nan_is_a_number():
    """`.nan` resolves to a number, and is refused later as an unusable one."""
    assert math.isnan(resolve(".nan"))


def test_very_long_digits_take_no_time_and_are_not_usable():
    """Python refuses to convert more than 4,300 digits, and is slow below that."""
    value = resolve("9" * 1_000_000)
    assert not is_usable_number(value)


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63), 0, 0.5, -1e308])
def test_numbers_of_64_bits_are_usable(value):
    """Every program reads numbers within 64 bits alike."""
    assert is_usable_number(value)


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, math.inf, -math.inf, math.nan])
def test_other_numbers_are_not_usable(value):
    """JSON has no infinity, and doubles round large integers."""
    assert not is_usable_number(value)


@pytest.mark.parametrize(
    ("text", "legacy"),
    [
        ("off", "a boolean"), ("On", "a boolean"), ("YES", "a boolean"),
        ("0777", "an octal number"), ("007", "an octal number"),
        ("1:30", "a number of base 60"), ("1:30.5", "a number of base 60"),
        ("1_000", "a number without the `_`"), ("1_0.5", "a number without the `_`"),
        ("+0x1F", "a number without the `+`"), ("0b101", "a binary number"),
        ("2001-01-01", "a date"), ("2001-1-1 10:00:00 +01:00", "a date"),
        ("0o17", "text"), ("1e3", "text"), ("08", "text"), ("1.5e3", "text"),
        ("=", "the default value of a mapping"), ("-.5", "text"), ("+.0", "text"),
    ],
)  # fmt: skip
def test_text_that_yaml_1_1_reads_differently_is_described(text, legacy):
    """The description becomes the label of the finding."""
    assert describe_legacy(text) == legacy


@pytest.mark.parametrize(
    "text",
    [
        "", "~", "null", "true", "y", "N",
        "False", "1", "-1", "+1", "0", "1.2", ".5", "1.5e+3",
        "0x1F", ".inf", ".nan", "text", "TLSv1.2", "127.0.0.1", "127.0.0.1:8443",
        "0.0.0.0:8443", "30s", "500us", "none", "nobody", "online", "yesterday", "::1",
        "9f:86", "1.2.3", "2001-01", "certs/server.pem", "../x", "-----BEGIN",
    ],
)  # fmt: skip
def test_text_that_both_versions_read_alike_is_not_described(text):
    """Ordinary values have no finding."""
    assert describe_legacy(text) is None


_NUMERIC = st.text(st.sampled_from("0123456789._:-+eExXoOabBfTZ nyYN="), max_size=12)


@given(_NUMERIC)
def test_text_without_a_description_is_read_alike_by_pyyaml(text):
    """If nothing is reported, PyYAML (YAML 1.1) resolves the same type."""
    if describe_legacy(text) is not None or text in ("<<", "="):
        return
    tag = yaml.SafeLoader("").resolve(yaml.ScalarNode, text, (True, False))
    value = resolve(text)
    kinds = {
        "str": str, "int": int, "float": float, "bool": bool, "null": type(None),
    }  # fmt: skip
    assert type(value) is kinds[tag.rpartition(":")[2]]


@given(st.text(max_size=12))
def test_any_text_has_a_value(text):
    """Resolving any text raises nothing."""
    assert isinstance(resolve(text), str | int | float | bool | None)
    assert isinstance(describe_legacy(text), str | None)
