"""Authorization of the calls of one listener, before any message of them is read.

Fails closed: a call through an unidentified connection, and a call whose decision
raises, are refused.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc

from grpcsecure.model.authorization import Effect
from grpcsecure.model.server_config import ErrorDetail
from grpcsecure.server.event_text import escape
from grpcsecure.server.rpc.audit import UNDECIDED, UNKNOWN_CONNECTION, UNVERIFIED

if TYPE_CHECKING:
    from grpcsecure.model.authorization import Decision
    from grpcsecure.model.peer import Certificate
    from grpcsecure.server.rpc.audit import Auditor
    from grpcsecure.server.rpc.call_context import ListenerView
    from grpcsecure.server.rpc.peer_cache import ResolvedPeer
    from grpcsecure.server.snapshot import InForce

__all__ = ["FRESH", "NOT_FOUND", "Authorizer", "GuardedMethod", "Refusal"]

_LOGGER = logging.getLogger("grpcsecure.policy")

#: A status and its text, as `context.abort` takes them.
Refusal = tuple[grpc.StatusCode, str]

#: Seconds for which a decision counts while the first message of a call is awaited: a
#: call that was allowed must not be kept until its caller would be refused.
FRESH = 1.0

#: The answer to an unidentified connection, and to a caller without an identity.
_UNKNOWN: Refusal = (grpc.StatusCode.UNAUTHENTICATED, "not authenticated")
#: The answer to a caller that is known, and not allowed.
_FORBIDDEN: Refusal = (grpc.StatusCode.PERMISSION_DENIED, "not authorized")

#: grpcio's own answer to a method that is not registered.
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
        """Return the caller of a call, and the refusal; without one it is allowed.

        An error in here refuses the call.

        Args:
            context: grpcio's context of the call.
            method: its path as it came.
            exists: whether a servicer has the method.
        """
        caller: Any = None
        try:
            caller = self.view.find(context)
            if caller is None:
                self._record_unresolved(context, method, UNKNOWN_CONNECTION)
                return None, _UNKNOWN
            refusal = self._decide(context, caller, method, exists=exists)
            if refusal is None:
                self.view.begin(context, caller)
        except Exception:
            # Any error: undecided is denied.
            with suppress(Exception):  # such as of a filter in the user's logging
                _LOGGER.exception(
                    "call.undecided",
                    extra={"listener": self.view.name, "method": escape(method)},
                )
            with suppress(Exception):  # what failed may fail again
                self._record_unresolved(caller or context, method, UNDECIDED)
            return None, _UNKNOWN
        return caller, refusal

    def _record_unresolved(self, asked: Any, method: str, decision: Decision) -> None:
        snapshot = self._in_force.snapshot
        if self._auditor.wants(snapshot, decision):
            resolved = snapshot.resolvers[self.view.name].resolve(None)
            address = escape(asked.peer())
            self._auditor.record(snapshot, resolved, address, method, decision)

    def _decide(
        self, context: Any, caller: Any, method: str, *, exists: bool
    ) -> Refusal | None:
        """Resolve the peer, then decide the call.

        mode verifies  certificate           rules  call
        yes            lapsed, or unvouched  any    refused, as a handshake would be
        yes            any other             yes    the rules decide
        no             any                   yes    the rules decide
        any            any other             no     allowed
        """
        snapshot, view = self._in_force.snapshot, self.view
        policy = snapshot.policy
        if policy is None and not view.verifies:
            return None
        resolved = snapshot.resolvers[view.name].resolve(view.connection(caller))
        if view.verifies and resolved.fails_verification:
            decision = UNVERIFIED
        elif policy is None:
            return None
        else:
            # With rules it has been imported; without, a start is that much shorter.
            from grpcsecure.policy.rule_index import Call

            assert resolved.principal is not None  # noqa: S101 - resolved by this policy
            metadata = context.invocation_metadata() if policy.reads_metadata else ()
            call = Call(method, view.name, metadata, exists)
            decision = policy.decide(resolved.principal, call)
        if self._auditor.wants(snapshot, decision):
            self._auditor.record(snapshot, resolved, caller.peer(), method, decision)
        if decision.effect is Effect.ALLOW:
            return None
        code, text = _FORBIDDEN if decision.is_known else _UNKNOWN
        if snapshot.config.server.error_detail is ErrorDetail.FULL:
            text = f"{text}: {explain_denial(resolved, decision)}"
        return code, text


def explain_denial(resolved: ResolvedPeer, decision: Decision) -> str:
    """Return the human-readable reason of a denial, for `error_detail: full`."""
    assessment = resolved.assessment
    if assessment is None:
        reason = "no client certificate"
    elif assessment.reason is not None:
        subject = escape(assessment.certificate.subject) or "empty subject"
        reason = f"certificate not trusted: {escape(assessment.reason)}, {subject}"
    else:
        reason = f"known as {_names(resolved)}"
    if decision.rule is not None:
        return f"rule `{decision.rule.name}` denies it ({reason})"
    if decision.is_known:
        return f"no rule allows it ({reason})"
    return reason


def _names(resolved: ResolvedPeer) -> str:
    principal, assessment = resolved.principal, resolved.assessment
    names = sorted(principal.identities) if principal is not None else []
    if names or assessment is None:
        return ", ".join(names)
    certificate = assessment.certificate
    subject = certificate.spiffe_id or certificate.subject
    return escape(subject) or _first_name(certificate) or "a certificate without names"


def _first_name(certificate: Certificate) -> str:
    names = certificate.alternative_names()
    return next((escape(f"{kind}:{value}") for kind, value in names), "")


class GuardedMethod(NamedTuple):
    """A method, and the authorizer that decides its calls.

    `exists` says whether a servicer has it.
    """

    authorizer: Authorizer
    name: str
    exists: bool = True

    def authorize(self, context: Any) -> tuple[Any, Refusal | None]:
        """Decide about a call, as `Authorizer.authorize` does."""
        return self.authorizer.authorize(context, self.name, exists=self.exists)
