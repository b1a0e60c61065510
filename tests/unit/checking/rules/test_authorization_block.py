"""Tests of findings about identities and rules: GS401 to GS405, GS408, GS412, GS413."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.configs import underlined
from support.policy_checks import LISTENERS, check, places, rules

from grpcsecure.config.load import parse_config
from grpcsecure.config.source import Source
from grpcsecure.model.authorization import Effect
from grpcsecure.model.metadata_keys import RESERVED_KEYS
from grpcsecure.policy.feasibility import can_have

DIGEST = "sha256:" + "9f" * 32
IDENTITIES = (
    "identities: {ops: {dns: '*.x', ip: 10.0.0.1},"
    f" pinned: {{fingerprint: '{DIGEST}'}},"
    f" either: [{{dns: x}}, {{public_key: '{DIGEST}'}}],"
    f" both: {{dns: x, fingerprint: '{DIGEST}'}}}}\n"
)


def about(code, policy, **options):
    """Return the findings of one code, and the text of the config."""
    findings, text = check(policy, **options)
    return [finding for finding in findings if finding.code == code], text


def secondary(text, finding):
    """Return the secondary places of a finding, with their labels."""
    return [(underlined(text, label), label.text) for label in finding.secondary]


class TestNames:
    """GS401 and GS403: undefined and unused identities."""

    def test_undefined_identity_with_the_nearest_name(self):
        """The finding is at the name; the nearest identity counts as used."""
        policy = rules(
            "a: {allow: [opps], methods: ['*'], listeners: [verified]}",
            "b: {deny: [anyon, nobody], methods: ['*']}",
            identities="identities: {ops: {dns: x}}\n",
        )
        findings, text = check(policy)
        assert [(underlined(text, f), f.code, f.label) for f in findings] == [
            ("opps", "GS401", "did you mean `ops`?"),
            ("anyon", "GS401", "did you mean `anyone`?"),
            ("nobody", "GS401", ""),
        ]
        assert findings[0].is_error

    def test_identity_by_what_it_has(self):
        """A host name leads to the identity that has it, or to a definition of one."""
        policy = rules(
            "a: {allow: [b.example, c.example, everyone], methods: ['/a/*']}",
            identities="identities: {batch: {dns: b.example}}\n",
        )
        findings, _ = about("GS401", policy)
        assert [(finding.label, finding.help) for finding in findings] == [
            ("did you mean `batch`?", findings[0].help),
            (
                "",
                (
                    "define `NAME: {dns: c.example}` under `identities`, and write NAME"
                    " here"
                ),
            ),
            ("did you mean `anyone`?", findings[2].help),
        ]

    def test_unused_identity_is_a_warning(self):
        """The finding is at the identity's name, with or without rules."""
        for policy in ("", "authorization: {default: deny}\n"):
            findings, text = about(
                "GS403", f"identities: {{ops: {{dns: x}}}}\n{policy}"
            )
            assert [underlined(text, finding) for finding in findings] == ["ops"]
            assert not findings[0].is_error

    def test_built_in_names_are_defined(self):
        """Built-in names need no definition, and need not be used."""
        policy = rules(
            "a: {deny: [anyone, verified, presented, anonymous], methods: ['*']}"
        )
        assert places(policy) == []


#: The listeners that can have a peer with the identity, for each effect of a rule.
VERIFYING = {"verified", "optional", "checked"}
ASKING = VERIFYING | {"claimed"}
EVERY = ASKING | {"unasked", "plain"}
CAN_HAVE = [
    ("anyone", EVERY, EVERY),
    ("anonymous", EVERY - {"verified", "claimed"}, EVERY - {"verified", "claimed"}),
    ("presented", ASKING, ASKING),
    ("verified", VERIFYING, VERIFYING),
    ("ops", VERIFYING, ASKING),
    ("pinned", ASKING, ASKING),
    ("either", ASKING, ASKING),
    ("both", VERIFYING, ASKING),
]


