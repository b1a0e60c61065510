"""The versions that have been tried, and the bounds of the dependencies."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from grpcsecure.server.grpcio import _bindings as grpcio
from grpcsecure.tls.openssl import _bindings as openssl

ROOT = Path(__file__).parents[2]


#: Each dependency with its bounds: name, lower, upper or "".
NEEDED = re.findall(
    r'^    "([\w-]+)>=([\d.]+)(?:,<([\d.]+))?",$',
    (ROOT / "pyproject.toml").read_text().partition("\n]\n\n[project.scripts]")[0],
    re.MULTILINE,
)
OLDEST = dict(
    line.split("==")
    for line in (ROOT / "tests/oldest.txt").read_text().splitlines()
    if "==" in line
)


def test_oldest_versions_are_the_lower_bounds():
    """Each dependency is pinned to a release of its lower bound in tests/oldest.txt."""
    bounds = {name: lower for name, lower, _ in NEEDED}
    assert bounds.keys() == OLDEST.keys()
    for name, version in OLDEST.items():
        assert f"{version}.".startswith(f"{bounds[name]}."), name


@pytest.mark.parametrize("names", [openssl.NAMES, grpcio.ASYNCIO])
def test_name_lookup_have_been_tried_within_the_bounds(names):
    """With the oldest release, and with one below the upper bound."""
    oldest, newest = names.tried
    library = names.library.lower()
    assert oldest.partition(" ")[0] == OLDEST[library]
    (upper,) = [upper for name, _, upper in NEEDED if name == library]
    assert newest.partition(".")[0] == str(int(upper) - 1)
