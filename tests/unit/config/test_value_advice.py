"""Values in another form: the one that is meant."""

from __future__ import annotations

import pytest
from support.configs import patched


def only(patch, environ=None):
    """Return label and help of the only finding."""
    (finding,) = patched(patch, environ).findings
    return finding.label, finding.help


@pytest.mark.parametrize(
    ("written", "label", "meant"),
    [
        ("30", "the unit is missing", "`30s`, `30ms` or `30m`"),
        ("'30'", "the unit is missing", "`30s`, `30ms` or `30m`"),
        ("30 seconds", "", "`30s`"),
        ("5min", "", "`5m`"),
        ("1h30m", "", "`90m`"),
        ("2 hours", "", "`2h`"),
        ("500 millis", "", "`500ms`"),
        ("1 day and 12 h", "", "`36h`"),
        ("soon", "", "a duration such as `30s`, `500ms` or `5m`"),
        ("1.5 weeks", "", "a duration such as `30s`, `500ms` or `5m`"),
    ],
)
def test_duration(written, label, meant):
    """The help has it in one of the units."""
    patch = f"server: {{shutdown_grace: {written}}}"
    assert only(patch) == (label, f"write {meant}")


@pytest.mark.parametrize(
    ("written", "label", "advice"),
    [
        ("shop.orders.Orders", "a `:` goes before the attribute", "shop.orders:Orders"),
        ("src/shop/orders.py:Orders", "a module, and not its file", "src.shop.orders:"),
        ("shop/orders.py", "a module, and not its file", "shop.orders:Servicer"),
        ("Orders", "the module is missing", "module:Orders"),
        ("shop.orders:Orders()", "named here, and not called", "shop.orders:Orders"),
    ],
)
def test_servicer(written, label, advice):
    """It is the path of an attribute."""
    found = only(f"services: [{{servicer: '{written}'}}]")
    assert found[0] == label
    assert found[1].startswith(f"write `{advice}")


@pytest.mark.parametrize(
    ("patch", "label"),
    [
        ("identities: {a: {ip: 10.0.0.0/8}}", "a network"),
        (f"identities: {{a: {{fingerprint: '{'ab' * 20}'}}}}", "as long as SHA-1"),
        (f"identities: {{a: {{public_key: '{'ab' * 32}'}}}}", "`sha256:` is missing"),
        (
            "identities: {a: {dns: a.example#b}}",
            "a comment needs a space before its `#`",
        ),
        (
            "identities: {a: {dns: \u201ca.example\u201d}}",
            "begins with a typographic quote",
        ),
        ("authorization: {default: reject}", "`deny` here"),
        ("server: {runtime: async}", "`asyncio` here"),
        ("listeners: {public: {tls: {engine: openssl}}}", "`bridge` here"),
    ],
)
def test_other_values(patch, label):
    """The label says what is wrong with this one."""
    assert only(patch)[0] == label


def test_value_of_a_variable_is_not_repeated():
    """It may be a secret."""
    patch = "services: [{servicer: '${SECRET}'}]"
    assert "hunter2" not in str(only(patch, {"SECRET": "hunter2.example"}))