class TestUse:
    """GS402: identities that no client can have on the listeners of a rule."""

    @pytest.mark.parametrize(("name", "allow", "deny"), CAN_HAVE)
    @pytest.mark.parametrize("listener", sorted(EVERY))
    def test_identity_is_possible_or_an_error(self, name, allow, deny, listener):
        """All identities are checked on all listeners, for both effects."""
        for effect, possible in (("allow", allow), ("deny", deny)):
            policy = rules(
                f"r: {{{effect}: [{name}], methods: ['/grpc.health.v1.Health/*'],"
                f" listeners: [{listener}]}}",
                identities=IDENTITIES,
            )
            findings, text = about("GS402", policy)
            assert bool(findings) is (listener not in possible)
            for finding in findings:
                assert finding.is_error
                assert underlined(text, finding) == name
                assert len(finding.secondary) == 1

    @pytest.mark.parametrize(("name", "allow", "deny"), CAN_HAVE)
    def test_public_function_agrees(self, name, allow, deny):
        """`can_have`, which `explain` uses, agrees with the check."""
        source = Source("x", Path("/"), LISTENERS + IDENTITIES)
        config = parse_config(source, profile=None, environ={}).document.config
        for effect, possible in ((Effect.ALLOW, allow), (Effect.DENY, deny)):
            found = {
                listener.name
                for listener in config.listeners
                if can_have(name, effect, listener, config.identities)
            }
            assert found == possible

    def test_one_listener_that_matches_is_enough(self):
        """There is no finding if the rule can match on one listener."""
        policy = rules("r: {allow: [ops], methods: ['*']}", identities=IDENTITIES)
        assert about("GS402", policy)[0] == []

    def test_listener_that_does_not_serve_the_method_does_not_count(self):
        """A rule about the greeter does not apply on a listener with health only."""
        policy = rules(
            "r: {allow: [anonymous], methods: ['/helloworld.Greeter/*'],"
            " listeners: [verified, plain]}"
        )
        [finding], text = about("GS402", policy)
        assert underlined(text, finding) == "anonymous"
        assert secondary(text, finding) == [
            ("require_and_verify", "refuses clients without a certificate")
        ]

    def test_screen_of_an_unverified_identity(self):
        """Message, label, the mode that is the reason, and the help are shown."""
        policy = rules(
            "ops-read: {allow: [ops], methods: ['*'], listeners: [claimed, unasked]}",
            identities="identities: {ops: {spiffe: 'spiffe://td/ops'}}\n",
        )
        [finding], text = about("GS402", policy)
        assert finding.message == (
            "rule `ops-read` matches on an identity that is never verified"
        )
        assert underlined(text, finding) == "ops"
        assert finding.label == "`ops` matches by spiffe"
        assert secondary(text, finding) == [
            (
                "require_but_dont_verify",
                "requests a certificate but does not check who signed it",
            ),
            ("dont_request", "requests no certificate"),
        ]
        assert finding.help == (
            "use `require_and_verify`, add a `client_ca`, or register the"
            " certificates with `fingerprint`"
        )

    def test_pins_without_a_requested_certificate(self):
        """Without a requested certificate, the message is another one."""
        policy = rules(
            "r: {allow: [pinned], methods: ['*'], listeners: [unasked, plain]}",
            identities=IDENTITIES,
        )
        [finding], text = about("GS402", policy)
        assert finding.message == (
            "rule `r` matches on an identity that is never presented"
        )
        assert secondary(text, finding) == [
            ("dont_request", "requests no certificate"),
            ("true", "no client has a certificate here"),
        ]


