"""One call, explained: the decision, what decided, and why the rules did not.

The decision is the policy's that serves; nothing here decides again.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from grpcsecure.diagnostics.suggest import nearest
from grpcsecure.explain.listener_facts import listener_facts
from grpcsecure.explain.query_subject import see
from grpcsecure.explain.reasons import explain_step
from grpcsecure.explain.table import Change
from grpcsecure.model.authorization import Effect
from grpcsecure.policy.decision import Call

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from grpcsecure.diagnostics.model import Span
    from grpcsecure.explain.listener_facts import ListenerFacts
    from grpcsecure.explain.loaded_config import LoadedConfig
    from grpcsecure.explain.query_subject import CallerFacts, QuerySubject, SeenCaller
    from grpcsecure.model.authorization import Rule
    from grpcsecure.model.listener import Listener

__all__ = [
    "Basis",
    "CallVerdict",
    "Explanation",
    "Question",
    "StepFacts",
    "explain_call",
]


class Basis(Enum):
    """What a verdict rests on."""

    RULE = "rule"
    DEFAULT = "default"
    #: The client never gets as far as a call.
    HANDSHAKE = "handshake"
    #: The config has no `authorization`.
    NO_RULES = "no rules"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A call that may be made; `listener=None`: wherever the method is served."""

    subject: QuerySubject
    method: str
    listener: str | None = None
    metadata: tuple[tuple[str, str | bytes], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFacts:
    """A rule that was asked, and what came of it, in words."""

    number: int
    rule: Rule
    place: Span
    is_match: bool
    is_decisive: bool
    #: Whether the rule is about the method at all.
    is_about_method: bool
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallVerdict:
    """What becomes of the call on one listener.

    `status` is what the client is told; None if it is told nothing by gRPC. `steps` are
    all rules in the order of asking, up to the one that decided; `left` counts the
    rules that were not asked.
    """

    listener: ListenerFacts
    effect: Effect
    basis: Basis
    rule: Rule | None
    place: Span
    status: str | None
    caller: CallerFacts
    exists: bool
    steps: tuple[StepFacts, ...] = ()
    left: int = 0
    shadow: Change | None = None
    shadow_place: Span | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The answer to a question: a verdict for each listener that was asked about."""

    subject: str
    profile: str | None
    method: str
    verdicts: tuple[CallVerdict, ...]
    knows_methods: bool
    #: The method that was probably meant, where no listener serves the one given.
    meant: str | None = None

    @property
    def is_allowed(self) -> bool:
        """Whether the call gets through wherever it is made."""
        return all(one.effect is Effect.ALLOW for one in self.verdicts)


def explain_call(
    scene: LoadedConfig, question: Question, *, now: datetime
) -> Explanation:
    """Return the decision on a call, for each listener it may come in by."""
    listeners = scene.config.listeners
    method = question.method
    asked = [one for one in listeners if scene.exists(method, one.name)]
    meant = None if asked else _meant(scene, method)
    if question.listener is not None:
        asked = [scene.listener(question.listener)]
    return Explanation(
        subject=scene.document.source.name,
        profile=scene.document.profile,
        method=method,
        verdicts=tuple(
            _verdict(scene, question, listener, now) for listener in asked or listeners
        ),
        knows_methods=scene.knows_methods,
        meant=meant,
    )


def _meant(scene: LoadedConfig, method: str) -> str | None:
    every = sorted({one for served in scene.methods.values() for one in served})
    name = method.rpartition("/")[2]
    same_name = [one for one in every if one.rpartition("/")[2] == name]
    return nearest(method, every) or (same_name[0] if len(same_name) == 1 else None)


def _verdict(
    scene: LoadedConfig, question: Question, listener: Listener, now: datetime
) -> CallVerdict:
    seen = see(scene, question.subject, listener, now=now)
    exists = scene.exists(question.method, listener.name)
    if not seen.gets_in:
        return CallVerdict(
            listener=listener_facts(scene, listener),
            effect=Effect.DENY,
            basis=Basis.HANDSHAKE,
            rule=None,
            place=scene.place_of_mode(listener.name),
            status=None,
            caller=seen.facts,
            exists=exists,
        )
    call = Call(question.method, listener.name, question.metadata, exists)
    return _decided(scene, seen, listener, call)


def _decided(
    scene: LoadedConfig, seen: SeenCaller, listener: Listener, call: Call
) -> CallVerdict:
    policy, principal = scene.snapshot.policy, seen.principal
    facts = listener_facts(scene, listener)
    if policy is None or principal is None:
        return CallVerdict(
            listener=facts,
            effect=Effect.ALLOW,
            basis=Basis.NO_RULES,
            rule=None,
            place=scene.place_of(None),
            status=_status(is_allowed=True, is_known=True, exists=call.exists),
            caller=seen.facts,
            exists=call.exists,
        )
    decision = policy.decide(principal, call)
    shadow = decision.shadow
    steps = tuple(_steps(scene, seen, call))
    return CallVerdict(
        listener=facts,
        effect=decision.effect,
        basis=Basis.DEFAULT if decision.rule is None else Basis.RULE,
        rule=decision.rule,
        place=scene.place_of(decision.rule),
        status=_status(
            is_allowed=decision.is_allowed,
            is_known=decision.is_known,
            exists=call.exists,
        ),
        caller=seen.facts,
        exists=call.exists,
        steps=steps,
        left=scene.rule_count - len(steps),
        shadow=None if shadow is None else Change(shadow.effect, shadow.rule),
        shadow_place=None if shadow is None else scene.place_of(shadow.rule),
    )


def _status(*, is_allowed: bool, is_known: bool, exists: bool) -> str:
    if is_allowed:
        return "OK" if exists else "UNIMPLEMENTED"
    return "PERMISSION_DENIED" if is_known else "UNAUTHENTICATED"


def _steps(scene: LoadedConfig, seen: SeenCaller, call: Call) -> Iterator[StepFacts]:
    policy, principal, peer = scene.snapshot.policy, seen.principal, seen.peer
    if policy is None or principal is None or peer is None:
        return
    for number, step in enumerate(policy.trace(principal, call), 1):
        yield StepFacts(
            number=number,
            rule=step.rule,
            place=scene.place_of(step.rule),
            is_match=step.is_match,
            is_decisive=step.is_decisive,
            is_about_method=step.method is not None,
            words=explain_step(scene, step, peer, principal, call),
        )
        if step.is_decisive:
            return
