"""Properties that hold for every policy, peer and call."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st
from support.effort import repeats
from support.naive_policy import CERTIFICATE_VALUES, CRITERIA, PINS, NaivePolicy
from support.policies import allow, anonymous, certificate

from grpcsecure.model.authorization import (
    Authorization,
    BuiltIn,
    Criterion,
    Effect,
    Identity,
    Matcher,
    MatcherKind,
    MetadataCondition,
    Rule,
)
from grpcsecure.model.peer import ClaimedPeer, Peer, VerifiedPeer
from grpcsecure.policy.decision import Call, compile_policy

NAMES = ("one", "two", "three")
BUILT_IN = tuple(built_in.value for built_in in BuiltIn)
NAME_KINDS = tuple(kind for kind in MatcherKind if not kind.is_pin)
PATTERNS = (
    "*",
    "/*",
    "/a.*",
    "/b.*",
    "/a.S/*",
    "/a.S/G*",
    "/a.S/Get",
    "/b.S/Get",
    "*/Get",
    "*t",
    "/a.S/../*",
)
METHODS = ("/a.S/Get", "/a.S/Put", "/a.S/Go", "/b.S/Get", "/a.S/../Get", "//", "t", "")
LISTENERS = ("public", "inner")
KEYS = {"x-env": ("prod", "dev"), "x-key-bin": ("AA==", "AQ==")}
SENT = (
    *((key, value) for key in ("x-env", "x-other") for value in ("prod", "dev", "\0")),
    *(("x-key-bin", value) for value in (b"\0", b"\1", b"AA==")),
)


def some(values, **sizes):
    """Draw a tuple of different values."""
    return st.lists(st.sampled_from(values), unique=True, **sizes).map(tuple)


def criteria(kinds=tuple(MatcherKind)):
    """Draw a criterion of one of the kinds."""
    return st.sampled_from(
        [Criterion(kind, value) for kind in kinds for value in CRITERIA[kind.value]]
    )


def built(kind, *arguments, **named):
    """Draw `kind` with these arguments.

    `st.builds` would draw the optional fields of named tuples as well.
    """
    drawn = st.tuples(st.tuples(*arguments), st.fixed_dictionaries(named))
    return drawn.map(lambda both: kind(*both[0], **both[1]))


def identities(kinds=tuple(MatcherKind)):
    """Draw the definitions of the three names."""
    matchers = built(
        Matcher,
        st.lists(
            criteria(kinds), min_size=1, max_size=2, unique_by=lambda c: c.kind
        ).map(tuple),
    )
    return st.tuples(
        *(
            built(
                Identity,
                st.just(name),
                st.lists(matchers, min_size=1, max_size=2).map(tuple),
            )
            for name in NAMES
        )
    )


CONDITIONS = st.sampled_from(list(KEYS)).flatmap(
    lambda key: built(MetadataCondition, st.just(key), some(KEYS[key], min_size=1)).map(
        lambda condition: (condition,)
    )
)


def rules(*effects):
    """Draw a rule; half of them have no condition."""
    return built(
        Rule,
        name=st.sampled_from("abcdefgh"),
        effect=st.sampled_from(effects or tuple(Effect)),
        identities=some((*NAMES, *BUILT_IN), min_size=1, max_size=3),
        methods=some(PATTERNS, min_size=1, max_size=3),
        listeners=st.none() | st.none() | some(LISTENERS, min_size=1),
        metadata=st.just(()) | CONDITIONS,
        enforce=st.booleans(),
    )


POLICIES = built(
    Authorization,
    default=st.sampled_from(Effect),
    rules=st.lists(rules(), max_size=6).map(tuple),
)

CERTIFICATES = built(
    certificate,
    **{
        attribute: (
            st.sampled_from(values)
            if attribute in {"common_name", "subject", "fingerprint", "public_key"}
            else some(values, max_size=2)
        )
        for attribute, values in CERTIFICATE_VALUES.items()
    },
)
CLAIMED = built(
    ClaimedPeer,
    listener=st.just("public"),
    address=st.just(""),
    certificate=CERTIFICATES,
    unverified_reason=st.just("no"),
)
VERIFIED = built(
    VerifiedPeer,
    listener=st.just("public"),
    address=st.just(""),
    certificate=CERTIFICATES,
)
PEERS = VERIFIED | CLAIMED | built(anonymous)
CALLS = built(
    Call,
    st.sampled_from(METHODS),
    st.sampled_from(LISTENERS),
    st.lists(st.sampled_from(SENT), max_size=3),
    st.booleans(),
)
DATES = st.booleans()


class Scene(NamedTuple):
    """Everything but the rules: identities, peer, call, and valid dates or not."""

    known: tuple[Identity, ...]
    peer: Peer
    call: Call
    in_force: bool

    def principal(self, policy):
        """Return the principal of the caller in a policy."""
        return policy.identify(self.peer, in_force=self.in_force)

    def compile(self, authorization):
        """Return the policy of these rules."""
        return compile_policy(authorization, self.known, pins=PINS)

    def decide(self, authorization):
        """Return the decision by these rules."""
        policy = self.compile(authorization)
        return policy.decide(self.principal(policy), self.call)

    def has(self, name, *, trusted):
        """Whether the caller is granted (trusted) or claims a name."""
        naive = NaivePolicy(Authorization(), self.known)
        return naive.has(self.peer, name, trusted=trusted, now=self.in_force)


SCENES = built(Scene, identities(), PEERS, CALLS, DATES)


@settings(max_examples=repeats(100, 500))
@given(SCENES)
def test_identities_agree_with_a_linear_search(scene):
    """The index of identities finds the same names as matching each in turn."""
    principal = scene.principal(scene.compile(Authorization()))
    everything = (*NAMES, *BUILT_IN)
    for names, trusted in ((principal.granted, True), (principal.claimed, False)):
        assert names == {n for n in everything if scene.has(n, trusted=trusted)}
    assert principal.identities == principal.granted & set(NAMES)
    # A caller that is granted a name can be denied by that name.
    assert principal.granted <= principal.claimed


UNVERIFIED = CLAIMED | built(anonymous)


@given(POLICIES, built(Scene, identities(NAME_KINDS), UNVERIFIED, CALLS, DATES))
def test_unverified_chain_gets_nothing_by_a_name(authorization, scene):
    """Without a verified chain, no name is granted, and no rule for names allows."""
    assert scene.principal(scene.compile(authorization)).identities == frozenset()
    rule = scene.decide(authorization).rule
    if rule is not None and rule.effect is Effect.ALLOW:
        assert not {*BUILT_IN}.isdisjoint(rule.identities)


@given(CLAIMED, criteria(NAME_KINDS), criteria(), CALLS, DATES)
def test_name_beside_a_pin_grants_nothing(peer, name, other, call, in_force):
    """A matcher with a name requires a verified peer, even with a pin beside it."""
    scene = Scene((Identity("one", (Matcher((name, other)),)),), peer, call, in_force)
    assert not scene.decide(Authorization(rules=(allow("one"),))).is_allowed


@given(POLICIES, rules(Effect.DENY), SCENES, st.data())
def test_one_more_deny_rule_never_allows(authorization, rule, scene, data):
    """At any position, what was denied stays denied."""
    more = with_one_more(authorization, rule, data)
    if scene.decide(more).is_allowed:
        assert scene.decide(authorization).is_allowed


@given(POLICIES, rules(Effect.ALLOW), SCENES, st.data())
def test_one_more_allow_rule_never_denies(authorization, rule, scene, data):
    """At any position, what was allowed stays allowed."""
    more = with_one_more(authorization, rule, data)
    if scene.decide(authorization).is_allowed:
        assert scene.decide(more).is_allowed


def with_one_more(authorization, rule, data):
    """Insert a rule at a random position."""
    place = data.draw(st.integers(0, len(authorization.rules)))
    before, after = authorization.rules[:place], authorization.rules[place:]
    return authorization._replace(rules=(*before, rule, *after))


@given(POLICIES, SCENES, st.data())
def test_order_never_changes_what_is_allowed(authorization, scene, data):
    """The order of rules only changes which rule is reported."""
    shuffled = tuple(data.draw(st.permutations(authorization.rules)))
    before = scene.decide(authorization)
    after = scene.decide(authorization._replace(rules=shuffled))
    assert before.effect is after.effect
    assert (before.shadow or before).effect is (after.shadow or after).effect


@given(POLICIES, SCENES)
def test_shadow_rules_decide_nothing(authorization, scene):
    """The decisions are the same with and without rules that are not enforced."""
    enforced = tuple(rule for rule in authorization.rules if rule.enforce)
    decision = scene.decide(authorization)._replace(shadow=None)
    assert decision == scene.decide(authorization._replace(rules=enforced))


@settings(max_examples=repeats(100, 500))
@given(POLICIES, SCENES)
def test_index_and_trace_agree_with_a_linear_search(authorization, scene):
    """The compiled policy and its trace name the rule that a simple search finds."""
    policy = scene.compile(authorization)
    principal = scene.principal(policy)
    decision = policy.decide(principal, scene.call)
    check_decision(decision, authorization, scene)
    check_trace(policy.trace(principal, scene.call), decision, authorization)


def check_decision(decision, authorization, scene):
    """Assert that a simple search decides by the same rule, shadow too."""
    naive = NaivePolicy(authorization, scene.known)
    wanted, all_enforced = naive.decide(scene.peer, scene.call, in_force=scene.in_force)
    assert (decision.effect, decision.rule) == wanted
    shadow = decision.shadow or decision
    assert (shadow.effect, shadow.rule) == all_enforced
    assert (decision.shadow is None) == (all_enforced == wanted)
    assert decision.is_known == (
        isinstance(scene.peer, VerifiedPeer)
        or any(scene.has(name, trusted=True) for name in NAMES)
    )


def check_trace(steps, decision, authorization):
    """Assert that the first enforced match is the rule that decided, and only that."""
    in_order = sorted(authorization.rules, key=lambda r: r.effect is Effect.ALLOW)
    assert [step.rule for step in steps] == in_order
    for is_asked, wanted in (
        (lambda rule: rule.enforce, decision),
        (lambda _rule: True, decision.shadow or decision),
    ):
        matching = [s.rule for s in steps if is_asked(s.rule) and s.is_match]
        assert next(iter(matching), None) is wanted.rule
    decisive = [step.rule for step in steps if step.is_decisive]
    assert decisive == ([] if decision.rule is None else [decision.rule])


NAMES_LIKE = st.text(max_size=30) | st.text("spiffe:/td.*@%2e\\\0,=+#", max_size=30)


@given(
    POLICIES,
    identities(),
    built(
        certificate,
        subject=NAMES_LIKE,
        common_name=st.none() | NAMES_LIKE,
        fingerprint=NAMES_LIKE,
        public_key=NAMES_LIKE,
        **{
            attribute: st.lists(NAMES_LIKE, max_size=3).map(tuple)
            for attribute in ("uris", "dns", "emails", "ips", "organizational_units")
        },
    ),
    built(
        Call,
        st.text() | st.text("/aS.Get*"),
        st.text(),
        st.lists(st.tuples(st.sampled_from(list(KEYS)), st.text() | st.binary())),
    ),
)
def test_nothing_a_client_sends_raises(authorization, known, presented, call):
    """There is a decision for any certificate, path and metadata."""
    peer = VerifiedPeer(listener="public", address="", certificate=presented)
    scene = Scene(known, peer, call, in_force=True)
    policy = scene.compile(authorization)
    principal = scene.principal(policy)
    assert policy.decide(principal, call).effect in Effect
    assert len(policy.trace(principal, call)) == len(authorization.rules)
