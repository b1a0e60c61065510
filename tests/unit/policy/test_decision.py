"""Tests of decisions: order, the parts of a rule, shadow rules, and the trace."""

from __future__ import annotations

import pytest
from support.policies import (
    FINGERPRINT,
    allow,
    anonymous,
    claimed,
    compiled,
    deny,
    identity,
    verified,
)

from grpcsecure.model.authorization import Effect
from grpcsecure.policy.decision import Call, Miss

CHARGE = "/pay.v1.Pay/Charge"
OPS = identity("ops", common_name="ops")
CI = identity("ci", common_name="ci")
OPS_PEER = verified(common_name="ops")


def decided(policy, peer=OPS_PEER, method=CHARGE, listener="public", **call):
    """Return the decision on a call of a peer."""
    principal = policy.identify(peer, in_force=True)
    return policy.decide(principal, Call(method, listener, **call))


def name_of(policy, *args, **call):
    """Return the name of the rule that decides, or None for the default."""
    rule = decided(policy, *args, **call).rule
    return rule and rule.name


@pytest.mark.parametrize("default", Effect)
def test_default_decides_without_a_rule(default):
    """If no rule matches, the configured default decides, and no rule is reported."""
    for policy in (
        compiled(default=default),
        compiled(allow("ops", "/other.S/M"), identities=[OPS], default=default),
    ):
        decision = decided(policy)
        assert (decision.effect, decision.rule) == (default, None)
        assert decision.is_allowed is (default is Effect.ALLOW)
        assert decision.shadow is None


def test_default_is_deny():
    """Without a rule, every call is denied."""
    assert not decided(compiled()).is_allowed


def test_deny_comes_first():
    """A deny rule decides even if it is the last of the file."""
    policy = compiled(allow("ops", name="a"), deny("ops", name="d"), identities=[OPS])
    assert decided(policy).effect is Effect.DENY
    assert name_of(policy) == "d"


@pytest.mark.parametrize("rule", [allow, deny])
def test_first_in_file_order_is_reported(rule):
    """For all kinds of patterns and names, the first matching rule is reported."""
    patterns = [CHARGE, "*", "/pay.v1.Pay/*", "/pay.v1.Pay/Ch*", "/pay.*", "*/Charge"]
    for first in patterns:
        others = [pattern for pattern in patterns if pattern != first]
        policy = compiled(
            rule("ops", "/other.S/M", name="zero"),
            rule("ops", first, name="one"),
            *(rule("anyone verified ops", p, name="later") for p in others),
            identities=[OPS],
        )
        assert name_of(policy) == "one"


def test_any_of_the_names_is_enough():
    """A rule with several identities matches each of them."""
    policy = compiled(allow("ci ops"), identities=[OPS, CI])
    assert decided(policy).is_allowed
    assert decided(policy, verified(common_name="ci")).is_allowed
    assert not decided(policy, verified(common_name="dev")).is_allowed


def test_name_of_a_claimed_peer_denies_only():
    """An unverified name grants nothing, and does not evade a deny rule."""
    peer = claimed(common_name="ops")
    assert not decided(compiled(allow("ops"), identities=[OPS]), peer).is_allowed
    policy = compiled(allow("anyone"), deny("ops", name="d"), identities=[OPS])
    assert name_of(policy, peer) == "d"


def test_expired_pin_denies_only():
    """An expired registered certificate grants nothing, and is still denied."""
    pinned = identity("pinned", fingerprint=FINGERPRINT)
    closed = compiled(allow("pinned"), identities=[pinned])
    is_open = compiled(deny("pinned"), identities=[pinned], default=Effect.ALLOW)
    for in_force, wanted in ((True, [True, False]), (False, [False, False])):
        decisions = [
            policy.decide(
                policy.identify(claimed(), in_force=in_force), Call(CHARGE, "public")
            )
            for policy in (closed, is_open)
        ]
        assert [decision.is_allowed for decision in decisions] == wanted


def test_listeners_of_a_rule():
    """A rule with `listeners` applies on these only."""
    policy = compiled(
        allow("anyone", name="inner", listeners=("inner", "probes")),
        allow("anyone", name="all"),
    )
    assert name_of(policy, listener="inner") == "inner"
    assert name_of(policy, listener="probes") == "inner"
    assert name_of(policy, listener="public") == "all"
    assert name_of(policy, listener="") == "all"