class TestRules:
    """GS404, GS408 and GS412: rules that never apply, or that open too much."""

    def test_listener_that_serves_none_of_the_methods(self):
        """The finding is at the rule, with a label at the listener's services."""
        policy = rules(
            "r: {deny: [anyone], methods: ['/helloworld.Greeter/*', '*Hello'],"
            " listeners: [plain]}",
            "s: {deny: [anyone], methods: ['/helloworld.Greeter/*'],"
            " listeners: [plain]}",
            "t: {deny: [anyone], methods: ['/helloworld.Greeter/*'],"
            " listeners: [plain, unasked]}",
        )
        [finding], text = about("GS404", policy)
        assert finding.message == (
            "rule `s` can never match: none of its listeners serves its methods"
        )
        assert underlined(text, finding) == "methods"
        assert secondary(text, finding) == [("services", "`plain` serves only these")]

    @pytest.mark.parametrize("key", sorted(RESERVED_KEYS))
    def test_metadata_that_grpc_removes(self, key):
        """No servicer and no rule ever sees these keys."""
        policy = rules(
            f"r: {{deny: [anyone], methods: ['*'], metadata: {{{key}: [AAEC]}}}}"
        )
        assert ("GS404", key) in places(policy)

    @pytest.mark.parametrize("key", sorted(RESERVED_KEYS))
    def test_metadata_of_a_test_that_grpc_removes(self, key):
        """No call that a rule could see has these keys, so neither has a test."""
        policy = rules("r: {allow: [anyone], methods: ['*/SayHello']}") + (
            "  tests: [{as: anonymous, call: /helloworld.Greeter/SayHello,"
            " listener: unasked, expect: allow,"
            f" metadata: {{x-env: a, {key}: AAEC}}}}]\n"
        )
        [finding], text = about("GS404", policy)
        assert finding.message == (
            f"a test has metadata that no call has: handlers never see `{key}`"
        )
        assert underlined(text, finding) == key

    @pytest.mark.parametrize("rule", ["allow: [verified]", "deny: [anyone]"])
    def test_exact_user_agent(self, rule):
        """Client libraries compose the user agent, so it is a warning to compare it."""
        policy = rules(
            f"r: {{{rule}, methods: ['*/SayHello'],"
            " metadata: {user-agent: [billing/1.0, 'grpc-go/1.85.0']}}",
            "s: {deny: [anyone], methods: ['*'], metadata: {x-user-agent: [billing]}}",
        )
        [finding], text = about("GS418", policy)
        assert finding.message == (
            "rule `r` names whole values of `user-agent`, which change with the version"
            " of a client's gRPC library"
        )
        assert underlined(text, finding) == "user-agent"
        assert not finding.is_error

    def test_unknown_listener_in_rule_and_test(self):
        """The finding is at the name, and suggests the nearest one."""
        policy = rules("r: {deny: [anyone], methods: ['*'], listeners: [plian]}") + (
            "  tests: [{as: anonymous, call: /a.B/C, expect: deny, listener: x}]\n"
        )
        findings, text = check(policy)
        assert [(f.code, underlined(text, f), f.label) for f in findings] == [
            ("GS412", "x", ""),
            ("GS412", "plian", "did you mean `plain`?"),
        ]

    @pytest.mark.parametrize(
        ("pattern", "message", "label"),
        [
            ("*", "every method", "health and reflection included"),
            ("/*", "every method", "health and reflection included"),
            ("/grpc.*", "`/grpc.*`", "health and reflection included"),
            ("/grpc.health.*", "`/grpc.health.*`", "health included"),
            (
                "*/Check",
                "`*/Check`",
                "of every service, health and reflection included",
            ),
            ("/helloworld.*", "`/helloworld.*`", "beyond health and reflection"),
            (
                "/helloworld.Greeter/Chat",
                "`/helloworld.Greeter/Chat`",
                "beyond health and reflection",
            ),
        ],
    )
    @pytest.mark.parametrize("name", ["anyone", "anonymous"])
    def test_rule_that_opens_more_than_health_to_anyone(
        self, pattern, message, label, name
    ):
        """The finding is at the pattern: a warning, an error in production."""
        policy = rules(f"r: {{allow: [verified, {name}], methods: ['{pattern}']}}")
        [finding], text = about("GS408", policy)
        assert finding.message == f"rule `r` opens {message} to `{name}`"
        assert underlined(text, finding) == f"'{pattern}'"
        assert finding.label == label
        assert secondary(text, finding) == [(name, "needs no certificate")]
        [finding], _ = about("GS408", f"production: true\n{policy}")
        assert finding.is_error

    @pytest.mark.parametrize(
        "rule",
        [
            "{allow: [anyone], methods: ['/grpc.health.v1.Health/*']}",
            "{allow: [anyone], methods: [/grpc.health.v1.Health/Check]}",
            "{allow: [anyone], methods: ['/grpc.reflection.*']}",
            "{allow: [verified], methods: ['*']}",
            "{deny: [anyone], methods: ['*']}",
            "{allow: [anyone], methods: ['*'], enforce: false}",
        ],
    )
    def test_rule_that_opens_nothing_else(self, rule):
        """Health and reflection may be open to anyone; shadow rules open nothing."""
        assert about("GS408", rules(f"r: {rule}"))[0] == []


