"""Tests of findings about the audit file: GS420 and GS421."""

from __future__ import annotations

import socket
from datetime import datetime, timezone

import pytest
from support.certificates import make_certificates
from support.configs import underlined

from grpcsecure.checking.pipeline import Phase, load_config
from grpcsecure.config.source import Source

CONFIG = """\
version: 1
services: [{{servicer: 'a:B'}}]
listeners:
  main:
    address: localhost:0
    tls:
      certificate: certs/server.pem
      private_key: certs/server.key
      client_certificate: require_and_verify
      client_ca: certs/ca.pem
identities: {{it: {{certificates: 'certs/cli*.pem'}}}}
authorization:
  rules: {{it: {{allow: [it], methods: ['*']}}}}
  audit: {level}
  audit_file: {file}
"""


@pytest.fixture(name="check")
def _check(tmp_path, monkeypatch):
    """A function that returns the findings about an audit file, with their texts."""
    monkeypatch.chdir(tmp_path)
    make_certificates(tmp_path / "certs")

    def check(file, level="denials"):
        text = CONFIG.format(file=file, level=level)
        (tmp_path / "server.yaml").write_text(text)
        loaded = load_config(
            Source("server.yaml", tmp_path, text),
            profile=None,
            environ={},
            now=datetime.now(timezone.utc),
            last=Phase.FILES,
        )
        found = [f for f in loaded.findings if f.code in ("GS420", "GS421")]
        assert all(underlined(text, finding) == file for finding in found)
        return [(finding.code, finding.message) for finding in found]

    return check


@pytest.mark.parametrize(
    "file",
    [
        "server.yaml",
        "certs/server.pem",
        "certs/../certs/server.key",
        "certs/ca.pem",
        "certs/client.pem",
        "link.pem",
    ],
)
def test_file_that_the_server_reads(check, tmp_path, file):
    """The config, key files and registered certificates, by any name."""
    (tmp_path / "link.pem").symlink_to("certs/ca.pem")
    assert check(file) == [
        ("GS420", f"the audit file `{file}` is a file that the server reads")
    ]


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("none/audit.log", "its directory does not exist"),
        ("server.yaml/audit.log", "not a directory"),
        ("certs", "it is a directory"),
        ("link", "it is a symbolic link"),
        ("socket", "it is a socket"),
    ],
)
def test_file_that_cannot_be_written(check, tmp_path, file, reason):
    """It is found before anything listens."""
    (tmp_path / "link").symlink_to("nothing")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        assert check(file) == [
            ("GS421", f"the audit file `{file}` cannot be written: {reason}")
        ]
        assert check(file, level="off") == []


@pytest.mark.parametrize("file", ["audit.log", "certs/audit.log", "/dev/null"])
def test_usable_file(check, file):
    """A new file, and a device, have no finding."""
    assert check(file) == []