METADATA = [
    # sent, allow rule for x-env [prod, test] matches, deny rule matches
    ([], False, False),
    ([("x-env", "prod")], True, True),
    ([("x-env", "test")], True, True),
    ([("x-env", "dev")], False, False),
    ([("x-env", "prod"), ("x-env", "test")], True, True),
    ([("x-env", "prod"), ("x-env", "dev")], False, True),
    ([("x-env", "dev"), ("x-env", "prod")], False, True),
    ([("x-other", "prod")], False, False),
    ([("x-other", "dev"), ("x-env", "prod")], True, True),
    ([("x-env", "Prod")], False, False),
    ([("x-env", "prod ")], False, False),
    ([("x-env", "prod,test")], False, False),
    ([("x-env", "")], False, False),
    ([("x-env", b"prod")], False, False),
]


@pytest.mark.parametrize(("sent", "allows", "denies"), METADATA)
def test_metadata_sent_several_times(sent, allows, denies):
    """More values widen no allow rule and evade no deny rule."""
    condition = {"x-env": ["prod", "test"]}
    policy = compiled(allow("anyone", metadata=condition))
    assert decided(policy, metadata=sent).is_allowed is allows
    policy = compiled(deny("anyone", metadata=condition), default=Effect.ALLOW)
    assert decided(policy, metadata=tuple(sent)).is_allowed is not denies


@pytest.mark.parametrize("rule", [allow, deny])
def test_every_metadata_key_must_match(rule):
    """A rule with two keys requires both."""
    policy = compiled(rule("anyone", metadata={"x-a": ["1"], "x-b": ["2"]}))
    assert name_of(policy, metadata=[("x-a", "1"), ("x-b", "2")]) == "rule"
    assert name_of(policy, metadata=[("x-a", "1")]) is None
    assert name_of(policy, metadata=[("x-a", "1"), ("x-b", "1")]) is None


def test_binary_metadata_is_compared_as_bytes():
    """The base64 of a rule, padded or not, is compared with the received bytes."""
    policy = compiled(allow("anyone", metadata={"x-key-bin": ["AP8=", "AA"]}))
    assert decided(policy, metadata=[("x-key-bin", b"\0\xff")]).is_allowed
    assert decided(policy, metadata=[("x-key-bin", b"\0")]).is_allowed
    assert not decided(policy, metadata=[("x-key-bin", b"AP8=")]).is_allowed
    assert not decided(policy, metadata=[("x-key-bin", "AP8=")]).is_allowed


def test_metadata_is_read_if_some_rule_has_a_condition():
    """Metadata is only fetched if a rule needs it; this includes shadow rules."""
    assert not compiled(allow("anyone"), deny("anyone")).reads_metadata
    for enforce in (True, False):
        rule = deny("anyone", metadata={"x": ["1"]}, enforce=enforce)
        assert compiled(allow("anyone"), rule).reads_metadata


def test_conditional_rules_come_before_the_next():
    """If the condition of a rule fails, the next rule of its pattern is tried."""
    policy = compiled(
        allow("ops", CHARGE, name="one", metadata={"x": ["1"]}),
        allow("ops", CHARGE, name="two", listeners=("public",)),
        allow("ops", CHARGE, name="three"),
        allow("ops", CHARGE, name="four", metadata={"x": ["2"]}),
        identities=[OPS],
    )
    assert name_of(policy, metadata=[("x", "1")]) == "one"
    assert name_of(policy, metadata=[("x", "2")]) == "two"
    assert name_of(policy, listener="inner", metadata=[("x", "2")]) == "three"


def test_method_that_does_not_exist():
    """Deny rules and the default apply; no allow rule matches."""
    rules = (allow("anyone", name="a"), deny("ci", name="d"))
    closed = compiled(*rules, identities=[CI])
    assert name_of(closed, exists=True) == "a"
    assert not decided(closed, exists=False).is_allowed
    assert name_of(closed, exists=False) is None
    is_open = compiled(*rules, identities=[CI], default=Effect.ALLOW)
    assert decided(is_open, exists=False).is_allowed
    assert name_of(is_open, verified(common_name="ci"), exists=False) == "d"


@pytest.mark.parametrize(
    ("peer", "is_known"),
    [
        (anonymous(), False),
        (claimed(common_name="ops"), False),
        (verified(), True),
        (claimed(fingerprint=FINGERPRINT, public_key=""), True),
    ],
)
def test_denial_says_whether_the_peer_is_known(peer, is_known):
    """A known peer is not asked to authenticate, even if a rule denies it."""
    pinned = identity("pinned", fingerprint=FINGERPRINT)
    if not is_known:
        pinned = identity("pinned", public_key="sha256:" + "00" * 32)
    for rules in ((), (deny("anyone"),)):
        policy = compiled(*rules, identities=[pinned])
        assert decided(policy, peer).is_known is is_known


