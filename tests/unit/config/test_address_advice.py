"""What is wrong with an address, and which one is probably meant."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.configs import patched

from grpcsecure.config.address_advice import describe_address
from grpcsecure.model.listener import parse_address


@pytest.mark.parametrize(
    ("text", "label", "meant"),
    [
        ("8443", "the host is missing", "0.0.0.0:8443"),
        (":8443", "the host is missing", "0.0.0.0:8443"),
        ("*:8443", "`*` is not a host", "0.0.0.0:8443"),
        ("orders.corp.example", "the port is missing", "orders.corp.example:8443"),
        ("0.0.0.0", "the port is missing", "0.0.0.0:8443"),
        ("localhost:", "the port is missing", "localhost:8443"),
        ("https://0.0.0.0:443/a", "an address has no scheme", "0.0.0.0:443"),
        ("dns:///orders", "an address has no scheme", None),
        ("0.0.0.0:8443/orders", "an address has no path", "0.0.0.0:8443"),
        ("0.0.0.0 8443", "a space in place of a `:`", "0.0.0.0:8443"),
        ("0.0.0.0: 8443", "a space in place of a `:`", "0.0.0.0:8443"),
        ("0.0.0.0:https", "a port is a number", "0.0.0.0:443"),
        ("::1", "an IPv6 address needs brackets", None),
        ("::1:8443", "an IPv6 address needs brackets", "[::1]:8443"),
        (":::8443", "an IPv6 address needs brackets", "[::]:8443"),
        ("[::1]", "the port is missing", "[::1]:8443"),
        ("a:1, b:2", "more than one address", None),
        ("/run/a.sock", "a unix socket begins with `unix:`", "unix:/run/a.sock"),
        ("a:b:c", "more than one `:`", None),
    ],
)
def test_slip_is_described(text, label, meant):
    """The address in the help is one."""
    found = describe_address(text)
    assert found is not None
    assert found[0] == label
    (finding,) = patched(f"listeners: {{public: {{address: '{text}'}}}}").findings
    assert (finding.label, finding.help) == found
    written = re.search(r"`\"?([^`\"]+)\"?`", found[1])
    if meant is not None:
        assert written is not None
        assert written[1] == meant
        parse_address(meant, relative_to=Path())


def test_number_is_described_too():
    """`8443` without quotes is a number."""
    (finding,) = patched("listeners: {public: {address: 8443}}").findings
    assert finding.label == "the host is missing"


def test_address_from_a_variable_is_not_repeated():
    """No message has the value of a variable."""
    patch = "listeners: {public: {address: '${WHERE}'}}"
    (finding,) = patched(patch, {"WHERE": "secret.example"}).findings
    assert "secret" not in f"{finding}"
