"""Certificates and a config loader for the tests of `explain`."""

from __future__ import annotations

import sys

import pytest
from support.certificates import make_specimens
from support.explaining import load


@pytest.fixture(name="folder", scope="session")
def _folder(tmp_path_factory):
    """A folder with `certs`, including the broken ones."""
    folder = tmp_path_factory.mktemp("explain")
    make_specimens(folder / "certs")
    return folder


@pytest.fixture(name="load_config")
def _load_config(folder, monkeypatch):
    """A function that loads a config from a text, with files of `folder`."""
    monkeypatch.setattr(sys, "path", [*sys.path])

    def load_config(text, **options):
        return load(folder, text, **options)

    return load_config
