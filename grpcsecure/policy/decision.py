"""The decision on a call, and the trace that explains it.

Deny rules are evaluated first, then allow rules, each in the order of the file; the
first match decides and is reported. If no rule matches, the default decides, which is
DENY unless the config sets it. No input from a client makes this raise.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from grpcsecure.model.authorization import Decision, Effect
from grpcsecure.policy.identity_index import BUILT_IN_NAMES, IdentityIndex, Principal
from grpcsecure.policy.rule_index import Call, CompiledRule, RuleIndex

if TYPE_CHECKING:
    from collections.abc import Mapping

    from grpcsecure.model.authorization import Authorization, Identity, Rule
    from grpcsecure.model.peer import Peer

__all__ = [
    "Call",
    "Decision",
    "Miss",
    "Policy",
    "Principal",
    "TraceStep",
    "compile_policy",
]


class Miss(Enum):
    """The part of a rule that does not match a call."""

    METHOD = "method"
    LISTENER = "listener"
    IDENTITY = "identity"
    METADATA = "metadata"
    #: The rule allows, but the server does not have the method.
    EXISTENCE = "existence"


class TraceStep(NamedTuple):
    """One rule of a trace, and why it matches a call or does not."""

    rule: Rule
    #: The parts of the rule that do not match; empty if the rule matches.
    misses: tuple[Miss, ...]
    #: The first of the rule's patterns that matches.
    method: str | None
    #: The identities of the rule that the peer has: granted ones for an allow rule,
    #: claimed ones for a deny rule.
    identities: tuple[str, ...]
    #: The metadata keys with a condition that does not hold.
    unmet: tuple[str, ...]
    #: Whether this rule decided.
    is_decisive: bool

    @property
    def is_match(self) -> bool:
        """Whether the rule matches; with `enforce: false`, it still decides nothing."""
        return not self.misses


#: The decision of a rule, for an unknown and for a known peer (`Principal.is_known`).
_Answers = tuple[Decision, Decision]


class _Rules:
    """The compiled rules of one listener."""

    def __init__(self, rules: list[CompiledRule]) -> None:
        self.deny = RuleIndex(r for r in rules if r.rule.effect is Effect.DENY)
        self.allow = RuleIndex(r for r in rules if r.rule.effect is Effect.ALLOW)


class _RuleSet:
    """A set of rules that decides on calls of all listeners."""

    def __init__(self, rules: list[CompiledRule], answers: dict[int, _Answers]) -> None:
        named = {name for rule in rules for name in rule.rule.listeners or ()}
        self._named = {
            name: _Rules([rule for rule in rules if rule.is_on(name)]) for name in named
        }
        #: The rules for listeners that no rule names.
        self._others = _Rules([rule for rule in rules if rule.rule.listeners is None])
        self._answers = answers

    def decide(self, principal: Principal, call: Call) -> Decision:
        # deny rule  method exists  allow rule  decided by
        # matches    any            any         the deny rule
        # none       yes            matches     the allow rule
        # none       yes            none        the default
        # none       no             any         the default
        rules = self._named.get(call.listener, self._others)
        rule = rules.deny.first(principal.claimed, call)
        if rule is None and call.exists:
            rule = rules.allow.first(principal.granted, call)
        order = _DEFAULT if rule is None else rule.order
        return self._answers[order][principal.is_known]


#: The key of the default's decision among the orders of rules.
_DEFAULT = -1


class Policy:
    """The identities and rules of a config, compiled; see `compile_policy`."""

    def __init__(
        self, rules: list[CompiledRule], identities: IdentityIndex, default: Effect
    ) -> None:
        self._identities = identities
        answers = {rule.order: _answers(rule.rule.effect, rule.rule) for rule in rules}
        answers[_DEFAULT] = _answers(default, None)
        enforced = [rule for rule in rules if rule.rule.enforce]
        self._rules = rules
        self._reads_metadata = any(rule.rule.metadata for rule in rules)
        self._enforced = _RuleSet(enforced, answers)
        self._all = None if len(enforced) == len(rules) else _RuleSet(rules, answers)

    @property
    def reads_metadata(self) -> bool:
        """Whether any rule has conditions on metadata."""
        return self._reads_metadata

    def identify(self, peer: Peer, *, in_force: bool) -> Principal:
        """Return the identities of a peer; valid until peer, clock or policy change.

        Args:
            peer: the peer as assessed now; only a `VerifiedPeer` is granted names.
            in_force: whether the validity period of its certificate includes now.
        """
        return self._identities.identify(peer, in_force=in_force)

    def decide(self, principal: Principal, call: Call) -> Decision:
        """Decide on a call of a peer. If no rule matches, the default decides."""
        decision = self._enforced.decide(principal, call)
        if self._all is None:
            return decision
        would_be = self._all.decide(principal, call)
        if would_be is decision:
            return decision
        return Decision(
            effect=decision.effect,
            rule=decision.rule,
            is_known=decision.is_known,
            shadow=would_be,
        )

    def trace(self, principal: Principal, call: Call) -> tuple[TraceStep, ...]:
        """Return a step for each rule, in the order of their evaluation."""
        decisive = self.decide(principal, call).rule
        in_order = sorted(self._rules, key=lambda r: r.rule.effect is Effect.ALLOW)
        return tuple(
            _step(rule, principal, call, is_decisive=rule.rule is decisive)
            for rule in in_order
        )


def _answers(effect: Effect, rule: Rule | None) -> _Answers:
    return (
        Decision(effect=effect, rule=rule, is_known=False),
        Decision(effect=effect, rule=rule, is_known=True),
    )


def _step(
    rule: CompiledRule, principal: Principal, call: Call, *, is_decisive: bool
) -> TraceStep:
    is_allow = rule.rule.effect is Effect.ALLOW
    names = principal.granted if is_allow else principal.claimed
    method = next((str(p) for p in rule.patterns if p.matches(call.method)), None)
    identities = tuple(name for name in rule.rule.identities if name in names)
    unmet = tuple(rule.unmet(call))
    is_missed = {
        Miss.METHOD: method is None,
        Miss.LISTENER: not rule.is_on(call.listener),
        Miss.IDENTITY: not identities,
        Miss.METADATA: bool(unmet),
        Miss.EXISTENCE: is_allow and not call.exists,
    }
    return TraceStep(
        rule=rule.rule,
        misses=tuple(miss for miss, missed in is_missed.items() if missed),
        method=method,
        identities=identities,
        unmet=unmet,
        is_decisive=is_decisive,
    )


def compile_policy(
    authorization: Authorization,
    identities: tuple[Identity, ...],
    *,
    pins: Mapping[str, frozenset[str]],
) -> Policy:
    """Compile rules and identities, once for many decisions.

    Args:
        authorization: the `authorization` block of the config.
        identities: the identities of the config.
        pins: for the value of each `certificates` criterion, the fingerprints of its
            certificates.

    Raises:
        ValueError: an error that no checked config has: a name that is undefined or
            defined twice, an invalid pattern or value, missing pins.
    """
    defined = {identity.name for identity in identities}
    if len(defined) < len(identities) or not defined.isdisjoint(BUILT_IN_NAMES):
        raise ValueError("expected names of identities that differ from all others")
    for rule in authorization.rules:
        for name in rule.identities:
            # A deny rule for an undefined identity would match no caller.
            if name not in defined and name not in BUILT_IN_NAMES:
                raise ValueError(f"expected `{name}` among the identities")
    rules = [CompiledRule(rule, n) for n, rule in enumerate(authorization.rules)]
    return Policy(rules, IdentityIndex(identities, pins), authorization.default)
