"""Tests of findings for schema errors: one for each mistake, at its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.configs import GOOD, brief, parse, patched, underlined

from grpcsecure.config.schema_file import load_schema

if TYPE_CHECKING:
    from grpcsecure.diagnostics.findings import Finding

#: Places are those of the patch, which begins at line 13, column 5.
CASES = [
    # unknown, missing, misplaced and misspelled keys
    ("server: {thread: 8}", ["13:14 GS102 unknown key `thread` in `server`"]),
    ("servers: {}", ["13:5 GS102 unknown key `servers` at the top level"]),
    ("listeners: {public: {tls: {certificate: null}}}",
     ["7:5 GS104 missing key `certificate` in `listeners.public.tls`"]),
    ("listeners: {public: {address: null, adress: 'a:1'}}",
     ["13:41 GS102 unknown key `adress` in `listeners.public`"]),
    ("services: [{}]", ["13:16 GS104 missing key `servicer` in `services[0]`"]),
    ("listeners: {b: {}}",
     ["13:17 GS104 missing key `address` in `listeners.b`",
      "13:17 GS127 the listener `b` has neither `tls` nor `plaintext: true`"]),
    ("listeners: {public: {tls: null, plaintxt: true}}",
     ["13:37 GS102 unknown key `plaintxt` in `listeners.public`"]),
    ("authorization: {rules: {r: {alow: [anyone], methods: ['*']}}}",
     ["13:33 GS102 unknown key `alow` in `authorization.rules.r`"]),
    ("authorization: {rules: {r: {dney: [anyone], methods: ['*']}}}",
     ["13:33 GS102 unknown key `dney` in `authorization.rules.r`"]),
    ("authorization: {rules: {r: {methods: ['*']}}}",
     ["13:29 GS104 the rule `r` has neither `allow` nor `deny`"]),
    ("authorization: {rules: {r: {allow: [a], deny: [b], methods: ['*']}}}",
     ["13:45 GS133 the rule `r` has both `allow` and `deny`"]),
    # types
    ("listeners: {public: {tls: null, plaintext: 'true'}}",
     [("13:48 GS105 `listeners.public.plaintext` is text; `true` or `false` is"
       " expected")]),
    ("server: []", ["13:5 GS105 `server` is a list; a mapping is expected"]),
    ("server: {threads: '16'}",
     ["13:23 GS105 `server.threads` is text; a whole number is expected"]),
    ("server: {threads: 1.5}",
     ["13:23 GS105 `server.threads` is a number; a whole number is expected"]),
    ("server: {health: 1}",
     ["13:22 GS105 `server.health` is a number; `true` or `false` is expected"]),
    ("server: {shutdown_grace: 30}",
     [("13:30 GS105 `server.shutdown_grace` is a number; a duration such as `30s`,"
       " `500ms` or `5m` is expected")]),
    ("listeners: {public: {tls: {min_version: 1.2}}}",
     ["13:45 GS105 `listeners.public.tls.min_version` is a number; text is expected"]),
    ("listeners: {public: {address: 8443}}",
     [("13:35 GS105 `listeners.public.address` is a number; `host:port`,"
       " `[ipv6]:port` or `unix:/path` is expected")]),
    ("services: greeter:Greeter",
     ["13:15 GS105 `services` is text; a list is expected"]),
    ("services: [x]", ["13:16 GS105 `services[0]` is text; a mapping is expected"]),
    ("services: [[]]", ["13:16 GS105 `services[0]` is a list; a mapping is expected"]),
    ("production: 'true'",
     ["13:17 GS105 `production` is text; `true` or `false` is expected"]),
    # values
    ("server: {runtime: asyncoi}",
     ["13:23 GS107 unknown value `asyncoi` for `server.runtime`"]),
    ("listeners: {public: {tls: {client_certificate: none}}}",
     [("13:52 GS107 unknown value `none` for"
       " `listeners.public.tls.client_certificate`")]),
    ("server: {shutdown_grace: 30 s}",
     ["13:30 GS106 invalid value `30 s` for `server.shutdown_grace`"]),
    ("server: {shutdown_grace: 367d}",
     ["13:30 GS106 invalid value `367d` for `server.shutdown_grace`"]),
    ("server: {switch_interval: 0.0s}",
     ["13:31 GS106 invalid value `0.0s` for `server.switch_interval`"]),
    ("server: {threads: 0}", ["13:23 GS106 invalid value `0` for `server.threads`"]),
    ("server: {threads: 99999}",
     ["13:23 GS106 invalid value `99999` for `server.threads`"]),
    ("listeners: {public: {address: localhost}}",
     ["13:35 GS106 invalid value `localhost` for `listeners.public.address`"]),
    ("listeners: {public: {address: 'localhost:70000'}}",
     ["13:35 GS106 invalid value `localhost:70000` for `listeners.public.address`"]),
    ("listeners: {public: {address: '[1.2.3.4]:1'}}",
     ["13:35 GS106 invalid value `[1.2.3.4]:1` for `listeners.public.address`"]),
    ("services: [{servicer: greeter}]",
     ["13:27 GS106 invalid value `greeter` for `services[0].servicer`"]),
    ("services: [{servicer: 'a:b-c'}]",
     ["13:27 GS106 invalid value `a:b-c` for `services[0].servicer`"]),
    ("listeners: {public: {tls: {certificate: ''}}}",
     ['13:45 GS106 invalid value `""` for `listeners.public.tls.certificate`']),
    # lists and mappings
    ("services: []", ["13:5 GS112 `services` is empty"]),
    ("listeners: {public: {services: []}}",
     ["13:26 GS112 `listeners.public.services` is empty"]),
    ("server: {import_paths: [a, b, a, a]}",
     ["13:35 GS113 `a` is twice in `server.import_paths`",
      "13:38 GS113 `a` is twice in `server.import_paths`"]),
    # names
    ("listeners: {a b: {address: 'a:1', plaintext: true}}",
     ["13:17 GS129 the name `a b` in `listeners` is not allowed"]),
    ("services: [{servicer: 'a:B', with: {a-b: 1}}]",
     ["13:41 GS129 the name `a-b` in `services[0].with` is not allowed"]),
    ("server: {channel_options: {a b: 1}}",
     ["13:32 GS129 the name `a b` in `server.channel_options` is not allowed"]),
    # mutually exclusive keys, and reserved options
    ("listeners: {public: {plaintext: true}}",
     ["13:26 GS127 the listener `public` has both `tls` and `plaintext: true`"]),
    ("listeners: {public: {tls: null}}",
     ["5:3 GS127 the listener `public` has neither `tls` nor `plaintext: true`"]),
    ("listeners: {public: {tls: null, plaintext: false}}",
     ["5:3 GS127 the listener `public` has neither `tls` nor `plaintext: true`"]),
    ("listeners: {public: {tls: {private_key: null, certificates: [{}]}}}",
     ["13:51 GS248 the listener `public` has `certificates` beside `certificate`",
      *(f"13:66 GS104 missing key `{key}` in `listeners.public.tls.certificates[0]`"
        for key in ("certificate", "private_key"))]),
    ("server: {channel_options: {grpc.so_reuseport: 0}}",
     ["13:32 GS130 the channel option `grpc.so_reuseport` cannot be set"]),
    ("server: {channel_options: {grpc.server_handshake_timeout_ms: 1}}",
     [("13:32 GS130 the channel option `grpc.server_handshake_timeout_ms` cannot be"
       " set")]),
    ("server: {channel_options: {a: 2147483648}}",
     ["13:35 GS106 invalid value `2147483648` for `server.channel_options.a`"]),
    ("server: {channel_options: {a: true}}",
     [("13:35 GS105 `server.channel_options.a` is a boolean; a whole number or text is"
       " expected")]),
    ("reload: {nonsense: true}",
     ["13:14 GS102 unknown key `nonsense` in `reload`"]),
    ("listeners: {public: {max_connection_age: 0s}}",
     ["13:46 GS106 invalid value `0s` for `listeners.public.max_connection_age`"]),
]  # fmt: skip

# GOOD has ten lines, then come `profiles:` and `it:`; patches begin at line 13.
assert GOOD.count("\n") == 10


@pytest.mark.parametrize(("patch", "expected"), CASES, ids=lambda x: str(x)[:30])
def test_mistake_is_one_finding_at_its_place(patch, expected):
    """Code, line, column and message are exact."""
    parsed = patched(patch)
    assert brief(parsed.findings) == expected
    assert parsed.failed == "schema"
    assert parsed.document is None


@pytest.mark.parametrize(
    "patch",
    [
        "server: {error_detail: none}",
        "listeners: {public: {plaintext: false}}",
        "listeners: {public: {address: '[::1]:0'}}",
        "listeners: {public: {address: 'unix:run/greeter.sock'}}",
        (
            "listeners: {public: {tls: {client_certificate:"
            " GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE}}}"
        ),
        "listeners: {public: {tls: {engine: bridge, min_version: TLSv1.3}}}",
        "listeners: {public: {tls: {client_certificate: require_but_dont_verify}}}",
        "server: {channel_options: {grpc.max_receive_message_length: -1, a: b}}",
        "server: {threads: 16.0}",
        "services: [{servicer: 'a.b:C.d', with: {x: {y: [1, null]}}, register: 'a:b'}]",
        "production: true",
    ],
)
def test_valid_value_has_no_finding(patch):
    """Unusual but valid values have no finding."""
    assert brief(patched(patch).findings) == []


def one(patch: str, **environ: str) -> Finding:
    """Return the only finding for a patch."""
    [finding] = patched(patch, environ).findings
    return finding


def test_screen_of_an_unknown_key():
    """An unknown key is shown with message, label and help."""
    text = (
        "version: 1\n"
        "services:\n"
        "  - servicer: greeter:Greeter\n"
        "listeners:\n"
        "  public:\n"
        "    address: 127.0.0.1:8443\n"
        "    # TLS\n\n\n"
        "    tls:\n"
        "      certificate: certs/server.pem\n"
        "      private_key: certs/server.key\n"
        "      client_certificate: dont_request\n"
        "      min_verison: TLSv1.2\n"
    )
    [finding] = parse(text).findings
    assert finding.code == "GS102"
    assert finding.message == "unknown key `min_verison` in `listeners.public.tls`"
    assert brief([finding])[0].startswith("14:7 ")
    assert underlined(text, finding) == "min_verison"
    assert finding.label == "did you mean `min_version`?"
    assert finding.help == (
        "valid keys: certificate, certificates, ciphers, client_ca, client_certificate,"
        " …"
    )


@pytest.mark.parametrize(
    ("patch", "label", "advice"),
    [
        ("server: {xyz: 1}", "not a valid key here",
         ("valid keys: channel_options, compression, drain_delay, error_detail,"
          " health, import_paths, interceptors, keepalive, max_concurrent_rpcs,"
          " max_receive_message_size, max_send_message_size, reflection, runtime,"
          " shutdown_grace,"
          " switch_interval, threads")),
        ("reflection: true", "belongs in `server`", None),
        ("listeners: {public: {certificate: x}}", "belongs in `listeners.public.tls`",
         ("valid keys: address, limits, max_connection_age, max_connection_age_grace,"
          " plaintext, …")),
        ("listeners: {address: 'a:1'}", "belongs in `listeners.public`",
         "indent it like the keys of `public`"),
        ("services: [greeter:Greeter]", "`greeter:Greeter` is text here",
         "write `servicer: greeter:Greeter`"),
        ("services: {servicer: a:B}", "",
         "write `- ` before the first key of each service"),
        ("services: greeter:Greeter", "`greeter:Greeter` is text here",
         "write `- servicer: greeter:Greeter` under it"),
        ("listeners: [{address: 'a:1'}]", "",
         "write each with its name, without `-`: `NAME: …`"),
        ("identities: {a: ci.corp.example}", "`ci.corp.example` is text here",
         "write its kind: `{dns: ci.corp.example}`"),
        ("identities: {a: 'spiffe://b/c'}", "`spiffe://b/c` is text here",
         "write its kind: `{spiffe: spiffe://b/c}`"),
        ("identities: {a: Batch}", "`Batch` is text here",
         "write its kind: `{common_name: Batch}`"),
        ("listeners: {public: {tls: false}}", "`false` is a boolean here",
         "to serve without TLS, write `plaintext: true` in its place"),
        ("listeners: {public: {tls: 'engine:grpc'}}", "`engine:grpc` is text here",
         "write a space after `engine:`"),
        ("listeners: {public: {address: ['a:1']}}", "",
         "write it without brackets: `a:1`"),
        ("server: {address: 'a:1'}", "belongs in `listeners.<name>`", None),
        ("server: {tls: {}}", "belongs in `listeners.<name>`", None),
        ("server: {production: true}", "belongs at the top level", None),
        ("server: {threads: '16'}", "`16` is text here", "remove the quotes"),
        ("server: {threads: many}", "`many` is text here", "write a whole number"),
        ("server: {health: 'false'}", "`false` is text here", "remove the quotes"),
        ("server: {health: 1}", "`1` is a number here", "write `true` or `false`"),
        ("server: {shutdown_grace: 30}", "the unit is missing",
         "write `30s`, `30ms` or `30m`"),
        ("listeners: {public: {tls: {certificate: 12}}}", "`12` is a number here",
         'quote it: "12"'),
        ("listeners: {public: {tls: {min_version: 1.2}}}", "`1.2` is a number here",
         "valid values: TLSv1.2, TLSv1.3"),
        ("server: {import_paths: src}", "`src` is text here",
         "write a list: `[src]`"),
        ("server: {runtime: asyncoi}", "did you mean `asyncio`?",
         "valid values: auto, threads, asyncio"),
        ("listeners: {public: {tls: {client_certificate: require_and_verfy}}}",
         "did you mean `require_and_verify`?",
         ("valid values: dont_request, request_but_dont_verify, request_and_verify,"
          " require_but_dont_verify, require_and_verify")),
        ("listeners: {public: {tls: {client_certificate: null}}}",
         "`client_certificate` is missing",
         ("add `client_certificate` with one of dont_request, request_but_dont_verify,"
          " request_and_verify, require_but_dont_verify, require_and_verify")),
        ("listeners: {public: {address: null}}", "`address` is missing",
         "add `address`, such as `address: 0.0.0.0:8443`"),
        ("server: {threads: 0}", "the least is 1",
         "write a whole number from 1 to 10000"),
        ("listeners: {public: {address: 'a:70000'}}", "",
         "write a port from 0 to 65535 after the last colon"),
        ("reload: {interval: 0s}", "",
         "write a duration above zero, such as `30s` or `500ms`"),
        ("server: {error_detail: some}", "not a value of `error_detail`",
         "valid values: none, full"),
        ("server: {channel_options: {grpc.so_reuseport: 1}}",
         "two servers must not share a port by accident", "remove the option"),
    ],
)  # fmt: skip
def test_label_and_help_show_the_fix(patch, label, advice):
    """The label is about the place, the help about the fix."""
    finding = one(patch)
    assert finding.label == label
    if advice is not None:
        assert finding.help == advice


def test_empty_key_is_explained():
    """`server:` with all of its keys commented out is null, and is explained."""
    [finding] = parse(GOOD + "server:\n  # threads: 8\n").findings
    assert finding.message == "`server` is empty; a mapping is expected"
    assert finding.help == "give it a value, or remove the key"
    assert underlined(GOOD + "server:", finding) == "server"


def test_second_label_is_at_the_other_place():
    """Both sides of a contradiction are shown."""
    finding = one("listeners: {public: {plaintext: true}}")
    assert [(s.span.line, s.text) for s in finding.secondary] == [(7, "TLS here")]


def test_effects_that_exclude_each_other_are_both_shown():
    """A rule with `allow` and `deny` shows both, and no missing key."""
    text = (
        f"{GOOD}authorization:\n  rules:\n    r:\n      deny: [b]\n"
        "      allow: [a]\n      methods: ['*']\n"
    )
    [finding] = parse(text).findings
    assert underlined(text, finding) == "deny"
    assert finding.label == "excludes `allow`"
    assert [underlined(text, label) for label in finding.secondary] == ["allow"]


PASTED = """\
listeners:
  public:
    tls:
      private_key: |
        -----BEGIN PRIVATE KEY-----
        MIIEsecret
        -----END PRIVATE KEY-----
