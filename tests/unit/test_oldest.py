"""The versions that `make oldest` tests are the lower bounds of the dependencies."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_oldest_versions_are_the_lower_bounds():
    """Each dependency is pinned to a release of its lower bound in tests/oldest.txt."""
    project = (ROOT / "pyproject.toml").read_text()
    (needed,) = re.findall(
        r"^dependencies = \[\n(.*?)^\]", project, re.DOTALL | re.MULTILINE
    )
    bounds = dict(re.findall(r'"([\w-]+)>=([\d.]+)"', needed))
    lines = (ROOT / "tests/oldest.txt").read_text().splitlines()
    tried = dict(line.split("==") for line in lines if "==" in line)
    assert bounds.keys() == tried.keys()
    for name, version in tried.items():
        assert f"{version}.".startswith(f"{bounds[name]}."), name
