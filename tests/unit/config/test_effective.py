"""Tests of `--print-config`: complete, marked, readable again, without secrets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support.configs import FOLDER, GOOD, JSON, brief, parse

from grpcsecure.config.effective import render_effective
from grpcsecure.config.load import parse_config
from grpcsecure.config.source import Source
from grpcsecure.config.tree import plain

if TYPE_CHECKING:
    from grpcsecure.config.document import Document


def document(text: str, profile: str | None = None, **environ: str) -> Document:
    """Return the document of a config without mistakes."""
    parsed = parse(text, profile=profile, environ=environ)
    assert brief(parsed.findings) == []
    assert parsed.document is not None
    return parsed.document


def again(text: str) -> Document:
    """Parse the rendered text, with the same base directory."""
    parsed = parse_config(Source("again", FOLDER, text), profile=None, environ={})
    assert brief(parsed.findings) == []
    assert parsed.document is not None
    return parsed.document


def test_screen():
    """The output has every value in effect, and marks the defaults."""
    text = GOOD + (
        "server: {import_paths: [../src], channel_options: {grpc.a: 1}}\n"
        "profiles: {dev: {server: {reflection: true}}}\n"
    )
    assert (
        render_effective(document(text, "dev"))
        == """\
# effective config of server.yaml, profile dev
version: 1
production: false  # default
services:
  - servicer: greeter:Greeter
server:
  runtime: auto  # default
  threads: 16  # default
  switch_interval: 500us  # default
  shutdown_grace: 30s  # default
  drain_delay: 0s  # default
  import_paths:
    - ../src
  reflection: true
  health: true  # default
  channel_options:
    grpc.a: 1
  error_detail: none  # default
listeners:
  public:
    address: 127.0.0.1:8443
    tls:
      certificate: certs/server.pem
      private_key: certs/server.key
      client_certificate: dont_request
      min_version: TLSv1.2  # default
      engine: auto  # default
      handshake_timeout: 10s  # default
    plaintext: false  # default
# no authorization: every call is allowed
reload:  # default
  interval: 10s  # default
  events: true  # default
logging:  # default
  format: text  # default
  level: info  # default
"""
    )


def test_policy_is_shown_with_its_defaults():
    """Rules and tests are shown as written, with defaults and nothing else."""
    text = GOOD + (
        "identities: {a: [{dns: '*.x'}, {ip: '::1'}]}\n"
        "authorization:\n"
        "  rules: {r: {allow: [a], methods: ['*'], metadata: {x-a: [b]}}}\n"
        "  tests: [{as: anonymous, call: /a.B/C, expect: deny, metadata: {x: y}}]\n"
    )
    rendered = render_effective(document(text))
    assert rendered.endswith("""\
identities:
  a:
    - dns: "*.x"
    - ip: "::1"
authorization:
  default: deny  # default
  rules:
    r:
      allow:
        - a
      methods:
        - "*"
      metadata:
        x-a:
          - b
      enforce: true  # default
  audit: denials  # default
  audit_format: json  # default
  tests:
    - as: anonymous
      call: /a.B/C
      expect: deny
      metadata:
        x: y
reload:  # default
  interval: 10s  # default
  events: true  # default
logging:  # default
  format: text  # default
  level: info  # default
