"""The table of allowed calls: cells, exposures, and summaries of them."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.effort import repeats
from support.explaining import ANONYMOUS, CONFIG, HELLO, ask, caller, load, tls

from grpcsecure.explain.query_subject import QuerySubject
from grpcsecure.explain.summary import (
    count_exposures,
    exceptions_of,
    groups_of,
    idle_rules,
    openings_of,
    reaches_of,
    shadow_effects,
    unreachable_methods,
)
from grpcsecure.explain.table import Exposure, build_table
from grpcsecure.model.authorization import Criterion, Effect, Matcher, MatcherKind

REFLECT = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"

LISTENERS = f"""\
  twin: {{address: '127.0.0.1:0', {tls("require_and_verify")}}}
  given: {{address: '127.0.0.1:0', {tls("request_and_verify")}}}
  lenient: {{address: '127.0.0.1:0', {tls("require_but_dont_verify")}}}
  blind: {{address: '127.0.0.1:0', {tls("request_but_dont_verify", client_ca=False)}}}
  plain: {{address: '127.0.0.1:0', plaintext: true}}
"""

RULES = """\
identities:
  shop: {dns: shop.test}
  ops: {dns: ops.test}
  laptop: {fingerprint: "sha256:PRINT"}
authorization:
  rules:
    health: {allow: [anyone], methods: ["/grpc.health.v1.Health/*"]}
    hello: {allow: [verified], methods: ["/helloworld.Greeter/SayHello"]}
    many: {allow: [shop, laptop], methods: ["/helloworld.Greeter/SayHelloMany*"]}
    not-ops: {deny: [ops], methods: ["/helloworld.Greeter/SayHello"]}
    in-test: {allow: [ops], methods: ["*/Chat"], metadata: {x-env: [test]}}
    soon: {deny: [shop], methods: ["*/SayHelloManyTimes"], enforce: false}
    idle: {allow: [shop], methods: ["/helloworld.Greeter/SayHello"]}
