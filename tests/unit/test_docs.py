"""The generated pages of docs/ say what the code says."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


def load_script():
    """Import scripts/make_docs.py, which is no module of a package."""
    path = ROOT / "scripts" / "make_docs.py"
    spec = importlib.util.spec_from_file_location("make_docs", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", load_script().pages().items(), ids=lambda p: p[0].name)
def test_generated_page_is_current(page):
    """A page is what scripts/make_docs.py would write now."""
    path, text = page
    assert path.read_text() == text, "run scripts/make_docs.py"


def test_readme_is_short():
    """The README can be read in a few minutes."""
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150
