"""Configs with identities and rules, and the findings about them."""

from __future__ import annotations

from datetime import datetime, timezone

from support.configs import FOLDER, underlined

from grpcsecure.checking.pipeline import Phase, load_config
from grpcsecure.config.source import Source

NOW = datetime.now(timezone.utc)

#: Listeners named by the state that they give to a client's certificate.
LISTENERS = """\
version: 1
services: [{servicer: 'helloworld.greeter:Greeter'}]
listeners:
  verified: {address: '127.0.0.1:1', tls: {certificate: c, private_key: k,
    client_certificate: require_and_verify, client_ca: a}}
  optional: {address: '127.0.0.1:2', tls: {certificate: c, private_key: k,
    client_certificate: request_and_verify, client_ca: a}}
  checked: {address: '127.0.0.1:3', tls: {certificate: c, private_key: k,
    client_certificate: request_but_dont_verify, client_ca: a}}
  claimed: {address: '127.0.0.1:4', tls: {certificate: c, private_key: k,
    client_certificate: require_but_dont_verify}}
  unasked: {address: '127.0.0.1:5', tls: {certificate: c, private_key: k,
    client_certificate: dont_request}}
  plain: {address: '127.0.0.1:6', plaintext: true, services: [grpc.health.v1.Health]}
"""

#: Findings about those listeners that do not depend on the rules.
_OTHER = ("GS312", "GS313")


def load(text, *, folder=FOLDER, last=Phase.CROSS_FIELD, now=NOW, environ=None):
    """Load a config from text."""
    return load_config(
        Source("server.yaml", folder, text),
        profile=None,
        environ=environ or {},
        now=now,
        last=last,
    )


def check(policy, *, listeners=LISTENERS, **options):
    """Return the findings about identities and rules of `policy`, and the text."""
    text = listeners + policy
    loaded = load(text, **options)
    assert loaded.document is not None, [f.message for f in loaded.findings]
    return [f for f in loaded.findings if f.code not in _OTHER], text


def places(policy, **options):
    """Return each finding as its code and the text that it underlines."""
    findings, text = check(policy, **options)
    return [(finding.code, underlined(text, finding)) for finding in findings]


def rules(*lines, identities=""):
    """Return the YAML of rules, one per line, after that of identities."""
    body = "".join(f"    {line}\n" for line in lines)
    return f"{identities}authorization:\n  rules:\n{body}"
