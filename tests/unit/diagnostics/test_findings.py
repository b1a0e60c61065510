"""Tests of findings as data, and of quoting text from a config."""

from __future__ import annotations

import base64
import time

import pytest
from hypothesis import given
from support.findings import ANY_TEXT, kind

from grpcsecure.diagnostics.findings import Report, Severity
from grpcsecure.quoting import holds_key_text, quote

#: Not a key, but of the form of one: DER in base64, with and without PEM lines.
DER = base64.b64encode(b"\x30\x82\x04\xbd\x02\x01\x00" + bytes(range(200))).decode()
PEM = f"-----BEGIN PRIVATE KEY-----\n{DER}\n-----END PRIVATE KEY-----\n"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        pytest.param("prod", "`prod`", id="word"),
        pytest.param("", "``", id="empty"),
        pytest.param("naïve/Grüße.pem", "`naïve/Grüße.pem`", id="unicode"),
        pytest.param(7, "`7`", id="number"),
        pytest.param(None, "`None`", id="none"),
        pytest.param("a\nb\tc", r"`a\nb\tc`", id="whitespace"),
        pytest.param("\x1b[31mred", r"`\x1b[31mred`", id="terminal-escape"),
        pytest.param("\u202eevil", r"`\u202eevil`", id="bidirectional"),
        pytest.param("x" * 61, f"`{'x' * 60}…`", id="long"),
        pytest.param("x" * 60, f"`{'x' * 60}`", id="just-fits"),
    ],
)
def test_quoted_text_fits_one_line(value, shown):
    """Quoted text is in backticks, on one line, and cut if it is long."""
    assert quote(value) == shown


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(PEM, id="pem"),
        pytest.param(PEM.replace("\n", "\\n"), id="pem-on-one-line"),
        pytest.param(f"ssh {PEM}", id="pem-inside"),
        pytest.param({"private_key": PEM}, id="inside-a-mapping"),
        pytest.param(DER, id="bare-base64"),
        pytest.param(DER[8:80], id="middle-of-a-block"),
        pytest.param(f"{DER[-20:]}\n-----END PRIVATE KEY-----", id="end-of-a-block"),
    ],
)
def test_quote_never_shows_a_key(value):
    """No part of a key that was pasted in place of its path is repeated."""
    shown = quote(value)
    assert DER[8:20] not in shown
    assert DER[-20:-5] not in shown
    assert "not shown" in shown


@pytest.mark.parametrize(
    "value",
    [
        "sha256:" + "9f:86:" * 16,
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B2B0B822CD15D6C15B0F00A08",
        "/etc/grpcsecure/production/certificates/billing/service/current/tls",
        "/etc/grpcsecure/production/certificates/billing-service/server.pem",
        "spiffe://corp.example/ns/production/sa/billing-service-for-all-of-it",
        "payments.v1.Payments/Charge",
    ],
)
def test_names_of_a_config_are_not_taken_for_keys(value):
    """Fingerprints, paths and names are shown: hiding them would hide the mistake."""
    assert not holds_key_text(value)


@given(value=ANY_TEXT)
def test_quote_is_always_printable(value):
    """Any quoted value becomes one printable line."""
    assert quote(value).isprintable()


def test_quote_is_quick_on_a_pasted_file():
    """Text of many megabytes is scanned once, not once per line."""
    started = time.process_time()
    quote("\n" * 4_000_000)
    quote("M" * 4_000_000)
    assert time.process_time() - started < 5


def test_report_counts_by_severity():
    """Errors and warnings are counted separately."""
    error, warning = kind("GS102"), kind("GS311", Severity.WARNING)
    findings = (error("a"), warning("b"), warning("c"), warning("d").as_error())
    report = Report(subject="a.yaml", findings=findings)
    assert (report.errors, report.warnings) == (2, 2)


def test_report_keeps_the_sources_out_of_its_repr():
    """A report in a log does not print the config, which may contain a key."""
    report = Report(subject="a.yaml", findings=(), sources={"a.yaml": PEM})
    assert "PRIVATE" not in repr(report)
