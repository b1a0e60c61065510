"""Findings that are warnings at a desk and errors in production: GS311 to GS313."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from support.configs import source, underlined

from grpcsecure.server.loading import Phase, load_config

CONFIG = """\
version: 1
services: [{servicer: 'greeter:Greeter'}]
server: {reflection: true}
listeners:
  open: {address: '0.0.0.0:8080', plaintext: true}
  inner: {address: '127.0.0.1:8081', plaintext: true}
  inner6: {address: '[::1]:8081', plaintext: true}
  local: {address: 'localhost:8082', plaintext: true}
  socket: {address: 'unix:/run/s.sock', plaintext: true}
  named: {address: 'greeter.example:8083', plaintext: true}
  claimed: {address: '127.0.0.1:1', tls: {certificate: c, private_key: k,
    client_certificate: request_but_dont_verify}}
  unasked: {address: '127.0.0.1:2', tls: {certificate: c, private_key: k,
    client_certificate: dont_request}}
  verified: {address: '127.0.0.1:3', tls: {certificate: c, private_key: k,
    client_certificate: require_and_verify, client_ca: a}}
  optional: {address: '127.0.0.1:4', tls: {certificate: c, private_key: k,
    client_certificate: request_and_verify, client_ca: a}}
"""

EXPECTED = [
    ("GS311", "true"),
    ("GS312", "'0.0.0.0:8080'"),
    ("GS312", "'greeter.example:8083'"),
    ("GS313", "request_but_dont_verify"),
    ("GS313", "dont_request"),
]


@pytest.mark.parametrize("production", [False, True])
def test_same_findings_but_errors_in_production(production):
    """What lets in more than production should is found in both, at its place."""
    text = CONFIG + f"production: {str(production).lower()}\n"
    loaded = load_config(
        source(text),
        profile=None,
        environ={},
        now=datetime.now(timezone.utc),
        last=Phase.CROSS_FIELD,
    )
    assert [(f.code, underlined(text, f)) for f in loaded.findings] == EXPECTED
    assert [f.is_error for f in loaded.findings] == [production] * len(EXPECTED)
    assert loaded.failed is (Phase.CROSS_FIELD if production else None)
