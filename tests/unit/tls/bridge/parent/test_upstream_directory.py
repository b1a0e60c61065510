"""Where the directory for the sockets of the bridge is made."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from grpcsecure.tls.bridge.parent.upstream_directory import UpstreamDirectory


@pytest.fixture(name="folders")
def _folders(monkeypatch):
    """Folders with short paths, named by `$XDG_RUNTIME_DIR` and `$TMPDIR`."""
    with TemporaryDirectory(dir="/tmp") as path:
        folders = {name: Path(path) / name for name in ("XDG_RUNTIME_DIR", "TMPDIR")}
        for name, folder in folders.items():
            folder.mkdir()
            monkeypatch.setenv(name, str(folder))
        yield folders


def parent_of_new():
    """Make a directory; return the one that it is in."""
    with UpstreamDirectory() as directory:
        return Path(directory.path).parent


def test_first_usable_directory_is_taken(folders, monkeypatch):
    """In the order of the docs: `$XDG_RUNTIME_DIR`, `$TMPDIR`, `/tmp`."""
    assert parent_of_new() == folders["XDG_RUNTIME_DIR"]
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/no/such/directory")
    assert parent_of_new() == folders["TMPDIR"]
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert parent_of_new() == folders["TMPDIR"]
    monkeypatch.setenv("TMPDIR", "/tmp/" + "x" * 100)
    assert parent_of_new() == Path("/tmp")


def test_relative_path_becomes_absolute(folders, monkeypatch):
    """The bridge's process runs in another directory."""
    monkeypatch.chdir(folders["TMPDIR"].parent)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "TMPDIR")
    assert parent_of_new() == folders["TMPDIR"]


def test_current_directory_is_not_taken(folders, monkeypatch):
    """It may be a checkout, or the data of the service."""
    monkeypatch.chdir(folders["TMPDIR"])
    for name in folders:
        monkeypatch.setenv(name, "")
    assert parent_of_new() == Path("/tmp")
    assert [*folders["TMPDIR"].iterdir()] == []
