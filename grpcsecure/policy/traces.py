"""Human-readable decisions and traces: one line for each rule about the method."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.model.authorization import Effect
from grpcsecure.policy.decision import Miss
from grpcsecure.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from grpcsecure.policy.decision import Decision, Principal, TraceStep

__all__ = ["describe_caller", "describe_decision", "describe_step", "describe_trace"]

#: Most lines of a trace; rules about other methods are not shown at all.
_MAX_LINES = 12


def describe_decision(decision: Decision) -> str:
    """Describe a decision and its rule: "denied by rule `x`"."""
    verb = "allowed" if decision.effect is Effect.ALLOW else "denied"
    by = "the default" if decision.rule is None else f"rule `{decision.rule.name}`"
    return f"{verb} by {by}"


def describe_caller(principal: Principal) -> str:
    """List the granted and the claimed identities of a caller."""
    claimed = principal.claimed - principal.granted
    text = f"the caller is {_list(sorted(principal.granted))}"
    if claimed:
        text += f"; it claims to be {_list(sorted(claimed))}, which is not verified"
    return text


def describe_trace(trace: Iterable[TraceStep]) -> Iterator[str]:
    """Yield a line for each rule about the method, in the order of evaluation."""
    about = [step for step in trace if Miss.METHOD not in step.misses]
    for step in about[:_MAX_LINES]:
        yield f"`{step.rule.name}` {describe_step(step)}"
    if len(about) > _MAX_LINES:
        yield f"{len(about) - _MAX_LINES} more rules are about the method"
    if not about:
        yield "no rule is about the method"


def describe_step(step: TraceStep) -> str:
    """Describe the match of a rule, or the first reason why it does not match."""
    rule = step.rule
    verb = "allows" if rule.effect is Effect.ALLOW else "denies"
    if step.is_decisive:
        return f"{verb} it and decides"
    if not step.is_match:
        return _describe_miss(step, verb)
    if rule.enforce:
        return f"{verb} it, but an earlier rule decides"
    return f"{verb} it, but is not enforced (`enforce: false`)"


def _describe_miss(step: TraceStep, verb: str) -> str:
    rule = step.rule
    words = {
        Miss.METHOD: "is about other methods",
        Miss.LISTENER: f"applies on {_list(rule.listeners or ())} only",
        Miss.IDENTITY: f"{verb} {_list(rule.identities)} only",
        Miss.METADATA: f"requires other metadata {_list(step.unmet)}",
        Miss.EXISTENCE: "cannot allow a method that does not exist",
    }
    return words[step.misses[0]]


def _list(names: Iterable[str]) -> str:
    return ", ".join(quote(name) for name in names)
