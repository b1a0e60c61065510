"""Files that the scenes of these tests name."""

from __future__ import annotations

import sys

import pytest
from support.certificates import make_specimens
from support.explaining import load


@pytest.fixture(name="folder", scope="session")
def _folder(tmp_path_factory):
    """A folder with `certs`, broken specimens included."""
    folder = tmp_path_factory.mktemp("explain")
    make_specimens(folder / "certs")
    return folder


@pytest.fixture(name="scene")
def _scene(folder, monkeypatch):
    """A function that loads a config in that folder."""
    monkeypatch.setattr(sys, "path", [*sys.path])

    def scene(text, **options):
        return load(folder, text, **options)

    return scene
