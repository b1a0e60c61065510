"""Tests of building identities and authorization: every key, and every error."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.configs import FOLDER, GOOD, brief, parse, patched

from grpcsecure.config.load import parse_config
from grpcsecure.config.source import Source
from grpcsecure.model.authorization import (
    AuditLevel,
    AuditSettings,
    Authorization,
    Criterion,
    Effect,
    Identity,
    LogFormat,
    Matcher,
    MatcherKind,
    MetadataCondition,
    PolicyTest,
    Rule,
)
from grpcsecure.model.server_config import ErrorDetail

SPIFFE = "spiffe://corp.example/ns/prod/sa/billing"
DIGEST = "sha256:" + "9f" * 32

FULL = (
    GOOD
    + f"""\
server: {{error_detail: full}}
identities:
  billing: {{spiffe: "{SPIFFE}"}}
  ci:
    - {{dns: "*.ci.corp.example"}}
    - {{uri: "https://ci.corp.example/runner/*", email: ops@corp.example}}
  ops: {{ip: 10.0.0.7, common_name: Ops, organizational_unit: Ops, subject: CN=Ops}}
  laptop: {{fingerprint: "{DIGEST}", public_key: "{DIGEST}"}}
  units: {{certificates: pinned/*.pem}}
authorization:
  default: allow
  audit: all
  audit_file: log/audit.jsonl
  audit_format: text
  rules:
    charges:
      allow: [billing, anyone]
      methods: ["/pay.v1.Pay/Charge", "/pay.v1.Pay/Get*", "*/Watch", "*"]
    no-refunds:
      deny: [ci]
      methods: ["/pay.v1.Pay/Refund"]
      listeners: [public]
      metadata: {{x-env: [prod, ""], t-bin: [AAEC, AA==]}}
      enforce: false
  tests:
    - {{as: anonymous, call: /pay.v1.Pay/Charge, expect: deny}}
    - as: {{spiffe: "{SPIFFE}", certificates: /etc/pins}}
      call: /pay.v1.Pay/Charge
      expect: allow
      listener: public
      metadata: {{x-env: prod, t-bin: AAE}}
"""
)


def matcher(**criteria: str) -> Matcher:
    """Return a matcher with these criteria, in their order."""
    return Matcher(
        tuple(Criterion(MatcherKind(key), value) for key, value in criteria.items())
    )


def test_every_key_reaches_the_model():
    """Values are as written, paths are absolute, and the order is that of the file."""
    document = parse(FULL).document
    assert document is not None
    assert document.config.server.error_detail is ErrorDetail.FULL
    assert document.config.identities == (
        Identity("billing", (matcher(spiffe=SPIFFE),)),
        Identity(
            "ci",
            (
                matcher(dns="*.ci.corp.example"),
                matcher(
                    uri="https://ci.corp.example/runner/*", email="ops@corp.example"
                ),
            ),
        ),
        Identity(
            "ops",
            (
                matcher(
                    ip="10.0.0.7",
                    common_name="Ops",
                    organizational_unit="Ops",
                    subject="CN=Ops",
                ),
            ),
        ),
        Identity("laptop", (matcher(fingerprint=DIGEST, public_key=DIGEST),)),
        Identity("units", (matcher(certificates=f"{FOLDER}/pinned/*.pem"),)),
    )
    assert document.config.authorization == Authorization(
        default=Effect.ALLOW,
        rules=(
            Rule(
                name="charges",
                effect=Effect.ALLOW,
                identities=("billing", "anyone"),
                methods=("/pay.v1.Pay/Charge", "/pay.v1.Pay/Get*", "*/Watch", "*"),
            ),
            Rule(
                name="no-refunds",
                effect=Effect.DENY,
                identities=("ci",),
                methods=("/pay.v1.Pay/Refund",),
                listeners=("public",),
                metadata=(
                    MetadataCondition("x-env", ("prod", "")),
                    MetadataCondition("t-bin", ("AAEC", "AA==")),
                ),
                enforce=False,
            ),
        ),
        tests=(
            PolicyTest(caller=None, call="/pay.v1.Pay/Charge", expect=Effect.DENY),
            PolicyTest(
                caller=matcher(spiffe=SPIFFE, certificates="/etc/pins"),
                call="/pay.v1.Pay/Charge",
                expect=Effect.ALLOW,
                listener="public",
                metadata=(("x-env", "prod"), ("t-bin", "AAE")),
            ),
        ),
        audit=AuditSettings(
            level=AuditLevel.ALL,
            file=FOLDER / "log/audit.jsonl",
            format=LogFormat.TEXT,
        ),
    )


def test_absent_keys_have_the_defaults_of_the_model():
    """Without the block, every call is allowed; an empty one denies every call."""
    config = parse(GOOD).document.config
    assert config.authorization is None
    assert config.identities == ()
    for block in ("{default: deny}", "{audit: 'denials'}"):
        config = patched(f"authorization: {block}").document.config
        assert config.authorization == Authorization()


def test_directory_of_the_config_is_not_a_glob():
    """A directory named `[old]` is escaped in front of a glob pattern."""
    folder = Path("/srv/[old]")
    text = GOOD + "identities: {a: {certificates: '*.pem'}, b: {certificates: x}}\n"
    parsed = parse_config(Source("c", folder, text), profile=None, environ={})
    assert parsed.document is not None
    a, b = parsed.document.config.identities
    assert a.matchers == (matcher(certificates="/srv/[[]old]/*.pem"),)
    assert b.matchers == (matcher(certificates="/srv/[old]/x"),)


def identity(key: str, value: str) -> list[str]:
    """Return the findings for an identity with one criterion."""
    return brief(patched(f"identities: {{a: {{{key}: {value!r}}}}}").findings)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("spiffe", "spiffe://td"),
        ("spiffe", "spiffe://TD.example/*"),
        ("spiffe", "spiffe://td/ns/prod/*"),
        ("spiffe", "spiffe://td/ns/prod-*"),
        ("spiffe", "spiffe://td/.well/...b"),
        ("uri", "https://ci.corp.example"),
        ("uri", "https://ci.corp.example/*"),
        ("uri", "https://ci.corp.example/run?id=*"),
        ("uri", "https://ci.corp.example?id=1"),
        ("uri", "file:///etc/*"),
        ("uri", "urn:example:*"),
        ("dns", "a.example."),
        ("dns", "*.example"),
        ("dns", "_x.A-1.example"),
        ("email", "a.b+c@corp.example"),
        ("ip", "::ffff:10.0.0.7"),
        ("common_name", "*"),
        ("common_name", "é"),
        ("fingerprint", DIGEST.upper().replace("SHA", "sha")),
        ("fingerprint", "sha256:" + ":".join(["9F"] * 32)),
        ("certificates", "a/[ab]?.pem"),
    ],
)
def test_good_criterion_has_no_finding(key, value):
    """Allowed wildcards and values that are unusual but valid have no finding."""
    assert identity(key, value) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("spiffe", "spiffe://*"),
        ("spiffe", "spiffe://td*"),
        ("spiffe", "spiffe://td/"),
        ("spiffe", "spiffe://td/a/"),
        ("spiffe", "spiffe://td//a"),
        ("spiffe", "spiffe://td/../a"),
        ("spiffe", "spiffe://td/.*"),
        ("spiffe", "spiffe://td/..*"),
        ("spiffe", "spiffe://td/./*"),
        ("spiffe", "spiffe://td/*/a"),
        ("spiffe", "spiffe://td:1/a"),
        ("spiffe", "spiffe://u@td/a"),
        ("spiffe", "spiffe://td/a?b"),
        ("spiffe", "spiffe://td/a#b"),
        ("spiffe", "spiffe://td/%61"),
        ("spiffe", "spiffe://td/é"),
        ("spiffe", "spiffe://td/" + "a" * 2048),
        ("spiffe", "spiffe:///a"),
        ("spiffe", "spiffe://td/a\n"),
        ("spiffe", "https://td/a"),
        ("uri", "https://*"),
        ("uri", "https://ci.corp.example*"),
        ("uri", "https://*.corp.example/"),
        ("uri", "https:*/"),
        ("uri", "x:/*"),
        ("uri", "x://*"),
        ("uri", "x:*"),
        ("uri", "https://a?b*"),
        ("uri", "https://a#b*"),
        ("uri", "https://а.example/*"),  # noqa: RUF001 - a Cyrillic a
        ("uri", "https://a/ b"),
        ("dns", "*"),
        ("dns", "*.*.example"),
        ("dns", "a.*.example"),
        ("dns", "a*.example"),
        ("dns", "a..example"),
        ("dns", ".example"),
        ("dns", "а.example"),  # noqa: RUF001 - a Cyrillic a
        ("dns", "a.example\n"),
        ("dns", "10.0.0.0/8"),
        ("email", "*@corp.example"),
        ("email", "a@*"),
        ("email", "a@b@c"),
        ("email", "corp.example"),
        ("ip", "10.0.0.0/8"),
        ("ip", "10.0.0"),
        ("ip", "010.0.0.1"),
        ("ip", "fe80::1%eth0"),
        ("common_name", ""),
        ("dns", "a" * 64 + ".example"),
        ("uri", "https://a/../*"),
        ("subject", "billing"),
        ("subject", "CN=a, O=b"),
        ("fingerprint", "9f" * 32),
        ("fingerprint", "sha256:9f"),
        ("fingerprint", "sha1:" + "9f" * 20),
        ("certificates", "pinned/**/*.pem"),
        ("certificates", "**"),
    ],
)
def test_bad_criterion_is_a_finding_at_its_place(key, value):
    """A pattern that matches more than intended, or nothing, is a finding."""
    findings = patched(f"identities: {{a: {{{key}: {value!r}}}}}").findings
    [found] = brief(findings)
    column = len("    identities: {a: {") + len(f"{key}: ") + 1
    assert found.startswith((f"13:{column} GS106 ", f"13:{column} GS105 "))
    assert found.endswith(f" for `identities.a.{key}`")
    assert findings[0].help


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        ("identities: {a: [{dns: x}, {ip: '1.2.3.4.5'}]}",
         "13:37 GS106 invalid value `1.2.3.4.5` for `identities.a[1].ip`"),
        ("identities: {a: []}", "13:18 GS112 `identities.a` is empty"),
        ("identities: {a: {}}", "13:18 GS112 `identities.a` is empty"),
        ("identities: {a: x}",
         "13:21 GS105 `identities.a` is text; a mapping is expected"),
        ("identities: {a: {dsn: x}}",
         "13:22 GS102 unknown key `dsn` in `identities.a`"),
        ("identities: {anyone: {dns: x}}",
         "13:18 GS129 the name `anyone` in `identities` is taken"),
        ("authorization: {}", "13:5 GS112 `authorization` is empty"),
        ("authorization: {audit: some}",
         "13:28 GS107 unknown value `some` for `authorization.audit`"),
        ("authorization: {rules: {r: {methods: ['*']}}}",
         "13:29 GS104 the rule `r` has neither `allow` nor `deny`"),
        ("authorization: {rules: {r: {allow: [a], methods: ['/a/b/c']}}}",
         "13:55 GS106 invalid value `/a/b/c` for `authorization.rules.r.methods[0]`"),
        ("authorization: {rules: {r: {allow: [], methods: ['*']}}}",
         "13:33 GS112 `authorization.rules.r.allow` is empty"),
        ("authorization: {rules: {r: {deny: [a], methods: ['*'], metadata: {X: [a]}}}}",
         ("13:71 GS129 the name `X` in `authorization.rules.r.metadata` is not"
          " allowed")),
        ("authorization: {rules: {r: {deny: [a], methods: ['*'], metadata: {x: [é]}}}}",
         ("13:75 GS106 invalid value `é` for"
          " `authorization.rules.r.metadata.x[0]`")),
        (("authorization: {rules: {r: {deny: [a], methods: ['*'],"
          " metadata: {x-bin: [A]}}}}"),
         ("13:79 GS106 invalid value `A` for"
          " `authorization.rules.r.metadata.x-bin[0]`")),
        ("authorization: {tests: [{as: verified, call: /a.B/C, expect: deny}]}",
         "13:34 GS107 unknown value `verified` for `authorization.tests[0].as`"),
        ("authorization: {tests: [{as: {ip: 1.2.3}, call: /a.B/C, expect: deny}]}",
         "13:39 GS106 invalid value `1.2.3` for `authorization.tests[0].as.ip`"),
        ("authorization: {tests: [{as: anonymous, call: /a.B/*, expect: deny}]}",
         "13:51 GS106 invalid value `/a.B/*` for `authorization.tests[0].call`"),
        (("authorization: {tests: [{as: anonymous, call: /a.B/C, expect: deny,"
          " metadata: {a-bin: '-'}}]}"),
         ("13:91 GS106 invalid value `-` for"
          " `authorization.tests[0].metadata.a-bin`")),
    ],
)  # fmt: skip
def test_mistake_is_one_finding_at_its_place(patch, expected):
    """Code, line, column and message are exact."""
    parsed = patched(patch)
    assert brief(parsed.findings) == [expected]
    assert parsed.failed == "schema"


def test_help_for_the_caller_of_a_test_describes_a_certificate():
    """`anonymous` is only one of many forms, so the help is not a list of choices."""
    [finding] = patched(
        "authorization: {tests: [{as: billing, call: /a.B/C, expect: deny}]}"
    ).findings
    assert finding.help == (
        "write `anonymous`, or names in the caller's certificate, such as"
        " `{dns: ci.corp.example}`"
    )


def test_audit_off_has_to_be_quoted():
    """YAML 1.1 reads `off` as a boolean; the finding advises quotes."""
    [finding] = patched("authorization: {audit: off}").findings
    assert finding.code.startswith("GS1")
    assert "boolean" in finding.label + finding.message
    config = patched("authorization: {audit: 'off'}").document.config
    assert config.authorization.audit.level is AuditLevel.OFF


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=9))
def test_any_binary_value_is_base64_or_a_finding(text):
    """Any other text than base64 is a finding; padding is optional."""
    quoted = text.replace("$", "$$").replace("'", "''")
    parsed = patched(
        "authorization: {tests: [{as: anonymous, call: /a.B/C, expect: deny,"
        f" metadata: {{a-bin: '{quoted}'}}}}]}}"
    )
    core = text.rstrip("=")
    is_good = len(core) % 4 != 1 and all(c.isalnum() or c in "+/" for c in core)
    assert (parsed.document is not None) is is_good
