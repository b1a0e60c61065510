"""Human-readable reasons why a rule matched a call, or which part did not match."""

from __future__ import annotations

import re
from base64 import b64encode
from typing import TYPE_CHECKING

from grpcsecure.explain.phrases import any_of, count
from grpcsecure.explain.query_subject import describe_names
from grpcsecure.model.authorization import BuiltIn, Effect, MatcherKind
from grpcsecure.model.peer import PeerState
from grpcsecure.policy.decision import Miss

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grpcsecure.explain.loaded_config import LoadedConfig
    from grpcsecure.model.authorization import Identity, Rule
    from grpcsecure.model.peer import Peer
    from grpcsecure.policy.decision import Call, Principal, TraceStep

__all__ = ["explain_step"]

#: The most names or patterns that are listed; of more, only their number is shown.
_MOST_LISTED = 3

#: The most identities of a rule whose matchers are written out.
_MOST_SPELLED = 2

#: Longest value that is shown whole; the first digits identify a fingerprint.
_LONGEST = 80
_SHORTENED = 30

#: `/package.Service/Method`: only in such a path the service can be left out.
_USUAL_PATH = re.compile(r"/[^/]+/[^/]+")


def explain_step(
    loaded: LoadedConfig, step: TraceStep, peer: Peer, principal: Principal, call: Call
) -> str:
    """Return why a rule matched, or the first reason why it did not."""
    rule = step.rule
    if step.is_match:
        return _explain_match(step)
    miss = step.misses[0]
    if miss is Miss.METHOD:
        return _explain_method(rule, call)
    if miss is Miss.LISTENER:
        return f"method matches; only on {any_of(rule.listeners or ())}"
    if miss is Miss.IDENTITY:
        return f"method matches; {_explain_identity(loaded, rule, peer, principal)}"
    if miss is Miss.METADATA:
        return f"method and caller match; {_explain_metadata(step, call)}"
    return "would match, but allow rules do not apply to methods that do not exist"


def _explain_match(step: TraceStep) -> str:
    rule = step.rule
    pattern = step.method or ""
    words = f"matches {pattern} and {_list(step.identities)}"
    if not rule.enforce:
        return f"{words}, but is not enforced"
    return f"{words} -> {rule.effect.value}"


def _explain_method(rule: Rule, call: Call) -> str:
    if len(rule.methods) > _MOST_LISTED:
        return f"none of its {len(rule.methods)} methods matches {_short_name(call)}"
    service = call.method.removesuffix(_short_name(call))
    patterns = [pattern.removeprefix(service) for pattern in rule.methods]
    verb = "does" if len(patterns) == 1 else "do"
    return f"method {any_of(patterns)} {verb} not match {_short_name(call)}"


def _short_name(call: Call) -> str:
    """Return the method without its service; an unusual path is returned whole."""
    is_usual = _USUAL_PATH.fullmatch(call.method) is not None
    return call.method.rpartition("/")[2] if is_usual else call.method


def _explain_identity(
    loaded: LoadedConfig, rule: Rule, peer: Peer, principal: Principal
) -> str:
    names = rule.identities
    if rule.effect is Effect.DENY:
        return f"it is for {_list(names)}, which the caller neither is nor claims to be"
    claimed = [name for name in names if name in principal.claimed]
    if claimed:
        return f"needs {claimed[0]}; {_explain_claim(loaded, claimed[0], peer)}"
    if len(names) > _MOST_SPELLED:
        return f"needs {_list(names)}; caller is {_who(peer, principal)}"
    needs = any_of([f"{name}{_needs(loaded, name)}" for name in names])
    return f"needs {needs}; {_has(loaded, names, peer)}"


