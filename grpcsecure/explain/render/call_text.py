"""One decision as text for terminals: the verdict, its reason, then the trace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.diagnostics.render.text import Style, visible
from grpcsecure.explain.calls import Basis
from grpcsecure.explain.phrases import count, describe_rule, line_of
from grpcsecure.explain.query_subject import describe_names
from grpcsecure.model.authorization import Effect

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from grpcsecure.explain.calls import CallVerdict, Explanation, StepFacts

__all__ = ["render_call_text"]

#: The most rules about other methods that are listed; of more, only their number.
_MOST_OTHERS = 12

#: The most rules about the method that are listed, besides the one that decided.
_MOST_SHOWN = 50


def render_call_text(explanation: Explanation, *, color: bool = False) -> str:
    """Return the explanation as text."""
    style = Style(color=color)
    parts = [
        "\n".join(_verdict(explanation, one, style)) for one in explanation.verdicts
    ]
    return "\n\n".join(parts) + "\n"


def _verdict(explanation: Explanation, one: CallVerdict, style: Style) -> Iterator[str]:
    allowed = one.effect is Effect.ALLOW
    word = style.paint("ok" if allowed else "error", "ALLOW" if allowed else "DENY ")
    yield f"{word}  {_basis(one)}  {visible(line_of(one.place))}"
    where = ", ".join((one.listener.mode, *one.tls_versions))
    yield visible(f"  {explanation.method} on {one.listener.name} ({where})")
    yield from _method(explanation, one)
    yield from _metadata(explanation)
    yield from _caller(one)
    yield from _trace(one.steps)
    if one.basis is Basis.DEFAULT:
        reason = "no rule matches" if one.steps else "there are no rules"
        yield f"  {reason} -> {one.effect.value}"
    if one.left:
        yield f"  {count(one.left, 'later rule')} not evaluated"
    yield from _outcome(one)


def _basis(one: CallVerdict) -> str:
    match one.basis:
        case Basis.RULE:
            return visible(describe_rule(one.rule))
        case Basis.DEFAULT:
            return "default"
        case Basis.HANDSHAKE:
            return "handshake"
        case Basis.CERTIFICATE:
            return "certificate"
        case Basis.NO_RULES:
            return "no authorization"


def _method(explanation: Explanation, one: CallVerdict) -> Iterator[str]:
    if not explanation.knows_methods:
        yield "  method: assumed to exist, since the served methods are not known"
    elif not one.exists:
        similar = explanation.similar
        hint = f"; did you mean {visible(similar)}?" if similar is not None else ""
        yield f"  method: not served here{hint}"


def _metadata(explanation: Explanation) -> Iterator[str]:
    if explanation.removed_keys:
        keys = ", ".join(explanation.removed_keys)
        yield f"  metadata: gRPC removes {keys}: no rule and no handler sees it"


def _caller(one: CallVerdict) -> Iterator[str]:
    caller = one.caller
    expiry = f", {caller.expiry}" if caller.expiry else ""
    yield f"  {visible(caller.words)}{expiry}"
    if caller.certificate is not None and caller.certificate.der:
        names = [f"{key}:{value}" for key, value in describe_names(caller.certificate)]
        yield f"  names: {visible(', '.join(names)) or 'none'}"
    if one.basis in {Basis.RULE, Basis.DEFAULT}:
        yield f"  identities: {visible(', '.join(caller.identities)) or 'none'}"
    if caller.claimed:
        claimed = visible(", ".join(caller.claimed))
        yield f"  claims to be: {claimed} (counts in deny rules only)"


def _trace(steps: Sequence[StepFacts]) -> Iterator[str]:
    others = sum(not step.is_about_method for step in steps)
    about = [step for step in steps if step.is_about_method or others <= _MOST_OTHERS]
    shown = [
        step
        for index, step in enumerate(about)
        if index < _MOST_SHOWN or step.is_decisive
    ]
    digits = max((len(str(step.number)) for step in shown), default=1)
    width = max((len(visible(step.rule.name)) for step in shown), default=0)
    if len(about) < len(steps):
        yield f"  {count(others, 'rule')} about other methods"
    for step in shown:
        name = visible(step.rule.name)
        yield f"  {step.number:{digits}}  {name:{width}}  {visible(step.words)}"
    if len(shown) < len(about):
        left_out = count(len(about) - len(shown), "more rule")
        yield f"  {left_out} about the method did not match (all are in the JSON)"


def _outcome(one: CallVerdict) -> Iterator[str]:
    if one.status not in {None, "OK"}:
        yield f"  the client receives {one.status}"
    if one.shadow is not None and one.shadow_place is not None:
        yield visible(
            f"  with every rule enforced: {one.shadow.effect.value},"
            f" {describe_rule(one.shadow.rule)}  {line_of(one.shadow_place)}"
        )
