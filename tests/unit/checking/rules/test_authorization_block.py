"""Identities and rules as they are written: GS401 to GS405, GS408, GS412 and GS413."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.configs import underlined
from support.policy_checks import LISTENERS, check, places, rules

from grpcsecure.checking.rules.rule_effect import RESERVED_KEYS
from grpcsecure.config.load import parse_config
from grpcsecure.config.source import Source
from grpcsecure.model.authorization import Effect
from grpcsecure.policy.feasibility import can_have

DIGEST = "sha256:" + "9f" * 32
IDENTITIES = (
    "identities: {ops: {dns: '*.x', ip: 10.0.0.1},"
    f" pinned: {{fingerprint: '{DIGEST}'}},"
    f" either: [{{dns: x}}, {{public_key: '{DIGEST}'}}],"
    f" both: {{dns: x, fingerprint: '{DIGEST}'}}}}\n"
)


def about(code, policy, **options):
    """Return the findings of one code, and the text."""
    findings, text = check(policy, **options)
    return [finding for finding in findings if finding.code == code], text


def secondary(text, finding):
    """Return the other places of a finding, with their labels."""
    return [(underlined(text, label), label.text) for label in finding.secondary]


class TestNames:
    """GS401 and GS403: identities and who names them."""

    def test_undefined_identity_with_the_nearest_name(self):
        """At the name, in a rule of either kind; the one that was meant is used."""
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

    def test_unused_identity_is_a_warning(self):
        """At its name; also without any rules."""
        for policy in ("", "authorization: {default: deny}\n"):
            findings, text = about(
                "GS403", f"identities: {{ops: {{dns: x}}}}\n{policy}"
            )
            assert [underlined(text, finding) for finding in findings] == ["ops"]
            assert not findings[0].is_error

    def test_built_in_names_are_defined(self):
        """They need no definition, and no use."""
        policy = rules(
            "a: {deny: [anyone, verified, presented, anonymous], methods: ['*']}"
        )
        assert places(policy) == []


#: Which listeners can have a peer with the identity, for each effect of a rule.
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
    """GS402: identities that no client can have where a rule names them."""

    @pytest.mark.parametrize(("name", "allow", "deny"), CAN_HAVE)
    @pytest.mark.parametrize("listener", sorted(EVERY))
    def test_identity_is_possible_or_an_error(self, name, allow, deny, listener):
        """Every kind of identity on every kind of listener, for both effects."""
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
        """What `explain` asks is what the check says."""
        source = Source("x", Path("/"), LISTENERS + IDENTITIES)
        config = parse_config(source, profile=None, environ={}).document.config
        for effect, possible in ((Effect.ALLOW, allow), (Effect.DENY, deny)):
            found = {
                listener.name
                for listener in config.listeners
                if can_have(name, effect, listener, config.identities)
            }
            assert found == possible

    def test_one_listener_that_can_is_enough(self):
        """The rule matches there."""
        policy = rules("r: {allow: [ops], methods: ['*']}", identities=IDENTITIES)
        assert about("GS402", policy)[0] == []

    def test_listener_that_does_not_serve_the_method_does_not_count(self):
        """A rule about the greeter does not apply where there is only health."""
        policy = rules(
            "r: {allow: [anonymous], methods: ['/helloworld.Greeter/*'],"
            " listeners: [verified, plain]}"
        )
        [finding], text = about("GS402", policy)
        assert underlined(text, finding) == "anonymous"
        assert secondary(text, finding) == [
            ("require_and_verify", "refuses clients without a certificate")
        ]

    def test_screen_of_the_design(self):
        """The message, the label, the mode that makes it so, and what to do."""
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

    def test_pins_where_nothing_is_asked(self):
        """Another message: nobody looks at a certificate there."""
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
    """GS404, GS408 and GS412: rules that hold nowhere, or open too much."""

    def test_listener_that_serves_none_of_the_methods(self):
        """The rule, and the list that leaves its service out."""
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
    def test_metadata_that_grpc_keeps(self, key):
        """No servicer ever sees it, and no rule."""
        policy = rules(
            f"r: {{deny: [anyone], methods: ['*'], metadata: {{{key}: [AAEC]}}}}"
        )
        assert ("GS404", key) in places(policy)

    def test_unknown_listener_in_rule_and_test(self):
        """At the name, with the nearest."""
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
        """A warning at the pattern, an error in production."""
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
        """Health and reflection are for anyone; so are rules that do not decide."""
        assert about("GS408", rules(f"r: {rule}"))[0] == []


#: An earlier rule, a later one, and whether the first leaves the other nothing.
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
    # effects: deny rules are asked first, and go by what is claimed
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
    # listeners that are not there, of which another finding tells
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
    """GS405: rules that an earlier one leaves nothing to decide."""

    @pytest.mark.parametrize(("first", "second", "is_shadowed"), SHADOWS)
    def test_what_is_covered_is_found(self, first, second, is_shadowed):
        """By patterns, identities, listeners and metadata, each alone."""
        policy = rules(f"one: {first}", f"two: {second}", identities=IDENTITIES)
        findings, text = about("GS405", policy)
        assert len(findings) == is_shadowed
        for finding in findings:
            assert not finding.is_error
            assert underlined(text, finding) == "two"
            assert [place for place, _ in secondary(text, finding)] == ["one"]

    def test_allow_rule_before_the_deny_rule_is_shadowed_all_the_same(self):
        """Deny rules are asked first, wherever they stand."""
        policy = rules(
            "one: {allow: [ops], methods: ['/a.B/C']}",
            "two: {deny: [ops], methods: ['*']}",
            identities=IDENTITIES,
        )
        [finding], text = about("GS405", policy)
        assert underlined(text, finding) == "one"
        assert finding.label == "allows nothing"
        assert secondary(text, finding) == [("two", "comes first, and denies")]

    def test_many_rules_that_differ_in_little_take_no_time(self):
        """Comparing each with each would take minutes."""
        lines = [
            f"r{i}: {{allow: [ops], methods: ['*'], metadata: {{a: [v{i}]}}}}"
            for i in range(3000)
        ]
        assert about("GS405", rules(*lines, identities=IDENTITIES))[0] == []


class TestCallers:
    """GS413: callers of tests that are not one certificate."""

    @pytest.mark.parametrize(
        ("caller", "place"),
        [
            ("{dns: '*.x'}", "'*.x'"),
            ("{spiffe: 'spiffe://td/*', dns: x}", "'spiffe://td/*'"),
            ("{uri: 'https://x/*'}", "'https://x/*'"),
            ("{certificates: a.pem, dns: x}", "certificates"),
        ],
    )
    def test_caller_that_stands_for_many(self, caller, place):
        """At the value that is a pattern, or the key that says it all."""
        policy = (
            f"authorization:\n  tests: [{{as: {caller}, call: /a.B/C, expect: deny}}]\n"
        )
        findings, text = about("GS413", policy)
        assert [underlined(text, finding) for finding in findings] == [place]
        assert findings[0].is_error

    def test_caller_from_a_variable_is_not_shown(self):
        """What it stands for is enough to know which variable to correct."""
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
    def test_caller_that_is_one(self, caller):
        """A `*` in a common name is a star; files are each a caller."""
        policy = (
            f"authorization:\n  tests: [{{as: {caller}, call: /a.B/C, expect: deny}}]\n"
        )
        assert places(policy) == []