def _explain_claim(loaded: LoadedConfig, name: str, peer: Peer) -> str:
    identity = _identity(loaded, name)
    certificate = peer.certificate
    is_pin_only = identity is not None and all(
        criterion.kind.is_pin
        for matcher in identity.matchers
        for criterion in matcher.criteria
    )
    if certificate is not None and is_pin_only:
        return "the certificate is registered, but is expired or not yet valid"
    if peer.state is PeerState.VERIFIED:
        if certificate is not None and certificate.may_issue:
            return (
                "the certificate has the SPIFFE id, but may sign certificates or CRLs:"
                " it is not an X509-SVID"
            )
        return "the certificate claims the name, but does not prove it"
    return f"the certificate claims it, but is not verified: {peer.unverified_reason}"


def _needs(loaded: LoadedConfig, name: str) -> str:
    """Return the matchers of an identity in brackets; nothing for built-in names."""
    identity = _identity(loaded, name)
    if identity is None:
        return ""
    written = loaded.written("identities", name)
    matchers = written if isinstance(written, list) else [written]
    if len(matchers) > _MOST_LISTED:
        return f" (any of {len(matchers)} matchers)"
    return f" ({' or '.join(_spell(matcher) for matcher in matchers)})"


def _spell(matcher: object) -> str:
    if not isinstance(matcher, dict):
        return str(matcher)
    return " and ".join(f"{key}:{_shortened(str(v))}" for key, v in matcher.items())


def _shortened(value: str) -> str:
    return value if len(value) <= _LONGEST else f"{value[:_SHORTENED]}…"


def _has(loaded: LoadedConfig, names: Sequence[str], peer: Peer) -> str:
    """Return the caller's names of the kinds that some identities require."""
    if peer.certificate is None:
        return "caller has no certificate"
    identities = [one for one in loaded.config.identities if one.name in names]
    if not identities:
        if BuiltIn.VERIFIED.value in names:
            return f"caller is not verified: {peer.unverified_reason}"
        return "caller has a certificate"
    wanted = {
        criterion.kind
        for identity in identities
        for matcher in identity.matchers
        for criterion in matcher.criteria
    }
    return f"caller has {_alternatives(wanted, peer)}"


def _alternatives(wanted: set[MatcherKind], peer: Peer) -> str:
    """Return the names in the certificate of the wanted kinds."""
    if peer.certificate is None:
        return "no certificate"
    names = [*describe_names(peer.certificate)]
    if MatcherKind.SUBJECT in wanted:
        names.append(("subject", peer.certificate.subject or "empty"))
    parts = []
    for kind in MatcherKind:
        if kind not in wanted:
            continue
        if kind.is_pin:
            parts.append("another certificate")
            continue
        values = [f"{key}:{_shortened(v)}" for key, v in names if key == kind.value]
        parts.append(_list(values) if values else f"no {kind.value}")
    return ", ".join(dict.fromkeys(parts))


def _explain_metadata(step: TraceStep, call: Call) -> str:
    key = step.unmet[0]
    condition = next(one for one in step.rule.metadata if one.key.lower() == key)
    sent = [_shown(value) for name, value in call.metadata if name == key]
    needs = f"metadata {key} must be {any_of(condition.shown)}"
    return (
        f"{needs}, but is {' and '.join(sent)}" if sent else f"{needs}, but is not sent"
    )


def _shown(value: str | bytes) -> str:
    """Return a value in the notation of the config."""
    if isinstance(value, str):
        return value
    return b64encode(value).decode().rstrip("=")


def _who(peer: Peer, principal: Principal) -> str:
    if principal.identities:
        return any_of(sorted(principal.identities)).replace(" or ", " and ")
    if peer.state is PeerState.ANONYMOUS:
        return "anonymous"
    if peer.state is PeerState.CLAIMED:
        return "not verified"
    return "verified, but has none of the identities"


def _list(names: Sequence[str]) -> str:
    if len(names) <= _MOST_LISTED:
        return any_of(names)
    return f"one of {count(len(names), 'name')}: {', '.join(names[:_MOST_LISTED])}, …"


def _identity(loaded: LoadedConfig, name: str) -> Identity | None:
    return next((one for one in loaded.config.identities if one.name == name), None)
