"""Fixtures that many tests share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(name="examples_importable")
def _examples_importable(monkeypatch):
    """Make the example services importable, and put `sys.path` back afterwards."""
    monkeypatch.setattr(sys, "path", [str(ROOT / "examples"), *sys.path])
