"""Tests of the catalogue of findings: every row is complete and in its place."""

from __future__ import annotations

import re

from grpcsecure.diagnostics import catalog
from grpcsecure.diagnostics.catalog import CATALOG
from grpcsecure.diagnostics.findings import Kind, Severity

HUNDREDS = {
    "tool_kinds": "GS0",
    "syntax_kinds": "GS1",
    "profile_kinds": "GS1",
    "include_kinds": "GS1",
    "file_kinds": "GS2",
    "revocation_kinds": "GS2",
    "trust_kinds": "GS2",
    "server_name_kinds": "GS2",
    "name_choice_kinds": "GS2",
    "listener_kinds": "GS3",
    "transport_kinds": "GS3",
    "activation_kinds": "GS3",
    "policy_kinds": "GS4",
    "service_kinds": "GS5",
}

#: Module, constant and kind of each row. Each test holds one rule for all of them.
ROWS = [
    (module, name, kind)
    for module in HUNDREDS
    for name, kind in vars(getattr(catalog, module)).items()
    if isinstance(kind, Kind)
]


def test_code_is_in_the_hundred_of_its_module():
    """The first digit of a code is that of its area, which has its own module."""
    for module, _, kind in ROWS:
        assert re.fullmatch(HUNDREDS[module] + r"\d\d", kind.code), kind.code


def test_constant_and_name_agree():
    """The kebab name is the name of the constant, which the module exports."""
    for module, constant, kind in ROWS:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", kind.name), kind.code
        assert constant == kind.name.replace("-", "_").upper(), kind.code
        assert constant in getattr(catalog, module).__all__, kind.code


def test_what_and_why_are_sentences():
    """`explain` and the docs print the texts unchanged."""
    for _, _, kind in ROWS:
        for text in (kind.what, kind.why):
            assert re.match(r"[A-Z`]|gRPC", text), kind.code
            assert text.endswith("."), kind.code
            assert "  " not in text, kind.code
            assert len(text.split()) >= 3, kind.code


def test_examples_come_in_pairs():
    """Every bad example has a good one that fixes it."""
    for _, _, kind in ROWS:
        assert bool(kind.bad) == bool(kind.good), kind.code
        assert kind.bad != kind.good or not kind.bad, kind.code


def test_production_raises_warnings_only():
    """Only warnings have `production`; an error is always one."""
    for _, _, kind in ROWS:
        assert not kind.production or kind.severity is Severity.WARNING, kind.code


def test_codes_and_names_are_unique():
    """No two kinds share a code or a name."""
    codes = [row[2].code for row in ROWS]
    names = [row[2].name for row in ROWS]
    assert len(set(codes)) == len(codes)
    assert len(set(names)) == len(names)


def test_catalog_has_every_row_in_the_order_of_the_codes():
    """No kind of any module is missing from the catalogue."""
    assert sorted(CATALOG) == sorted(row[2].code for row in ROWS)
    assert list(CATALOG) == sorted(CATALOG)
