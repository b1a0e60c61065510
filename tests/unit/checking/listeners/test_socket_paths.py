"""Unix sockets of listeners that cannot be created."""

from __future__ import annotations

import os
import socket
from datetime import datetime, timezone

import pytest

from grpcsecure.checking.pipeline import Phase, load_config
from grpcsecure.checking.writable import why_not_creatable
from grpcsecure.config.source import Source

CONFIG = """\
version: 1
services: [{{servicer: 'greeter:Greeter'}}]
listeners:
  local: {{address: 'unix:{}', plaintext: true}}
"""


@pytest.fixture(name="found")
def _found(tmp_path):
    def found(path):
        source = Source("server.yaml", tmp_path, CONFIG.format(path))
        loaded = load_config(
            source,
            profile=None,
            environ={},
            now=datetime.now(timezone.utc),
            last=Phase.FILES,
        )
        return [one for one in loaded.findings if one.code == "GS317"]

    return found


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("none/a.sock", "its directory does not exist"),
        ("file/a.sock", "not a directory"),
        ("file", "the path exists and is not a socket"),
        (".", "the path exists and is not a socket"),
    ],
)
def test_socket_that_cannot_be_created(found, tmp_path, path, reason):
    """It is found before anything listens, at the address."""
    (tmp_path / "file").touch()
    (finding,) = found(path)
    assert finding.message == (
        f"listener `local` cannot listen on unix:{tmp_path / path}: {reason}"
    )
    assert finding.is_error
    assert (finding.span.line, finding.span.column) == (4, 20)


def test_new_socket_and_that_of_a_server_that_runs(found, tmp_path, monkeypatch):
    """`validate` is safe beside a running server."""
    assert found("new.sock") == []
    monkeypatch.chdir(tmp_path)  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("used.sock")
        assert found("used.sock") == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_directory_without_permission(found, tmp_path):
    """The permissions are those of the process."""
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o500)
    assert found("closed/a.sock")[0].message.endswith("does not permit it")


def test_name_with_a_nul_has_a_reason(tmp_path):
    """No exception leaves the check."""
    assert why_not_creatable(tmp_path / "a\0b" / "c") is not None
