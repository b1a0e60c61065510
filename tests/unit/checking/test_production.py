"""Tests of findings that are errors in production only: GS311 to GS411."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from support.configs import source, underlined

from grpcsecure.checking.pipeline import Phase, load_config

CONFIG = """\
version: 1
services: [{servicer: 'greeter:Greeter'}]
server: {reflection: true, error_detail: full}
listeners:
  open: {address: '0.0.0.0:8080', plaintext: true}
  inner: {address: '127.0.0.1:8081', plaintext: true}
  inner6: {address: '[::1]:8081', plaintext: true}
  local: {address: 'localhost:8082', plaintext: true}
  socket: {address: 'unix:/run/s.sock', plaintext: true}
  named: {address: 'greeter.example:8083', plaintext: true}
  claimed: {address: '127.0.0.1:1', tls: {certificate: c, private_key: k,
    client_certificate: request_but_dont_verify}}
  unasked: {address: 'LocalHost:2', tls: {certificate: c, private_key: k,
    client_certificate: dont_request}}
  verified: {address: '127.0.0.1:3', tls: {certificate: c, private_key: k,
    client_certificate: require_and_verify, client_ca: a}}
  optional: {address: '127.0.0.1:4', tls: {certificate: c, private_key: k,
    client_certificate: request_and_verify, client_ca: a}}
  probes: {address: '0.0.0.0:8084', plaintext: true,
    services: [grpc.health.v1.Health]}
  tls_probes: {address: '0.0.0.0:8085', services: [grpc.health.v1.Health], tls: {
    certificate: c, private_key: k, client_certificate: dont_request}}
  more: {address: '0.0.0.0:8086', plaintext: true,
    services: [grpc.health.v1.Health, helloworld.Greeter]}
"""

#: The listeners for health alone have none: probes have no certificate, and no TLS.
LISTENERS = [
    ("GS312", "'0.0.0.0:8080'"),
    ("GS312", "'greeter.example:8083'"),
    ("GS313", "request_but_dont_verify"),
    ("GS313", "dont_request"),
    ("GS312", "'0.0.0.0:8086'"),
]
FULL_DETAIL = ("GS409", "full")
REFLECTION = ("GS311", "true")


def found(policy, *, production):
    """Return the findings for a policy, each with its code and place."""
    text = CONFIG + f"production: {str(production).lower()}\n{policy}\n"
    loaded = load_config(
        source(text),
        profile=None,
        environ={},
        now=datetime.now(timezone.utc),
        last=Phase.CROSS_FIELD,
    )
    is_failed = any(finding.is_error for finding in loaded.findings)
    assert is_failed is production
    assert loaded.failed is (Phase.CROSS_FIELD if production else None)
    assert all(finding.is_error is production for finding in loaded.findings)
    return loaded.findings, [(f.code, underlined(text, f)) for f in loaded.findings]


@pytest.mark.parametrize("production", [False, True])
@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("", [("GS410", "listeners"), REFLECTION]),
        ("authorization: {default: deny}", [REFLECTION]),
        ("authorization: {default: allow}", [("GS411", "allow"), REFLECTION]),
        (
            "authorization: {rules: {r: {allow: [verified], methods: ['*']}}}",
            [REFLECTION],
        ),
        (
            (
                "authorization: {rules: {r: {allow: [anyone],"
                " methods: ['/grpc.reflection.*']}}}"
            ),
            [],
        ),
    ],
)
def test_same_findings_but_errors_in_production(policy, expected, production):
    """A setting too open for production is found in both cases, at its place."""
    _, places = found(policy, production=production)
    assert places == [*expected, FULL_DETAIL, *LISTENERS]


@pytest.mark.parametrize(
    ("profile", "production", "advice"),
    [
        (None, "", "remove it, or move it to a profile that says `production: false`"),
        ("it", "", "remove it, or write `production: false` in the profile `it`"),
        (
            "it",
            "production: true",
            "remove it, or move it to a profile that says `production: false`",
        ),
        (
            "it",
            "production: false",
            "leave it to development: with `production: true` it is an error",
        ),
    ],
)
def test_help_about_error_detail_fits_the_profile(profile, production, advice):
    """The advice of GS409 can be followed where the finding is."""
    loaded = load_config(
        source(f"{CONFIG}profiles: {{it: {{{production}}}}}"),
        profile=profile,
        environ={},
        now=datetime.now(timezone.utc),
        last=Phase.CROSS_FIELD,
    )
    [finding] = [finding for finding in loaded.findings if finding.code == "GS409"]
    assert finding.help == advice


@pytest.mark.parametrize(
    ("policy", "label"),
    [
        ("", "any client can list the services"),
        ("authorization: {default: allow}", "any client can list the services"),
        ("authorization: {default: deny}", "no client may use it"),
        (
            "authorization: {rules: {r: {allow: [verified], methods: ['*']}}}",
            "`r` also allows it",
        ),
    ],
)
def test_finding_about_reflection_says_who_can_use_it(policy, label):
    """The label is about all clients, no client, or a rule that also covers it."""
    findings, _ = found(policy, production=False)
    [finding] = [finding for finding in findings if finding.code == "GS311"]
    assert finding.label == label
