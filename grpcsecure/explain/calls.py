"""Explanation of one call: the decision, the rule behind it, and a trace of the rules.

The decision comes from the same policy as in `serve`; no decision is made here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from grpcsecure.checking.rules.methods import service_of
from grpcsecure.diagnostics.suggest import nearest
from grpcsecure.explain.listener_facts import listener_facts
from grpcsecure.explain.query_subject import see
from grpcsecure.explain.reasons import explain_step
from grpcsecure.explain.table import Change
from grpcsecure.model.authorization import Effect
from grpcsecure.model.metadata_keys import RESERVED_KEYS, as_delivered
from grpcsecure.policy.decision import Call
from grpcsecure.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from grpcsecure.diagnostics.findings import Span
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
    "describe_unknown_method",
    "explain_call",
]


class Basis(Enum):
    """The basis of a verdict."""

    RULE = "rule"
    DEFAULT = "default"
    #: The handshake refuses the client, so it cannot make a call.
    HANDSHAKE = "handshake"
    #: The handshake lets the client in; its calls are refused, since no CA of its trust
    #: domain vouches for its certificate.
    CERTIFICATE = "certificate"
    #: The config has no `authorization`.
    NO_RULES = "no rules"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A possible call; `listener=None` means every listener that serves the method."""

    subject: QuerySubject
    method: str
    listener: str | None = None
    metadata: tuple[tuple[str, str | bytes], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFacts:
    """A rule that was evaluated, and its result."""

    number: int
    rule: Rule
    place: Span
    is_match: bool
    is_decisive: bool
    #: Whether the rule names the method.
    is_about_method: bool
    #: Human-readable reason why the rule matched or not.
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallVerdict:
    """The result of the call on one listener.

    `status` is the one that the client receives; None if the handshake fails. `steps`
    are the rules in order of evaluation, up to the one that decided; `left` counts the
    rules after it, which were not evaluated. `tls_versions` are those in which this is
    the result, if they differ.
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
    tls_versions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The answer to a question: a verdict for each listener in question.

    A listener where TLS versions differ has several, the newest version first.
    """

    subject: str
    profile: str | None
    method: str
    verdicts: tuple[CallVerdict, ...]
    knows_methods: bool
    #: A similar method that is served, if no listener serves the one in question.
    similar: str | None = None
    #: The metadata keys in question that gRPC removes: no rule sees them.
    removed_keys: tuple[str, ...] = ()

    @property
    def is_allowed(self) -> bool:
        """Whether the call is allowed on every listener in question."""
        return all(one.effect is Effect.ALLOW for one in self.verdicts)


def explain_call(
    loaded: LoadedConfig, question: Question, *, now: datetime
) -> Explanation:
    """Return the decision on a call, for each listener in question."""
    listeners = loaded.config.listeners
    method = question.method
    serving = [one for one in listeners if loaded.exists(method, one.name)]
    similar = None if serving else _similar(loaded, method)
    if question.listener is not None:
        serving = [loaded.listener(question.listener)]
    return Explanation(
        subject=loaded.document.source.name,
        profile=loaded.document.profile,
        method=method,
        verdicts=tuple(
            _verdict(loaded, question, listener, seen)
            for listener in serving or listeners
            for seen in see(loaded, question.subject, listener, now=now)
        ),
        knows_methods=loaded.knows_methods,
        similar=similar,
        removed_keys=tuple(
            sorted(RESERVED_KEYS & {key for key, _ in question.metadata})
        ),
    )


def describe_unknown_method(loaded: LoadedConfig, method: str) -> str | None:
    """Describe a method that no listener serves, with the nearest one; or None."""
    if any(loaded.exists(method, one.name) for one in loaded.config.listeners):
        return None
    message = f"no listener serves {quote(method)}"
    meant = _similar(loaded, method)
    if meant is not None:
        return f"{message}; did you mean {quote(meant)}?"
    if method.startswith(_REFLECTION) and not loaded.config.server.reflection:
        return f"{message}: `server.reflection` is off"
    served = {service_of(one) for every in loaded.methods.values() for one in every}
    named = ", ".join(map(quote, sorted(served)[:_MAX_NAMED]))
    return f"{message}; the services are {named}"


#: Number of services that a message names.
_MAX_NAMED = 5

_REFLECTION = "/grpc.reflection."


def _similar(loaded: LoadedConfig, method: str) -> str | None:
    every = sorted({one for served in loaded.methods.values() for one in served})
    last = method.strip("/").replace("/", ".").rpartition(".")[2]
    # A service of gRPC's own is not meant by the name of a method alone.
    own = [one for one in every if not one.startswith("/grpc.")]
    same_name = [one for one in own if one.rpartition("/")[2] == last]
    return nearest(method, every) or (same_name[0] if len(same_name) == 1 else None)


def _verdict(
    loaded: LoadedConfig, question: Question, listener: Listener, seen: SeenCaller
) -> CallVerdict:
    exists = loaded.exists(question.method, listener.name)
    if not seen.gets_in or seen.is_unvouched:
        return CallVerdict(
            listener=listener_facts(loaded, listener),
            effect=Effect.DENY,
            basis=Basis.CERTIFICATE if seen.gets_in else Basis.HANDSHAKE,
            rule=None,
            place=loaded.place_of_tls(
                listener.name, "client_ca" if seen.gets_in else "client_certificate"
            ),
            status="UNAUTHENTICATED" if seen.gets_in else None,
            caller=seen.facts,
            exists=exists,
            tls_versions=seen.versions,
        )
    metadata = as_delivered(question.metadata)
    call = Call(question.method, listener.name, metadata, exists)
    return _decided(loaded, seen, listener, call)


def _decided(
    loaded: LoadedConfig, seen: SeenCaller, listener: Listener, call: Call
) -> CallVerdict:
    policy, principal = loaded.snapshot.policy, seen.principal
    facts = listener_facts(loaded, listener)
    if policy is None or principal is None:
        return CallVerdict(
            listener=facts,
            effect=Effect.ALLOW,
            basis=Basis.NO_RULES,
            rule=None,
            place=loaded.place_of(None),
            status=_status(is_allowed=True, is_known=True, exists=call.exists),
            caller=seen.facts,
            exists=call.exists,
            tls_versions=seen.versions,
        )
    decision = policy.decide(principal, call)
    shadow = decision.shadow
    steps = tuple(_steps(loaded, seen, call))
    return CallVerdict(
        listener=facts,
        effect=decision.effect,
        basis=Basis.DEFAULT if decision.rule is None else Basis.RULE,
        rule=decision.rule,
        place=loaded.place_of(decision.rule),
        status=_status(
            is_allowed=decision.is_allowed,
            is_known=decision.is_known,
            exists=call.exists,
        ),
        caller=seen.facts,
        exists=call.exists,
        steps=steps,
        left=loaded.rule_count - len(steps),
        shadow=None if shadow is None else Change(shadow.effect, shadow.rule),
        shadow_place=None if shadow is None else loaded.place_of(shadow.rule),
        tls_versions=seen.versions,
    )


def _status(*, is_allowed: bool, is_known: bool, exists: bool) -> str:
    if is_allowed:
        return "OK" if exists else "UNIMPLEMENTED"
    return "PERMISSION_DENIED" if is_known else "UNAUTHENTICATED"


def _steps(loaded: LoadedConfig, seen: SeenCaller, call: Call) -> Iterator[StepFacts]:
    policy, principal, peer = loaded.snapshot.policy, seen.principal, seen.peer
    if policy is None or principal is None or peer is None:
        return
    for number, step in enumerate(policy.trace(principal, call), 1):
        yield StepFacts(
            number=number,
            rule=step.rule,
            place=loaded.place_of(step.rule),
            is_match=step.is_match,
            is_decisive=step.is_decisive,
            is_about_method=step.method is not None,
            words=explain_step(loaded, step, peer, principal, call),
        )
        if step.is_decisive:
            return
