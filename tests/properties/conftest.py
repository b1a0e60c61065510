"""Fixtures of the property tests."""

from __future__ import annotations

import pytest
from support.certificates import make_specimens


@pytest.fixture(name="folder", scope="session")
def _folder(tmp_path_factory):
    """A folder with `certs`, including the broken ones."""
    folder = tmp_path_factory.mktemp("properties")
    make_specimens(folder / "certs")
    return folder