""".replace("PRINT", ":".join(["0f"] * 32))


def section(table, listener):
    """Return the section of a table that has a listener."""
    return next(
        one
        for one in table.sections
        if listener in {facts.name for facts in one.listeners}
    )


def row(table, listener, method=HELLO):
    """Return the row of a method on a listener."""
    return next(r for r in section(table, listener).rows if r.method == method)


def cell(table, listener, name, method=HELLO):
    """Return the cell of a caller."""
    names = [one.name for one in table.callers]
    return row(table, listener, method).cells[names.index(name)]


def effects(table, listener, method=HELLO):
    """Return the effect for each caller that can occur on a listener."""
    cells = row(table, listener, method).cells
    return {
        one.name: found.effect.value
        for one, found in zip(table.callers, cells, strict=True)
        if found.effect is not None
    }


class TestCells:
    """A cell is the decision on a caller with one name and the names it implies."""

    def test_callers_that_cannot_occur(self, load_config):
        """The mode of a listener decides which callers can occur on it."""
        table = build_table(load_config(CONFIG + LISTENERS + RULES))
        every = {one.name for one in table.callers}
        assert {
            name: every - {*effects(table, name)}
            for name in ("public", "given", "lenient", "blind", "plain")
        } == {
            "public": {"anonymous"},
            "given": set(),
            "lenient": {"anonymous"},
            "blind": {"verified"},  # `shop` and `ops` can be claimed there
            "plain": {"presented", "verified", "shop", "ops", "laptop"},
        }

    def test_implied_names(self, load_config):
        """If the mode verifies, callers with a certificate are verified, also pins."""
        table = build_table(load_config(CONFIG + LISTENERS + RULES))
        assert effects(table, "public") == {
            "anyone": "allow", "presented": "allow", "verified": "allow",
            "shop": "allow", "ops": "deny", "laptop": "allow",
        }  # fmt: skip
        assert effects(table, "given")["anyone"] == "deny"
        assert effects(table, "given")["presented"] == "allow"
        assert effects(table, "lenient")["presented"] == "deny"
        assert effects(table, "lenient")["laptop"] == "deny"
        assert effects(table, "lenient")["shop"] == "allow"

    def test_rule_and_names(self, load_config):
        """A cell has the rule that decides, and the names that match."""
        table = build_table(load_config(CONFIG + RULES))
        found = cell(table, "public", "shop")
        assert (found.rule.name, found.names) == ("hello", ("verified",))

    def test_metadata(self, load_config):
        """A rule that needs metadata is a condition of the cell, not its effect."""
        table = build_table(load_config(CONFIG + RULES))
        found = cell(table, "public", "ops", "/helloworld.Greeter/Chat")
        assert found.effect is Effect.DENY
        (change,) = found.conditions
        assert (change.effect, change.rule.name) == (Effect.ALLOW, "in-test")
        assert found.is_open

    def test_shadow(self, load_config):
        """The effect of a rule that is not enforced is kept apart."""
        table = build_table(load_config(CONFIG + RULES))
        found = cell(table, "public", "shop", "/helloworld.Greeter/SayHelloManyTimes")
        assert found.effect is Effect.ALLOW
        (change,) = found.shadows
        assert (change.effect, change.rule.name) == (Effect.DENY, "soon")

    def test_shadow_with_metadata(self, load_config):
        """A rule that is not enforced may need metadata, too."""
        text = RULES.replace("{x-env: [test]}}", "{x-env: [test]}, enforce: false}")
        table = build_table(load_config(CONFIG + text))
        found = cell(table, "public", "ops", "/helloworld.Greeter/Chat")
        assert not found.is_open
        assert [change.rule.name for change in found.shadows] == ["in-test"]

    def test_claims(self, load_config):
        """A name that can only be claimed on a listener counts in deny rules there."""
        text = RULES.replace("allow: [verified], methods", "allow: [anyone], methods")
        table = build_table(load_config(CONFIG + LISTENERS + text))
        found = cell(table, "blind", "ops")
        assert (found.effect, found.rule.name) == (Effect.DENY, "not-ops")
        assert found.is_only_claimed
        assert found.names == ("ops",)
        assert cell(table, "blind", "anyone").effect is Effect.ALLOW
        assert not any(
            "blind" in reach.listeners
            for reach in reaches_of(table, "ops")
            if reach.service == "helloworld.Greeter"
        )

    def test_shadow_of_an_opening(self, load_config):
        """A rule that is not enforced may deny a call that metadata allows."""
        text = RULES.replace("soon: {deny: [shop]", "soon: {deny: [ops]")
        text = text.replace('"*/SayHelloManyTimes"], enforce', '"*/Chat"], enforce')
        table = build_table(load_config(CONFIG + text))
        found = cell(table, "public", "ops", "/helloworld.Greeter/Chat")
        assert [change.rule.name for change in found.conditions] == ["in-test"]
        (change,) = found.shadows
        assert (change.effect, change.rule.name) == (Effect.DENY, "soon")
        assert change.metadata[0].key == "x-env"

    def test_no_rules(self, load_config):
        """Without `authorization` every call is allowed."""
        table = build_table(load_config(CONFIG))
        assert not table.has_rules
        assert {*effects(table, "public").values()} == {"allow"}

    def test_same_listeners_are_one_section(self, load_config):
        """Listeners with the same decisions share one section."""
        table = build_table(load_config(CONFIG + LISTENERS + RULES))
        names = [one.name for one in section(table, "twin").listeners]
        assert names == ["public", "twin"]


class TestExposure:
    """The widest set of callers that may call a method."""

    def test_by_mode(self, load_config):
        """The exposure by a rule for `anyone` depends on the mode of the listener."""
        table = build_table(load_config(CONFIG + LISTENERS + RULES))
        health = "/grpc.health.v1.Health/Check"
        names = ("public", "given", "lenient", "blind", "plain")
        assert {name: row(table, name, health).exposure.value for name in names} == {
            "public": "verified",
            "given": "anonymous",
            "lenient": "unverified",
            "blind": "anonymous",
            "plain": "anonymous",
        }

    def test_counts(self, load_config):
        """Each method counts once, by its widest exposure."""
        table = build_table(load_config(CONFIG + LISTENERS + RULES))
        assert count_exposures(table) == {
            Exposure.ANONYMOUS: 3,
            Exposure.UNVERIFIED: 0,
            Exposure.VERIFIED: 1,
            Exposure.NAMED: 2,
            Exposure.NO_CALLER: 1,
        }
        assert unreachable_methods(table) == ("/helloworld.Greeter/SayHelloToAll",)

    def test_default_allow(self, load_config):
        """With `default: allow` every method is open to `anyone`."""
        text = CONFIG + LISTENERS + "authorization: {default: allow}\n"
        table = build_table(load_config(text))
        assert row(table, "plain").exposure is Exposure.ANONYMOUS
        (opening,) = openings_of(table, row(table, "plain"))
        assert (opening.names, opening.rule) == (("anyone",), None)


class TestSummary:
    """Summaries for a review."""

    def test_openings(self, load_config):
        """Callers that are allowed by a wider name are not listed; exceptions are."""
        table = build_table(load_config(CONFIG + RULES))
        (opening,) = openings_of(table, row(table, "public"))
        assert (opening.names, opening.rule.name) == (("verified",), "hello")
        (exception,) = exceptions_of(table, row(table, "public"))
        assert (exception.names, exception.rule.name) == (("ops",), "not-ops")

    def test_conditional_exceptions(self, load_config):
        """A deny rule on metadata denies only calls with this metadata."""
        text = RULES.replace(
            "deny: [ops], methods: [",
            "deny: [ops], metadata: {x-env: [prod]}, methods: [",
        )
        table = build_table(load_config(CONFIG + text))
        (exception,) = exceptions_of(table, row(table, "public"))
        assert exception.metadata[0].values == ("prod",)

    def test_groups(self, load_config):
        """Methods with the same callers are one group, over several listeners."""
        table = build_table(load_config(CONFIG + LISTENERS + RULES))
        groups = groups_of(table, [Exposure.ANONYMOUS])
        assert [(g.service, g.listeners, g.is_whole_service) for g in groups] == [
            ("grpc.health.v1.Health", ("given", "blind", "plain"), True)
        ]

    def test_reaches(self, load_config):
        """The methods that one caller may call are listed by service."""
        table = build_table(load_config(CONFIG + RULES))
        assert [(r.service, r.methods) for r in reaches_of(table, "ops")] == [
            ("grpc.health.v1.Health", ("Check", "List", "Watch")),
            ("helloworld.Greeter", ("Chat",)),
        ]

    def test_shadows_and_idle_rules(self, load_config):
        """Effects of rules that are not enforced, and rules without effect."""
        table = build_table(load_config(CONFIG + RULES))
        (shadow,) = shadow_effects(table)
        assert (shadow.methods, shadow.names) == (("SayHelloManyTimes",), ("shop",))
        assert [facts.rule.name for facts in idle_rules(table)] == ["idle"]

    def test_rules_on_metadata_are_not_called_idle(self, load_config):
        """The table has no calls with metadata of several rules, so it cannot know."""
        text = RULES + (
            "    closes: {deny: [ops], methods: ['*/Chat'], metadata: {x-b: [c]}}\n"
        )
        table = build_table(load_config(CONFIG + text))
        assert not table.rules["closes"].decides
        assert [facts.rule.name for facts in idle_rules(table)] == ["idle"]


class TestReflection:
    """The reflection service exists exactly if it is turned on, as in `serve`."""

    RULES = 'authorization: {rules: {r: {allow: [verified], methods: ["/grpc.*"]}}}\n'

    def test_turned_on(self, load_config):
        """Its method is a row of the table like any other, and rules apply to it."""
        config = CONFIG.replace("server: {", "server: {reflection: true, ")
        shown = load_config(config + self.RULES)
        table = build_table(shown)
        assert cell(table, "public", "verified", REFLECT).effect is Effect.ALLOW
        assert idle_rules(table) == ()
        explained = ask(shown, caller(dns="x.test"), REFLECT)
        assert [one.effect for one in explained.verdicts] == [Effect.ALLOW]

    def test_turned_off(self, load_config):
        """Its method does not exist, so no rule allows it."""
        shown = load_config(CONFIG + self.RULES)
        methods = {one.method for one in section(build_table(shown), "public").rows}
        assert REFLECT not in methods
        explained = ask(shown, caller(dns="x.test"), REFLECT)
        assert [one.effect for one in explained.verdicts] == [Effect.DENY]


def test_methods_without_services(load_config):
    """If services are not imported, rows are built-in methods and those in rules."""
    table = build_table(load_config(CONFIG + RULES, with_services=False))
    assert not table.knows_methods
    assert [r.method for r in section(table, "public").rows] == [
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/List",
        "/grpc.health.v1.Health/Watch",
        HELLO,
    ]


NAMES = ("a", "b", "c")
METHODS = (HELLO, "/helloworld.Greeter/Chat", "/grpc.health.v1.Health/Check")
#: Without `anonymous`, which does not occur if a certificate is required.
BUILT_IN = ("anyone", "presented", "verified")

RULE = st.fixed_dictionaries(
    {
        "effect": st.sampled_from(["allow", "deny"]),
        "names": st.lists(
            st.sampled_from([*NAMES, *BUILT_IN]), min_size=1, max_size=3, unique=True
        ),
        "methods": st.lists(
            st.sampled_from([*METHODS, "*", "/helloworld.Greeter/*", "*/Chat"]),
            min_size=1,
            max_size=2,
            unique=True,
        ),
        "enforce": st.booleans(),
    }
)


def _config(rules, default):
    identities = ", ".join(
        f"{name}: {{{kind}: {value}}}"
        for name, kind, value in (
            ("a", "dns", "a.test"),
            ("b", "email", "b@b.test"),
            ("c", "ip", "10.0.0.7"),
        )
    )
    lines = [
        f"identities: {{{identities}}}",
        f"authorization:\n  default: {default}",
        *(["  rules:"] if rules else []),
    ]
    for number, rule in enumerate(rules):
        lines.append(
            f"    r{number}: {{{rule['effect']}: {rule['names']},"
            f" methods: {rule['methods']}, enforce: {str(rule['enforce']).lower()}}}"
        )
    return "\n".join(lines) + "\n"


SAYS = {
    "a": Criterion(MatcherKind.DNS, "a.test"),
    "b": Criterion(MatcherKind.EMAIL, "b@b.test"),
    "c": Criterion(MatcherKind.IP, "10.0.0.7"),
}


@settings(
    max_examples=repeats(20, 60),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    rules=st.lists(RULE, max_size=6),
    default=st.sampled_from(["allow", "deny"]),
    names=st.sets(st.sampled_from(NAMES), min_size=1),
)
def test_a_caller_with_several_names(folder, rules, default, names):
    """A caller may do what any of its columns may, unless a rule denies one of them.

    So one column per name is enough to know what a caller with several names may do.
    """
    text = CONFIG + _config(rules, default)
    loaded = load(folder, text, with_services=False)
    table = build_table(loaded)
    who = QuerySubject(names=Matcher(tuple(SAYS[name] for name in sorted(names))))
    for method in METHODS:
        if method not in {r.method for r in section(table, "public").rows}:
            continue
        (verdict,) = ask(loaded, who, method).verdicts
        cells = [cell(table, "public", name, method) for name in names]
        denied = any(c.effect is Effect.DENY and c.rule is not None for c in cells)
        allowed = any(c.effect is Effect.ALLOW for c in cells)
        assert (verdict.effect is Effect.ALLOW) is (allowed and not denied)


def test_one_name_is_its_column(load_config):
    """The decision on a caller with one name is that of its column, and so the rule."""
    loaded = load_config(CONFIG + LISTENERS + RULES)
    table = build_table(loaded)
    for name, who in (
        ("shop", caller(dns="shop.test")),
        ("ops", caller(dns="ops.test")),
        ("verified", caller(dns="other.test")),
        ("anonymous", ANONYMOUS),
    ):
        for listener in ("public", "given", "lenient", "plain"):
            for method in loaded.methods[listener]:
                found = cell(table, listener, name, method)
                (verdict,) = ask(loaded, who, method, listener=listener).verdicts
                if found.effect is not None:
                    assert (verdict.effect, verdict.rule) == (found.effect, found.rule)
