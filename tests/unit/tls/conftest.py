"""Certificates for the tests of this folder."""

from __future__ import annotations

import pytest
from support.certificates import make_specimens


@pytest.fixture(scope="session", name="certificates")
def _certificates(tmp_path_factory):
    """A folder with the files that `certs dev --broken` writes."""
    return make_specimens(tmp_path_factory.mktemp("certificates"))
