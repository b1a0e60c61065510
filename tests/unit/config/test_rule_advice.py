"""Values that are no identity or no method of a rule: which one is meant."""

from __future__ import annotations

import pytest
from support.configs import patched

RULE = (
    "identities: {{web: {{spiffe: 'spiffe://corp.example/web'}}}}\n"
    "authorization: {{rules: {{r: {{allow: {}, methods: {}}}}}}}"
)


def only(allow="[web]", methods="['*']"):
    """Return label and help of the only finding about a rule."""
    (finding,) = patched(RULE.format(allow, methods)).findings
    return finding.label, finding.help


@pytest.mark.parametrize(
    ("allow", "label", "advice"),
    [
        ("['*']", "every client is `anyone`", "write `[anyone]`, or `[verified]`"),
        ("all", "every client is `anyone`", "write `[anyone]`, or `[verified]`"),
        ("authenticated", "`verified` here", "write `[verified]`"),
        (
            "['spiffe://corp.example/web']",
            "the identity `web` has it",
            "write `web`",
        ),
        (
            "['spiffe://corp.example/batch']",
            "a name in a certificate, and not of an identity",
            "define `NAME: {spiffe: …}` under `identities`, and write NAME here",
        ),
        (
            "['CN=batch']",
            "a name in a certificate, and not of an identity",
            "define `NAME: {subject: …}` under `identities`, and write NAME here",
        ),
        (
            "[{dns: batch.corp.example}]",
            "conditions on a certificate",
            "define it with a name under `identities`, and write the name here",
        ),
        ("web", "`web` is text here", "write a list: `[web]`"),
    ],
)
def test_no_identity(allow, label, advice):
    """The help says what to write in its place."""
    found = only(allow=allow)
    assert found[0] == label
    assert found[1].startswith(advice)


@pytest.mark.parametrize(
    ("method", "label", "advice"),
    [
        ("shop.v1.Orders/*", "the first `/` is missing", "write `/shop.v1.Orders/*`"),
        (
            "/shop.v1.Orders.Place",
            "a `.` before the method",
            "write `/shop.v1.Orders/Place`",
        ),
        (
            "shop.v1.Orders",
            "a service without a method",
            "write `/shop.v1.Orders/*` for all its methods",
        ),
        (
            "/shop.v1.Orders/",
            "a service without a method",
            "write `/shop.v1.Orders/*` for all its methods",
        ),
        (
            "Place",
            "a method without its service",
            "write `/package.Service/Place`",
        ),
        (
            "/shop.*/Place*",
            "a `*` in the middle",
            "write one `*`, at the end or at the beginning",
        ),
    ],
)
def test_no_method(method, label, advice):
    """The help has the method that is meant."""
    assert only(methods=f"['{method}']") == (label, advice)
