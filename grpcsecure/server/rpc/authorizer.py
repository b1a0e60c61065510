"""Authorization of the calls of one listener, before any message of them is read.

Fails closed: a caller that nobody vouches for, and a call whose decision raises, are
refused. Neither asks what the message says; what it may cost is bounded by the rules.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc

from grpcsecure.model.authorization import Effect
from grpcsecure.model.server import ErrorDetail
from grpcsecure.server.event_text import escape
from grpcsecure.server.rpc.audit import NOBODY, UNDECIDED, UNVERIFIED

if TYPE_CHECKING:
    from grpcsecure.model.authorization import Decision
    from grpcsecure.model.peer import Certificate
    from grpcsecure.server.rpc.audit import Auditor
    from grpcsecure.server.rpc.call_context import ListenerView
    from grpcsecure.server.rpc.principals import Judgement
    from grpcsecure.server.snapshot import InForce

__all__ = ["FRESH", "NOT_FOUND", "Authorizer", "GuardedMethod", "Refusal"]

_LOGGER = logging.getLogger("grpcsecure.policy")

#: A status and its text, as `context.abort` takes them.
Refusal = tuple[grpc.StatusCode, str]

#: Seconds for which a decision counts while the one message of a call is waited for: a
#: call that was let in must not be kept for the day when its caller no longer would be.
FRESH = 1.0

#: What a caller is told that nobody vouches for, or that has no usable identity.
_UNKNOWN: Refusal = (grpc.StatusCode.UNAUTHENTICATED, "not authenticated")
#: What a caller is told that is known, and not allowed.
_FORBIDDEN: Refusal = (grpc.StatusCode.PERMISSION_DENIED, "not authorized")

#: grpcio's own answer to a method that nobody registered.
NOT_FOUND: Refusal = (grpc.StatusCode.UNIMPLEMENTED, "Method not found!")


class Authorizer:
    """Decides about the calls of one listener by the snapshot in force."""

    __slots__ = ("_auditor", "_in_force", "view")

    def __init__(self, view: ListenerView, in_force: InForce, auditor: Auditor) -> None:
        self.view = view
        self._in_force = in_force
        self._auditor = auditor

    def authorize(
        self, context: Any, method: str, *, exists: bool = True
    ) -> tuple[Any, Refusal | None]:
        """Return the caller of a call, and what to refuse it with; None admits it.

        An error in here refuses the call.

        Args:
            context: grpcio's context of the call.
            method: its path as it came.
            exists: whether some servicer has the method.
        """
        caller: Any = None
        try:
            caller = self.view.find(context)
            if caller is None:
                self._record_unjudged(context, method, NOBODY)
                return None, _UNKNOWN
            refusal = self._judge(context, caller, method, exists=exists)
            if refusal is None:
                self.view.begin(context, caller)
        except Exception:
            # Whatever it was: undecided is denied.
            with suppress(Exception):  # such as of a filter in somebody's logging
                _LOGGER.exception(
                    "call.undecided",
                    extra={"listener": self.view.name, "method": escape(method)},
                )
            with suppress(Exception):  # what failed may fail again
                self._record_unjudged(caller or context, method, UNDECIDED)
            return None, _UNKNOWN
        return caller, refusal

    def _record_unjudged(self, asked: Any, method: str, decision: Decision) -> None:
        snapshot = self._in_force.snapshot
        if self._auditor.wants(snapshot, decision):
            judgement = snapshot.judges[self.view.name].judge(None)
            address = escape(asked.peer())
            self._auditor.record(snapshot, judgement, address, method, decision)

    def _judge(
        self, context: Any, caller: Any, method: str, *, exists: bool
    ) -> Refusal | None:
        """Judge the peer, then the call.

        mode verifies  certificate   rules  call
        yes            has lapsed    any    refused, as a handshake would be
        yes            any other     yes    the rules decide
        no             any           yes    the rules decide
        any            any other     no     allowed
        """
        snapshot, view = self._in_force.snapshot, self.view
        policy = snapshot.policy
        if policy is None and not view.verifies:
            return None
        judgement = snapshot.judges[view.name].judge(view.presented(caller))
        if view.verifies and judgement.has_lapsed:
            decision = UNVERIFIED
        elif policy is None:
            return None
        else:
            # With rules it has been imported; without, a start is that much shorter.
            from grpcsecure.policy.rule_index import Call

            assert judgement.standing is not None  # noqa: S101 - judged by this policy
            metadata = context.invocation_metadata() if policy.reads_metadata else ()
            call = Call(method, view.name, metadata, exists)
            decision = policy.decide(judgement.standing, call)
        if self._auditor.wants(snapshot, decision):
            self._auditor.record(snapshot, judgement, caller.peer(), method, decision)
        if decision.effect is Effect.ALLOW:
            return None
        code, text = _FORBIDDEN if decision.is_known else _UNKNOWN
        if snapshot.config.server.error_detail is ErrorDetail.FULL:
            text = f"{text}: {explain_denial(judgement, decision)}"
        return code, text


def explain_denial(judgement: Judgement, decision: Decision) -> str:
    """Say in words why a call was denied, for callers that may know."""
    assessment = judgement.assessment
    if assessment is None:
        reason = "no client certificate"
    elif assessment.reason is not None:
        subject = escape(assessment.certificate.subject) or "empty subject"
        reason = f"certificate not trusted: {escape(assessment.reason)}, {subject}"
    else:
        reason = f"known as {_names(judgement)}"
    if decision.rule is not None:
        return f"rule `{decision.rule.name}` denies it ({reason})"
    if decision.is_known:
        return f"no rule allows it ({reason})"
    return reason


def _names(judgement: Judgement) -> str:
    standing, assessment = judgement.standing, judgement.assessment
    names = sorted(standing.identities) if standing is not None else []
    if names or assessment is None:
        return ", ".join(names)
    certificate = assessment.certificate
    subject = certificate.spiffe_id or certificate.subject
    return escape(subject) or _first_name(certificate) or "nobody by name"


def _first_name(certificate: Certificate) -> str:
    names = certificate.alternative_names()
    return next((escape(f"{kind}:{value}") for kind, value in names), "")


class GuardedMethod(NamedTuple):
    """A method behind an authorizer: what its calls are asked for, once or again.

    `exists` says whether some servicer has it.
    """

    authorizer: Authorizer
    name: str
    exists: bool = True

    def authorize(self, context: Any) -> tuple[Any, Refusal | None]:
        """Decide about a call, as `Authorizer.authorize` does."""
        return self.authorizer.authorize(context, self.name, exists=self.exists)