#: An earlier rule, a later one, and whether the first shadows the second.
SHADOWS = [
    ("{allow: [verified], methods: ['*']}", "{allow: [ops], methods: ['/a.B/C']}", 1),
    ("{allow: [ops], methods: ['/a.B/*']}", "{allow: [ops], methods: ['/a.B/C']}", 1),
    ("{allow: [ops], methods: ['/a.*']}", "{allow: [ops], methods: ['/a.B/*']}", 1),
    ("{allow: [ops], methods: ['*/C']}", "{allow: [ops], methods: ['/a.B/C']}", 1),
    ("{allow: [ops], methods: ['*C']}", "{allow: [ops], methods: ['*/C']}", 1),
    ("{allow: [ops], methods: ['/a.B/C']}", "{allow: [ops], methods: ['/a.B/*']}", 0),
    ("{allow: [ops], methods: ['*/C']}", "{allow: [ops], methods: ['/a.B/C*']}", 0),
    (
        "{allow: [ops], methods: ['/a.B/C', '/a.B/D']}",
        "{allow: [ops], methods: ['/a.B/D', '/a.B/C']}",
        1,
    ),
    (
        "{allow: [ops], methods: ['/a.B/C']}",
        "{allow: [ops], methods: ['/a.B/C', '/a.B/D']}",
        0,
    ),
    # identities
    ("{allow: [anyone], methods: ['*']}", "{allow: [anonymous], methods: ['*']}", 1),
    ("{allow: [presented], methods: ['*']}", "{allow: [pinned], methods: ['*']}", 1),
    ("{allow: [presented], methods: ['*']}", "{allow: [anyone], methods: ['*']}", 0),
    ("{allow: [presented], methods: ['*']}", "{allow: [anonymous], methods: ['*']}", 0),
    ("{allow: [verified], methods: ['*']}", "{allow: [pinned], methods: ['*']}", 0),
    ("{allow: [verified], methods: ['*']}", "{allow: [either], methods: ['*']}", 0),
    ("{allow: [verified], methods: ['*']}", "{allow: [both], methods: ['*']}", 1),
    ("{allow: [ops], methods: ['*']}", "{allow: [ops, pinned], methods: ['*']}", 0),
    # effects: deny rules are evaluated first, and match claimed identities
    ("{deny: [ops], methods: ['*']}", "{allow: [ops], methods: ['*']}", 1),
    ("{deny: [verified], methods: ['*']}", "{allow: [ops], methods: ['*']}", 1),
    ("{deny: [verified], methods: ['*']}", "{deny: [ops], methods: ['*']}", 0),
    ("{deny: [presented], methods: ['*']}", "{deny: [ops], methods: ['*']}", 1),
    ("{allow: [ops], methods: ['*']}", "{deny: [ops], methods: ['/a.B/C']}", 0),
    # shadow rules decide nothing
    (
        "{allow: [ops], methods: ['*'], enforce: false}",
        "{allow: [ops], methods: ['*']}",
        0,
    ),
    (
        "{allow: [ops], methods: ['*']}",
        "{allow: [ops], methods: ['*'], enforce: false}",
        1,
    ),
    # listeners
    (
        "{allow: [ops], methods: ['*'], listeners: [verified]}",
        "{allow: [ops], methods: ['*']}",
        0,
    ),
    (
        "{allow: [ops], methods: ['*']}",
        "{allow: [ops], methods: ['*'], listeners: [verified]}",
        1,
    ),
    (
        "{allow: [ops], methods: ['*'], listeners: [verified, optional]}",
        "{allow: [ops], methods: ['*'], listeners: [optional]}",
        1,
    ),
    # unknown listeners, which have another finding
    (
        "{allow: [ops], methods: ['*']}",
        "{allow: [ops], methods: ['*'], listeners: [plian]}",
        0,
    ),
    (
        "{allow: [ops], methods: ['*'], listeners: [optional]}",
        "{allow: [ops], methods: ['*'], listeners: [plian]}",
        0,
    ),
    (
        "{allow: [ops], methods: ['*'], listeners: [optional]}",
        "{allow: [ops], methods: ['*'], listeners: [optional, plian]}",
        0,
    ),
    (
        "{allow: [ops], methods: ['*'], listeners: [optional, plian]}",
        "{allow: [ops], methods: ['*'], listeners: [optional]}",
        1,
    ),
    # metadata
    (
        "{allow: [ops], methods: ['*'], metadata: {a: [x]}}",
        "{allow: [ops], methods: ['*']}",
        0,
    ),
    (
        "{allow: [ops], methods: ['*'], metadata: {a: [x, y]}}",
        "{allow: [ops], methods: ['*'], metadata: {a: [x], b: [z]}}",
        1,
    ),
    (
        "{allow: [ops], methods: ['*'], metadata: {a: [x]}}",
        "{allow: [ops], methods: ['*'], metadata: {a: [x, y]}}",
        0,
    ),
    (
        "{deny: [ops], methods: ['*'], metadata: {a: [x, y]}}",
        "{allow: [ops], methods: ['*'], metadata: {a: [x]}}",
        1,
    ),
]