"""


@pytest.mark.parametrize(
    "patch",
    [
        PASTED,
        (
            "listeners: {public: {tls: {private_key:"
            " '-----BEGIN PRIVATE KEY----- MIIEsecret'}}}"
        ),
        "listeners: {public: {tls: {private_key: '${KEY}'}}}",
        "server: {import_paths: ['-----BEGIN EC PRIVATE KEY----- MIIEsecret']}",
    ],
)
def test_pasted_key_has_its_own_finding_and_is_not_shown(patch):
    """PEM text in place of a path is reported without showing it."""
    finding = one(patch, KEY="-----BEGIN PRIVATE KEY-----\nMIIEsecret\n")
    assert finding.code == "GS128"
    assert "path of a file" in finding.message
    shown = (finding.message, finding.label, finding.help, finding.notes)
    assert "secret" not in repr(shown)


@pytest.mark.parametrize(
    "patch",
    [
        "server: {runtime: '${X}'}",
        "server: {threads: '${X}'}",
        "server: {shutdown_grace: '${X}'}",
        "listeners: {public: {address: '${X}'}}",
        'listeners: {public: {tls: {private_key: "${X}\\n"}}}',
        "server: {import_paths: ['${X}', '${X}']}",
        "services: [{servicer: '${X}'}]",
        "production: '${X}'",
        "version: 1\nserver: {reflection: '${X}'}",
    ],
)
def test_value_of_a_variable_is_not_shown(patch):
    """A variable's value may be a misplaced secret."""
    for finding in patched(patch, {"X": "hunter2"}).findings:
        shown = (finding.message, finding.label, finding.help, finding.notes)
        assert "hunter2" not in repr(shown)


