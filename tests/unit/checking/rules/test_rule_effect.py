"""Tests of rules for probes, which no probe may reach: GS330."""

from __future__ import annotations

import pytest
from support.configs import underlined
from support.policy_checks import check, rules

from grpcsecure.checking.rules.rule_effect import PROBE_LISTENER

#: The listener, its settings beside its address, and what it says of itself.
PUBLIC = """\
version: 1
services: [{servicer: 'helloworld.greeter:Greeter'}]
listeners:
  public: {address: '0.0.0.0:1', tls: {certificate: c, private_key: k,
    client_certificate: %s}}
"""
VERIFYING = PUBLIC % "require_and_verify, client_ca: a"
PROBES = "  probes: {address: '0.0.0.0:2', services: [grpc.health.v1.Health], %s}\n"
PLAIN = PROBES % "plaintext: true"

HEALTH = "methods: ['/grpc.health.v1.Health/*']"
ANYONE = f"probes: {{allow: [verified, anyone], {HEALTH}}}"


def about_health(policy, listeners):
    """Return the findings GS330 about a policy, and the text of the config."""
    findings, text = check(policy, listeners=listeners)
    return [finding for finding in findings if finding.code == "GS330"], text


@pytest.mark.parametrize(
    ("mode", "instead"),
    [
        ("require_and_verify, client_ca: a", "verified"),
        ("require_but_dont_verify, client_ca: a", "verified"),
        ("require_but_dont_verify", "presented"),
    ],
)
def test_health_for_anyone_behind_a_required_certificate(mode, instead):
    """The finding is at `anyone`, and says what to do with and without probes."""
    [finding], text = about_health(rules(ANYONE), PUBLIC % mode)
    assert finding.message == (
        "rule `probes` lets anyone ask for health, but its listeners refuse clients"
        " without a certificate"
    )
    assert underlined(text, finding) == "anyone"
    assert [label.text for label in finding.secondary] == [
        "refuses clients without a certificate"
    ]
    assert finding.help == (
        "for probes, add a plaintext listener with `services: [grpc.health.v1.Health]`;"
        f" without them, allow `{instead}`"
    )
    assert not finding.is_error


@pytest.mark.parametrize("mode", ["dont_request", "request_but_dont_verify"])
def test_probes_with_tls_pass_where_no_certificate_is_required(mode):
    """Kubernetes' probe in `mode: TLS` has no certificate, and needs none here."""
    assert about_health(rules(ANYONE), PUBLIC % mode)[0] == []


@pytest.mark.parametrize(
    ("policy", "listeners"),
    [
        pytest.param(rules(ANYONE), VERIFYING + PLAIN, id="another-listener"),
        pytest.param(
            rules(ANYONE),
            VERIFYING + PLAIN.replace("0.0.0.0", "127.0.0.1"),
            id="a-probe-in-the-container",
        ),
        pytest.param(
            rules(
                f"inside: {{allow: [anyone], {HEALTH}, listeners: [public]}}",
                f"outside: {{allow: [anyone], {HEALTH}, listeners: [probes]}}",
            ),
            VERIFYING + PLAIN,
            id="another-rule",
        ),
        pytest.param(
            rules(f"health: {{allow: [verified], {HEALTH}}}"),
            VERIFYING,
            id="not-for-probes",
        ),
        pytest.param(
            rules("all: {allow: [anyone], methods: ['*']}"),
            VERIFYING,
            id="every-method",
        ),
        pytest.param(
            rules(f"never: {{deny: [anyone], {HEALTH}}}"), VERIFYING, id="deny"
        ),
        pytest.param(
            rules(f"later: {{allow: [anyone], {HEALTH}, enforce: false}}"),
            VERIFYING,
            id="shadow-rule",
        ),
        pytest.param(
            rules(ANYONE).replace("rules:", "default: allow\n  rules:"),
            VERIFYING,
            id="open-by-default",
        ),
        pytest.param("", VERIFYING, id="no-rules"),
    ],
)
def test_no_finding(policy, listeners):
    """Where a probe passes, or the rules mean none, there is nothing to report."""
    assert about_health(policy, listeners)[0] == []


def test_anonymous_is_told_about_the_listener_for_probes():
    """`anonymous` can never ask for health there: an error, with the same advice."""
    policy = rules(f"probes: {{allow: [anonymous], {HEALTH}}}")
    findings, _ = check(policy, listeners=VERIFYING)
    assert [(finding.code, finding.help) for finding in findings] == [
        (
            "GS402",
            PROBE_LISTENER,
        )
    ]