def test_rule_that_is_not_enforced_decides_nothing():
    """Its decision is reported only if it differs."""
    policy = compiled(
        deny("ops", CHARGE, name="trial", enforce=False),
        allow("ops", name="all"),
        identities=[OPS],
    )
    decision = decided(policy)
    assert (decision.effect, decision.rule.name) == (Effect.ALLOW, "all")
    assert (decision.shadow.effect, decision.shadow.rule.name) == (Effect.DENY, "trial")
    assert decision.shadow.shadow is None
    assert decided(policy, method="/other.S/M").shadow is None


def test_shadow_of_the_same_effect_is_reported_by_its_rule():
    """The rule that would decide is reported even if the effect is the same."""
    policy = compiled(
        allow("ops", name="trial", enforce=False),
        allow("ops", name="all"),
        identities=[OPS],
    )
    assert decided(policy).rule.name == "all"
    assert decided(policy).shadow.rule.name == "trial"


def test_shadow_of_a_rule_that_would_not_decide_is_none():
    """A shadow rule behind a deciding rule changes nothing."""
    policy = compiled(
        allow("ops", name="all"),
        allow("ops", name="trial", enforce=False),
        identities=[OPS],
    )
    assert decided(policy).shadow is None


def test_shadow_allow_leaves_an_unknown_method_closed():
    """A shadow allow rule does not match a method that does not exist."""
    policy = compiled(allow("anyone", enforce=False))
    assert decided(policy).shadow.is_allowed
    assert decided(policy, exists=False).shadow is None


def test_trace_has_the_reasons_of_each_rule():
    """Every rule has a step, deny rules first, with all parts that do not match."""
    policy = compiled(
        allow("ops", "/pay.v1.Pay/*", CHARGE, name="match"),
        allow("ci", CHARGE, name="who"),
        allow("ops verified", "/pay.v1.Pay/Get*", name="what"),
        deny("ops", name="where", listeners=("inner",)),
        deny("ops", name="with", metadata={"x-a": ["1"], "x-b": ["2"]}),
        allow("ops", name="second"),
        identities=[OPS, CI],
    )
    principal = policy.identify(OPS_PEER, in_force=True)
    steps = policy.trace(principal, Call(CHARGE, "public", [("x-a", "1")]))
    assert [(step.rule.name, step.misses) for step in steps] == [
        ("where", (Miss.LISTENER,)),
        ("with", (Miss.METADATA,)),
        ("match", ()),
        ("who", (Miss.IDENTITY,)),
        ("what", (Miss.METHOD,)),
        ("second", ()),
    ]
    assert [step.rule.name for step in steps if step.is_decisive] == ["match"]
    by_name = {step.rule.name: step for step in steps}
    assert by_name["match"].method == "/pay.v1.Pay/*"
    assert by_name["with"].unmet == ("x-b",)
    assert by_name["what"].identities == ("ops", "verified")
    assert by_name["what"].method is None
    assert by_name["who"].identities == ()
    assert by_name["second"].is_match


def test_trace_of_a_claimed_peer():
    """Steps of allow rules show granted identities, of deny rules claimed ones."""
    policy = compiled(allow("ops"), deny("ops"), identities=[OPS])
    principal = policy.identify(claimed(common_name="ops"), in_force=True)
    refused, opened = policy.trace(principal, Call(CHARGE, "public"))
    assert (refused.identities, refused.is_decisive) == (("ops",), True)
    assert (opened.identities, opened.misses) == ((), (Miss.IDENTITY,))


def test_trace_of_a_method_that_does_not_exist():
    """An allow rule shows that it does not apply; a deny rule applies."""
    policy = compiled(allow("anyone"), deny("anyone"))
    principal = policy.identify(anonymous(), in_force=True)
    steps = policy.trace(principal, Call(CHARGE, "public", exists=False))
    assert [step.misses for step in steps] == [(), (Miss.EXISTENCE,)]


def test_policy_that_no_checked_config_has_is_refused():
    """An undefined identity in a rule, or a duplicate one, is not compiled."""
    with pytest.raises(ValueError, match=r"^expected `nobody` among"):
        compiled(deny("nobody"))
    for identities in ([OPS, OPS], [identity("anyone", common_name="x")]):
        with pytest.raises(ValueError, match=r"^expected names of identities"):
            compiled(identities=identities)
    with pytest.raises(ValueError, match=r"^expected `/package"):
        compiled(deny("anyone", ".*"))
    with pytest.raises(ValueError, match=r"^expected base64"):
        compiled(deny("anyone", metadata={"x-bin": ["?"]}))