def test_long_value_is_not_shown():
    """Base64 without its PEM lines is still a key."""
    finding = one(f"listeners: {{public: {{address: '{'MIIEsecret' * 30}'}}}}")
    assert finding.message == "invalid value for `listeners.public.address`"


def test_overlong_path_is_not_shown():
    """Text that is longer than any valid path is not shown."""
    finding = one(f"server: {{import_paths: ['{'a' * 5000}']}}")
    assert brief([finding]) == [
        "13:29 GS106 invalid value for `server.import_paths[0]`"
    ]


def test_value_of_private_key_is_never_shown():
    """The value of `private_key` may be a pasted key, and is never shown."""
    finding = one('listeners: {public: {tls: {private_key: "MIIEsecret\\n"}}}')
    assert finding.message == "invalid value for `listeners.public.tls.private_key`"


def test_all_findings_of_the_phase_come_at_once():
    """One run reports all findings in the order of their places."""
    text = (
        "version: 2\nservices: [{servicer: x}]\nserver: {thread: 8, health: 1}\n"
        "listeners: {a: {address: b, plaintext: true}, c: {address: 'd:1'}}\n"
    )
    assert brief(parse(text).findings) == [
        "1:10 GS107 unknown value `2` for `version`",
        "2:23 GS106 invalid value `x` for `services[0].servicer`",
        "3:10 GS102 unknown key `thread` in `server`",
        "3:29 GS105 `server.health` is a number; `true` or `false` is expected",
        "4:26 GS106 invalid value `b` for `listeners.a.address`",
        "4:47 GS127 the listener `c` has neither `tls` nor `plaintext: true`",
    ]


