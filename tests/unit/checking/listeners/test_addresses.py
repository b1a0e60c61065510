"""Tests of findings about the addresses of listeners: GS305 and GS306."""

from __future__ import annotations

import pytest
from support.configs import brief, parse, underlined

from grpcsecure.checking.listeners.addresses import check_addresses

CONFIG = """\
version: 1
services: [{{servicer: 'greeter:Greeter'}}]
listeners:
  a: {{address: '{0}', plaintext: true}}
  b: {{address: '{1}', plaintext: true}}
"""


def found(one, other):
    """Return the text of a config with two addresses, and the findings about them."""
    text = CONFIG.format(one, other)
    document = parse(text).document
    assert document is not None
    return text, list(check_addresses(document))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("127.0.0.1:8443", "127.0.0.1:8443"),
        ("127.0.0.1:8443", "0.0.0.0:8443"),
        ("0.0.0.0:8443", "127.0.0.1:8443"),
        ("[::]:8443", "127.0.0.1:8443"),
        ("0.0.0.0:8443", "[::1]:8443"),
        ("0.0.0.0:8443", "[::]:8443"),
        ("[0:0::0]:8443", "[::1]:8443"),
        ("[::1]:8443", "[0:0:0:0:0:0:0:1]:8443"),
        ("localhost:8443", "LocalHost:8443"),
        ("localhost:8443", "127.0.0.1:8443"),
        ("127.0.0.1:8443", "LocalHost:8443"),
        ("localhost:8443", "[0::1]:8443"),
        ("[::1]:8443", "localhost:8443"),
        ("0.0.0.0:8443", "localhost:8443"),
        ("127.0.0.1:8443", "[::ffff:127.0.0.1]:8443"),
        ("[::ffff:7f00:1]:8443", "localhost:8443"),
        ("127.1:8443", "127.0.0.1:8443"),
        ("0x7f.1:8443", "localhost:8443"),
        ("0:8443", "127.0.0.1:8443"),
        ("[::ffff:0.0.0.0]:8443", "[::1]:8443"),
        ("[::1%lo]:8443", "[::1]:8443"),
        ("a.example:8443", "A.example:8443"),
        ("unix:/run/a.sock", "unix:/run/a.sock"),
    ],
)
def test_shared_address_is_an_error_at_the_later_listener(one, other):
    """Only one listener can have an address; a wildcard has those of both families."""
    text, findings = found(one, other)
    assert brief(findings) == [
        f"5:16 GS305 `a` and `b` both listen on {_shown(text, findings)}"
    ]
    (finding,) = findings
    assert underlined(text, finding) == f"'{other}'"
    assert finding.label == "taken by `a`"
    assert finding.secondary[0].span.line == 4


def _shown(text, findings):
    """Return the address in the message, as the later listener spells it."""
    return parse(text).document.config.listeners[1].address


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("127.0.0.1:8443", "127.0.0.1:8444"),
        ("127.0.0.1:8443", "[::1]:8443"),
        ("127.0.0.1:8443", "127.0.0.2:8443"),
        ("localhost:8443", "127.0.0.1:8444"),
        ("localhost:8443", "127.0.0.2:8443"),
        ("localhost:8443", "a.example:8443"),
        ("[fe80::1%lo]:8443", "[fe80::1%eth0]:8443"),
        ("localhost:0", "127.0.0.1:0"),
        ("127.0.0.1:0", "127.0.0.1:0"),
        ("0.0.0.0:0", "[::]:0"),
        ("unix:/run/a.sock", "unix:/run/b.sock"),
        ("unix:/run/a.sock", "0.0.0.0:8443"),
    ],
)
def test_different_addresses_are_fine(one, other):
    """Another port, address, family or path is free; so are several ports 0."""
    assert found(one, other)[1] == []


def test_each_taken_address_is_reported_once():
    """A third listener conflicts with the first, not with the first and the second."""
    text = CONFIG.format("127.0.0.1:1", "127.0.0.1:1") + (
        "  c: {address: '127.0.0.1:1', plaintext: true}\n"
    )
    document = parse(text).document
    assert brief(check_addresses(document)) == [
        "5:16 GS305 `a` and `b` both listen on 127.0.0.1:1",
        "6:16 GS305 `a` and `c` both listen on 127.0.0.1:1",
    ]


class TestSocketPath:
    """The kernel allows 107 bytes for the path of a socket."""

    def test_longest_path_is_fine(self):
        """A path of 107 bytes can be bound."""
        path = "/run/" + "x" * 102
        assert len(path) == 107
        assert found(f"unix:{path}", "127.0.0.1:1")[1] == []

    def test_longer_path_is_an_error(self):
        """A path of 108 bytes is refused; the message has its length."""
        _, findings = found("unix:/run/" + "x" * 103, "127.0.0.1:1")
        assert brief(findings) == [
            "4:16 GS306 the socket path of `a` has 108 bytes, at most 107 are allowed"
        ]

    def test_bytes_count_not_characters(self):
        """Characters beyond ASCII take two or more bytes."""
        _, findings = found("unix:/run/" + "ü" * 52, "127.0.0.1:1")
        assert brief(findings) == [
            "4:16 GS306 the socket path of `a` has 109 bytes, at most 107 are allowed"
        ]

    def test_relative_path_counts_from_the_root(self):
        """The bound path is absolute, from the directory of the config file."""
        _, findings = found("unix:" + "x" * 100, "127.0.0.1:1")
        assert [finding.code for finding in findings] == ["GS306"]