class TestShadows:
    """GS405: rules that never decide because of an earlier rule."""

    @pytest.mark.parametrize(("first", "second", "is_shadowed"), SHADOWS)
    def test_covered_rule_is_found(self, first, second, is_shadowed):
        """Patterns, identities, listeners and metadata are compared, each alone."""
        policy = rules(f"one: {first}", f"two: {second}", identities=IDENTITIES)
        findings, text = about("GS405", policy)
        assert len(findings) == is_shadowed
        for finding in findings:
            assert not finding.is_error
            assert underlined(text, finding) == "two"
            assert [place for place, _ in secondary(text, finding)] == ["one"]

    def test_allow_rule_before_the_deny_rule_is_shadowed_too(self):
        """Deny rules are evaluated first, at any position in the file."""
        policy = rules(
            "one: {allow: [ops], methods: ['/a.B/C']}",
            "two: {deny: [ops], methods: ['*']}",
            identities=IDENTITIES,
        )
        [finding], text = about("GS405", policy)
        assert underlined(text, finding) == "one"
        assert finding.label == "allows nothing"
        assert secondary(text, finding) == [("two", "comes first, and denies")]


class TestCallers:
    """GS413: callers of tests that are not exactly one certificate."""

    @pytest.mark.parametrize(
        ("caller", "place"),
        [
            ("{dns: '*.x'}", "'*.x'"),
            ("{spiffe: 'spiffe://td/*', dns: x}", "'spiffe://td/*'"),
            ("{uri: 'https://x/*'}", "'https://x/*'"),
            ("{certificates: a.pem, dns: x}", "certificates"),
        ],
    )
    def test_caller_that_matches_many_certificates(self, caller, place):
        """The finding is at the pattern, or at `certificates` beside other keys."""
        policy = (
            f"authorization:\n  tests: [{{as: {caller}, call: /a.B/C, expect: deny}}]\n"
        )
        findings, text = about("GS413", policy)
        assert [underlined(text, finding) for finding in findings] == [place]
        assert findings[0].is_error

    def test_caller_from_a_variable_is_not_shown(self):
        """The key alone shows which variable to correct."""
        policy = (
            "authorization:\n"
            "  tests: [{as: {dns: '${X}'}, call: /a.B/C, expect: deny}]\n"
        )
        ((finding,), _) = about("GS413", policy, environ={"X": "*.hidden.test"})
        assert finding.message == "the caller of a test is a pattern"
        assert finding.label == "comes from a variable"

    @pytest.mark.parametrize(
        "caller", ["{common_name: '*'}", "{certificates: 'a/*.pem'}", "anonymous"]
    )
    def test_caller_that_is_one_certificate(self, caller):
        """A `*` in a common name is literal; each file is a caller of its own."""
        policy = (
            f"authorization:\n  tests: [{{as: {caller}, call: /a.B/C, expect: deny}}]\n"
        )
        assert places(policy) == []
