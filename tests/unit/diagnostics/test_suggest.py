"""Tests of suggestions for misspelled names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.findings import ANY_TEXT

from grpcsecure.diagnostics.suggest import did_you_mean, nearest

KEYS = [
    "certificate",
    "private_key",
    "client_ca",
    "client_certificate",
    "min_version",
    "tls",
    "crl",
    "engine",
]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        pytest.param("min_verison", "min_version", id="swapped"),
        pytest.param("min-version", "min_version", id="dash"),
        pytest.param("minVersion", "min_version", id="camel"),
        pytest.param("MIN_VERSION", "min_version", id="case"),
        pytest.param("tsl", "tls", id="short"),
        pytest.param("certifcate", "certificate", id="left-out"),
        pytest.param("client_certificates", "client_certificate", id="plural"),
        pytest.param("client_cert", None, id="too-far"),
        pytest.param("ca", None, id="too-short"),
        pytest.param("colour", None, id="nothing-like-it"),
        pytest.param("", None, id="empty"),
    ],
)
def test_nearest_finds_misspellings_only(written, meant):
    """A misspelled name leads to the intended one; another word does not."""
    assert nearest(written, KEYS) == meant


def test_nearest_prefers_the_smaller_distance():
    """The nearest of several names is suggested, the first of two equal ones."""
    assert nearest("prdo", ["prods", "prod", "prof"]) == "prod"
    assert nearest("deb", ["dev", "den"]) == "dev"


def test_did_you_mean_is_ready_for_a_label():
    """The phrase is complete, or empty without a suggestion."""
    assert did_you_mean("tsl", KEYS) == "did you mean `tls`?"
    assert did_you_mean("colour", KEYS) == ""


@given(name=ANY_TEXT, candidates=st.lists(ANY_TEXT))
def test_nearest_returns_a_candidate_or_nothing(name, candidates):
    """For any texts, the answer is one of the candidates, or None."""
    assert nearest(name, candidates) in [*candidates, None]


def test_nearest_skips_long_text():
    """A pasted file in place of a name costs no time."""
    assert nearest("x" * 1_000_000, ["x" * 1_000_000]) is None
