"""Tests of the catalogue of findings: every row is complete and in its place."""

from __future__ import annotations

import re

import pytest

from grpcsecure.diagnostics import catalog
from grpcsecure.diagnostics.catalog import CATALOG
from grpcsecure.diagnostics.findings import Kind, Severity

HUNDREDS = {
    "tool_kinds": "GS0",
    "syntax_kinds": "GS1",
    "file_kinds": "GS2",
    "revocation_kinds": "GS2",
    "trust_kinds": "GS2",
    "listener_kinds": "GS3",
    "policy_kinds": "GS4",
    "service_kinds": "GS5",
}

ROWS = [
    pytest.param(module, name, kind, id=f"{kind.code}-{kind.name}")
    for module in HUNDREDS
    for name, kind in vars(getattr(catalog, module)).items()
    if isinstance(kind, Kind)
]


@pytest.mark.parametrize(("module", "constant", "kind"), ROWS)
def test_code_is_in_the_hundred_of_its_module(module, constant, kind):
    """The first digit of a code is that of its area, which has its own module."""
    assert re.fullmatch(HUNDREDS[module] + r"\d\d", kind.code)


@pytest.mark.parametrize(("module", "constant", "kind"), ROWS)
def test_constant_and_name_agree(module, constant, kind):
    """The kebab name is the name of the constant, which the module exports."""
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", kind.name)
    assert constant == kind.name.replace("-", "_").upper()
    assert constant in getattr(catalog, module).__all__


@pytest.mark.parametrize(("module", "constant", "kind"), ROWS)
def test_what_and_why_are_sentences(module, constant, kind):
    """`explain` and the docs print the texts unchanged."""
    for text in (kind.what, kind.why):
        assert re.match(r"[A-Z`]|gRPC", text)
        assert text.endswith(".")
        assert "  " not in text
        assert len(text.split()) >= 3


@pytest.mark.parametrize(("module", "constant", "kind"), ROWS)
def test_examples_come_in_pairs(module, constant, kind):
    """Every bad example has a good one that fixes it."""
    assert bool(kind.bad) == bool(kind.good)
    assert kind.bad != kind.good or not kind.bad


@pytest.mark.parametrize(("module", "constant", "kind"), ROWS)
def test_production_raises_warnings_only(module, constant, kind):
    """Only warnings have `production`; an error is always one."""
    assert not kind.production or kind.severity is Severity.WARNING


def test_codes_and_names_are_unique():
    """No two kinds share a code or a name."""
    codes = [row.values[2].code for row in ROWS]
    names = [row.values[2].name for row in ROWS]
    assert len(set(codes)) == len(codes)
    assert len(set(names)) == len(names)


def test_catalog_has_every_row_in_the_order_of_the_codes():
    """No kind of any module is missing from the catalogue."""
    assert sorted(CATALOG) == sorted(row.values[2].code for row in ROWS)
    assert list(CATALOG) == sorted(CATALOG)
