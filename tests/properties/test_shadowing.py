"""Tests of GS405 against decisions: a shadowed rule never decides."""

from __future__ import annotations

import itertools
import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.configs import FOLDER, underlined
from support.effort import repeats
from support.policy_checks import check, rules

from grpcsecure.config.load import parse_config
from grpcsecure.config.source import Source
from grpcsecure.model.authorization import Criterion, Matcher, MatcherKind
from grpcsecure.policy.decision import Call, compile_policy
from grpcsecure.policy.synthetic_peers import peer_with, synthetic_certificate

DIGEST = "sha256:" + "9f" * 32
IDENTITIES = {
    "a": {"dns": "a"},
    "pin": {"fingerprint": DIGEST},
    "both": [{"dns": "a", "fingerprint": DIGEST}, {"dns": "b"}],
}

NAMES = [*IDENTITIES, "anyone", "verified", "presented", "anonymous"]
PATTERNS = ["*", "/a.B/*", "/a.B/C", "/a.*", "*/C", "*C", "/a.B/D", "/*"]
METHODS = ["/a.B/C", "/a.B/D", "/a.X/C", "/b.B/C", "/a.B/CC", "x"]
LISTENERS = ["optional", "checked"]
VALUES = ["x", "y"]


def some(values, most=2):
    """Return a strategy of lists of different values."""
    return st.lists(st.sampled_from(values), min_size=1, max_size=most, unique=True)


RULE = st.tuples(
    st.sampled_from(["allow", "deny"]),
    st.fixed_dictionaries(
        {"methods": some(PATTERNS)},
        optional={
            "listeners": some(LISTENERS),
            "metadata": st.fixed_dictionaries(
                {}, optional={"k": some(VALUES), "l": some(VALUES)}
            ).filter(bool),
            "enforce": st.booleans(),
        },
    ),
    some(NAMES),
).map(lambda parts: {parts[0]: parts[2], **parts[1]})


def certificate(**names):
    """Return a certificate with these names."""
    return synthetic_certificate(
        Matcher(tuple(Criterion(MatcherKind(k), v) for k, v in names.items()))
    )


CERTIFICATES = [
    None,
    certificate(dns="a"),
    certificate(dns="b"),
    certificate(fingerprint=DIGEST),
    certificate(dns="a", fingerprint=DIGEST),
]

SENT = [
    tuple((key, value) for key, value in pairs)
    for pairs in [
        (),
        *(((key, value),) for key in "kl" for value in VALUES),
        (("k", "x"), ("k", "y")),
        (("k", "x"), ("l", "x")),
        (("k", "x"), ("l", "y")),
    ]
]


@settings(
    suppress_health_check=[HealthCheck.too_slow],
    deadline=None,
    max_examples=repeats(50, 150),
)
@given(st.lists(RULE, min_size=2, max_size=4))
def test_shadowed_rule_never_decides(rules):
    """No caller, method, listener and metadata make a shadowed rule decide."""
    policy = {
        "identities": IDENTITIES,
        "authorization": {"rules": {f"r{i}": rule for i, rule in enumerate(rules)}},
    }
    body = "".join(f"{key}: {json.dumps(value)}\n" for key, value in policy.items())
    findings, text = check(body)
    shadowed = {underlined(text, f).strip('"') for f in findings if f.code == "GS405"}
    if not shadowed:
        return
    source = Source("x", FOLDER, text)
    config = parse_config(source, profile=None, environ={}).document.config
    engine = compile_policy(config.authorization, config.identities, pins={})
    by_name = {one.name: one for one in config.listeners}
    for listener, proof, presented in itertools.product(
        LISTENERS, (None, "not verified"), CERTIFICATES
    ):
        peer = peer_with(presented, by_name[listener], reason=proof)
        for in_force in (True, False):
            principal = engine.identify(peer, in_force=in_force)
            for method, sent in itertools.product(METHODS, SENT):
                decision = engine.decide(principal, Call(method, listener, sent))
                rule = decision.rule
                assert rule is None or rule.name not in shadowed
                would_be = decision.shadow and decision.shadow.rule
                assert would_be is None or would_be.name not in shadowed


def test_many_similar_rules_take_little_time():
    """Comparing each rule with each other one would take minutes."""
    lines = [
        f"r{i}: {{allow: [anyone], methods: ['*'], metadata: {{a: [v{i}]}}}}"
        for i in range(1500)
    ]
    findings, _ = check(rules(*lines))
    assert not [finding for finding in findings if finding.code == "GS405"]
