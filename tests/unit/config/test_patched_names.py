"""Names in a profile that the file does not have, and the ones that are meant."""

from __future__ import annotations

import pytest
from support.configs import GOOD, brief, parse

BASE = f"""\
{GOOD}identities:
  batch: {{dns: batch.corp.example}}
authorization:
  rules:
    orders: {{allow: [batch], methods: ["/shop.v1.Orders/*"]}}
    probes: {{allow: [anyone], methods: ["/grpc.health.v1.Health/*"]}}
profiles:
  dev: """


@pytest.mark.parametrize(
    ("patch", "code", "label"),
    [
        ("{listeners: {pubic: {address: 'a:1'}}}", "GS136", "did you mean `public`?"),
        ("{listeners: {pubic: null}}", "GS136", "did you mean `public`?"),
        ("{listeners: {other: null}}", "GS136", "removes nothing"),
        (
            "{listeners: {pubic: {address: 'a:1', plaintext: true}}}",
            "GS137",
            "did you mean `public`?",
        ),
        (
            "{authorization: {rules: {order: {allow: [anyone]}}}}",
            "GS136",
            "did you mean `orders`?",
        ),
        (
            "{authorization: {rules: {probs: null}}}",
            "GS136",
            "did you mean `probes`?",
        ),
        ("{identities: {bacth: {dns: b.example}}}", "GS137", "did you mean `batch`?"),
        ("{server: {thread: null}}", "GS102", "did you mean `threads`?"),
        ("{authorization: {defualt: null}}", "GS102", "did you mean `default`?"),
        ("{listeners: {public: {tsl: null}}}", "GS102", "did you mean `tls`?"),
    ],
)
def test_name_that_the_file_does_not_have(patch, code, label):
    """It is reported at its place in the profile, with the nearest name."""
    findings = parse(f"{BASE}{patch}\n", profile="dev").findings
    assert [(f.code, f.label) for f in findings] == [(code, label)]
    assert brief(findings)[0].startswith("18:")


@pytest.mark.parametrize(
    "patch",
    [
        "{listeners: {public: {tls: {client_ca: null}}}}",
        "{listeners: {probes: {address: 'a:1', plaintext: true}}}",
        "{authorization: {audit_file: null}}",
        "{identities: {web: {dns: web.example}}}",
        "{production: null}",
    ],
)
def test_names_and_keys_that_a_profile_may_have(patch):
    """New names that are not alike, and keys that are absent in the file."""
    parsed = parse(f"{BASE}{patch}\n", profile="dev")
    assert not [one for one in parsed.findings if one.code in {"GS136", "GS137"}]


def test_list_in_a_profile_replaces_the_whole_list():
    """A service without its servicer in a profile has a note on that."""
    text = f"{BASE}{{services: [{{with: {{a: 1}}}}]}}\n"
    (finding,) = parse(text, profile="dev").findings
    assert finding.code == "GS104"
    assert finding.notes == ("a list in a profile replaces the whole list of the file",)
