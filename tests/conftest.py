"""Fixtures that many tests share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).parent.parent

# A busy machine must not fail a property test, so these tests have no deadline.
settings.register_profile(
    "patient", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("patient")


@pytest.fixture(name="examples_importable")
def _examples_importable(monkeypatch):
    """Make the example services importable, and put `sys.path` back afterwards."""
    monkeypatch.setattr(sys, "path", [str(ROOT / "examples"), *sys.path])
