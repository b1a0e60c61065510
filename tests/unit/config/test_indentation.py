"""Blocks at the wrong indentation: one finding each, and the rest is checked."""

from __future__ import annotations

import pytest
from support.configs import GOOD, brief, parse

TLS = GOOD[GOOD.index("    tls:") :]


def _dedented(text, count):
    return "".join(f"{line[count:]}\n" for line in text.splitlines())


SERVICE = "services:\n  - servicer: greeter:Greeter\n"
RULES = """\
authorization:
  rules:
    a:
      allow: [anyone]
      methods: ["*"]
"""


@pytest.mark.parametrize(
    ("text", "finding", "help_"),
    [
        (
            GOOD.replace(TLS, _dedented(TLS, 2)),
            "7:3 GS102 `tls` is at the level of the names in `listeners`",
            "indent it like the keys of `public`",
        ),
        (
            GOOD.replace(TLS, _dedented(TLS, 4)),
            "7:1 GS102 unknown key `tls` at the top level",
            "indent it under `public` of `listeners`",
        ),
        (
            GOOD.replace("      ", "    "),
            "8:5 GS102 `certificate` is not indented under `tls`",
            (
                "indent it further than `tls:`, and likewise `private_key`,"
                " `client_certificate`"
            ),
        ),
        (
            GOOD.replace("      certificate:", "    certificate:", 1).replace(
                "    tls:\n    certificate: certs/server.pem\n",
                "    tls:\n",
            )
            + "    certificate: certs/server.pem\n",
            "10:5 GS102 unknown key `certificate` in `listeners.public`",
            "indent it under `tls`",
        ),
        (
            GOOD.replace("  public:\n", "").replace("    ", "  "),
            "5:3 GS102 `address` is not below a name in `listeners`",
            "write a name above it, such as `public:`, and indent these keys further",
        ),
        (
            GOOD.replace("\n  ", "\n").replace("services:\n- ", "services:\n  - "),
            "5:1 GS102 `public` is not indented under `listeners`",
            "indent it further than `listeners:`",
        ),
        (
            GOOD.replace(SERVICE, f"{SERVICE}    with:\n    greeting: Hi\n"),
            "5:5 GS102 `greeting` is not indented under `with`",
            "indent it further than `with:`",
        ),
        (
            GOOD + RULES.replace("      ", "    "),
            "14:5 GS102 `allow` is not indented under `a`",
            "indent it further than `a:`, and likewise `methods`",
        ),
        (
            GOOD + RULES + '  b:\n    allow: [anyone]\n    methods: ["*"]\n',
            "16:3 GS102 unknown key `b` in `authorization`",
            "indent it under `rules`",
        ),
        (
            GOOD + RULES.replace("\n  ", "\n"),
            "12:1 GS102 `rules` is not indented under `authorization`",
            "indent it further than `authorization:`",
        ),
        (
            GOOD + "dev:\n  server: {threads: 8}\n",
            "11:1 GS102 unknown key `dev` at the top level",
            "indent it under `profiles`",
        ),
        (
            GOOD + "threads: 8\nserver: {reflection: true}\n",
            "11:1 GS102 unknown key `threads` at the top level",
            "indent it under `server`",
        ),
    ],
)
def test_block_at_the_wrong_indentation_is_one_finding(text, finding, help_):
    """It says where the block belongs."""
    findings = parse(text).findings
    assert brief(findings) == [finding]
    assert findings[0].help == help_


def test_other_mistakes_are_reported_too():
    """The block is checked as if it were where it belongs."""
    text = GOOD.replace(TLS, _dedented(TLS, 2)).replace("private_key", "privat_key")
    assert brief(parse(text).findings) == [
        "7:3 GS102 `tls` is at the level of the names in `listeners`",
        "9:5 GS102 unknown key `privat_key` in `listeners.public.tls`",
    ]


def test_listener_may_be_called_tls():
    """A name is free, if the keys of a listener are below it."""
    assert parse(GOOD.replace("public", "tls")).document is not None
    assert brief(parse(GOOD.replace("public", "tls") + "x: 1\n").findings) == [
        "11:1 GS102 unknown key `x` at the top level"
    ]