def test_value_that_aliases_share_is_one_finding():
    """A wrong value that aliases share is reported once."""
    text = GOOD + (
        "  b: &b {address: 'c:1', plaintext: true, services: ['x y']}\n"
        "  c: *b\n  d: *b\n"
    )
    found = parse(text).findings
    assert [finding.code for finding in found] == ["GS106"]


def test_messages_follow_the_rules_for_writing():
    """Messages have one line, lower case, no full stop, and a help."""
    for patch, _ in CASES:
        for finding in patched(patch).findings:
            assert "\n" not in finding.message
            assert not finding.message.endswith(".")
            assert finding.message[0].islower() or finding.message[0] == "`"
            assert finding.help


def test_every_keyword_of_the_schema_is_explained():
    """A keyword without an explanation would end in `schema-mismatch`."""
    from grpcsecure.config.schema_findings import _EXPLAIN

    annotations = {
        "$schema", "$id", "$ref", "$defs",
        "title", "description", "default", "examples",
    }  # fmt: skip
    structure = {
        "properties", "patternProperties", "items", "propertyNames",
        "if", "then", "else",
    }  # fmt: skip

    def keywords(part: dict) -> set[str]:
        found = {key for key in part if not key.startswith("x-")}
        for key in ("properties", "$defs"):
            for below in part.get(key, {}).values():
                found |= keywords(below)
        for key in (
            "items",
            "additionalProperties",
            "propertyNames",
            "if",
            "then",
            "else",
        ):
            if isinstance(part.get(key), dict):
                found |= keywords(part[key])
        return found

    assert keywords(load_schema()) - annotations - structure <= set(_EXPLAIN)