""")
    assert again(rendered).config == document(text).config


def test_block_of_defaults_is_marked_as_a_whole():
    """The defaults of an absent `server` block are shown and marked."""
    assert "\nserver:  # default\n  runtime: auto  # default\n" in render_effective(
        document(GOOD)
    )


def with_(arguments: str) -> str:
    """Return the good config with keyword arguments for its servicer."""
    return GOOD.replace(
        "greeter:Greeter\n", f"greeter:Greeter\n    with: {arguments}\n"
    )


def test_reads_back_as_the_same_config():
    """If nothing is redacted, the output parses to the same config."""
    text = with_(
        "{a: ['1', 'true', 'off', '1:30', ~, 1.0e+300, {}, [], ''],"
        " b: {c: 'x: y', d: ' # e', f: '- g', h: \"i\\n\\t\\0\\u2028\\U0001F600\"},"
        " j: '$$ $${K} %', l: '-----', m: [[1], [{n: [o]}]]}"
    )
    first = document(text)
    second = again(render_effective(first))
    assert second.config == first.config
    assert plain(second.tree)["services"] == plain(first.tree)["services"]


@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), JSON))
def test_any_arguments_read_back_as_the_same(arguments):
    """Any keyword arguments of a servicer survive the round trip."""
    text = json.dumps(arguments).replace("$", "$$")
    parsed = parse(with_(text))
    assume(parsed.document is not None)
    assert parsed.document is not None
    rendered = render_effective(parsed.document)
    assume("<redacted>" not in rendered)
    assert again(rendered).config == parsed.document.config
    assert all(line.isprintable() for line in rendered.split("\n"))


PEM = "-----BEGIN PRIVATE KEY----- MIIEsecret"


@pytest.mark.parametrize(
    "arguments",
    [
        "{greeting: '${X}'}",
        "{greeting: ['x', 'a ${X} b']}",
        "{greeting: {deep: [{er: '${X}'}]}}",
        "{password: hunter2}",
        "{db_password: hunter2}",
        "{API_KEY: hunter2}",
        "{key: hunter2}",
        "{accessToken: hunter2}",
        "{client_secret: {value: [hunter2]}}",
        "{credentials: [hunter2]}",
        "{auth: {user: hunter2}}",
        "{database_url: 'postgres://u:hunter2@db'}",
        "{db_pwd: hunter2}",
        "{database_uri: hunter2}",
        "{databaseUrl: hunter2}",
        "{greeting: ['see postgres://u:hunter2@db/x']}",
        "{greeting: 'redis://:hunter2@db'}",
        "{greeting: 'mysql://u:/hunter2@db'}",
        "{greeting: {'postgres://u:hunter2@db': 1}}",
        f"{{greeting: '{PEM} hunter2'}}",
        f"{{greeting: {{'{PEM} hunter2': 1}}}}",
    ],
)
def test_possible_secret_is_redacted(arguments):
    """A value is redacted because of its origin, its key's name or its form."""
    rendered = render_effective(document(with_(arguments), X="hunter2"))
    assert "hunter2" not in rendered
    assert "secret" not in rendered.replace("client_secret", "")
    assert '"<redacted>"' in rendered


def test_metadata_from_a_variable_is_redacted():
    """Metadata of rules and tests is redacted only if it came from a variable."""
    text = GOOD + (
        "authorization:\n"
        "  rules: {r: {allow: [anyone], methods: ['*'],"
        " metadata: {x-api-key: ['${X}', a], x-env: [b]}}}\n"
        "  tests: [{as: anonymous, call: /a.B/C, expect: deny,"
        " metadata: {x-api-key: 'is ${X}', x-env: c}}]\n"
    )
    rendered = render_effective(document(text, X="hunter2"))
    assert "hunter2" not in rendered
    rules, _, tests = rendered.partition("  tests:\n")
    assert (
        '        x-api-key:\n          - "<redacted>"\n          - a\n'
        "        x-env:\n          - b\n"
    ) in rules
    assert '        x-api-key: "<redacted>"\n        x-env: c\n' in tests


def test_default_of_a_variable_is_shown():
    """The default of a variable is written in the file, so it is not a secret."""
    rendered = render_effective(document(with_("{greeting: '${NO:-Hello}'}")))
    assert "greeting: Hello\n" in rendered


def test_variables_elsewhere_are_shown():
    """An address from a variable is not a secret; `--print-config` shows it."""
    text = GOOD.replace("127.0.0.1:8443", "127.0.0.1:${PORT}")
    assert "address: 127.0.0.1:9000\n" in render_effective(document(text, PORT="9000"))


def test_pem_is_redacted_anywhere():
    """PEM text is redacted even under a key that takes any text."""
    text = GOOD + f"server: {{channel_options: {{grpc.x: '{PEM}'}}}}\n"
    assert "MIIE" not in render_effective(document(text))


def test_url_with_a_password_is_redacted_anywhere():
    """A URL is redacted under any key if it has a password, and shown otherwise."""
    option = "server: {{channel_options: {{grpc.http_proxy: 'http://{}proxy:80/@'}}}}\n"
    shown, hidden = (
        render_effective(document(GOOD + option.format(user)))
        for user in ("u@", "u:hunter2@")
    )
    assert "grpc.http_proxy: http://u@proxy:80/@\n" in shown
    assert 'grpc.http_proxy: "<redacted>"' in hidden


def test_name_of_the_file_cannot_break_out_of_the_comment():
    """Line breaks in the file name are replaced."""
    parsed = parse_config(
        Source("a\nversion: 2", FOLDER, GOOD), profile=None, environ={}
    )
    assert parsed.document is not None
    assert render_effective(parsed.document).startswith(
        "# effective config of a?version: 2\n"
    )
