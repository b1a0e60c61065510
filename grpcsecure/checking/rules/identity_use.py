"""Checks for rules with an identity that no client of their listeners can have."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from grpcsecure.checking.rules.rule_effect import PROBE_LISTENER, is_about_health
from grpcsecure.diagnostics.catalog import policy_kinds as kinds
from grpcsecure.diagnostics.findings import Label
from grpcsecure.model.authorization import BuiltIn, Effect, shown_trust_domain
from grpcsecure.policy.feasibility import Need, Requirement, is_met, requirements
from grpcsecure.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from grpcsecure.config.document import Document
    from grpcsecure.config.tree import Path
    from grpcsecure.diagnostics.findings import Finding
    from grpcsecure.model.listener import Listener
    from grpcsecure.policy.scopes import Scope

__all__ = ["check_identity_use"]


class _Words(NamedTuple):
    """The texts of a finding about a need that no listener meets."""

    problem: str
    help: str


_WORDS = {
    Need.NO_CERTIFICATE: _Words(
        problem="matches on clients that its listeners refuse",
        help="use `request_and_verify`, which accepts clients without a certificate",
    ),
    Need.CERTIFICATE: _Words(
        problem="matches on an identity that is never presented",
        help="use a mode that requests a certificate, such as `require_and_verify`",
    ),
    Need.VERIFIED: _Words(
        problem="matches on an identity that is never verified",
        help="use `require_and_verify`, add a `client_ca`, or register the"
        " certificates with `fingerprint`",
    ),
}

_BUILT_IN_LABELS = {
    BuiltIn.ANONYMOUS.value: "is for clients without a certificate",
    BuiltIn.PRESENTED.value: "is for clients with a certificate",
    BuiltIn.VERIFIED.value: "is for clients that were verified",
}


def check_identity_use(
    document: Document, scopes: Iterable[Scope]
) -> Iterator[Finding]:
    """Find names in rules that cannot match on any listener of the rule."""
    by_effect = {
        effect: requirements(document.config.identities, effect) for effect in Effect
    }
    for scope in scopes:
        rule = scope.rule
        if not scope.serving:
            continue  # reported as a rule that can never match
        for index, name in enumerate(rule.identities):
            requirement = by_effect[rule.effect].get(name)
            if requirement is None or any(
                is_met(requirement, one) for one in scope.serving
            ):
                continue
            need = requirement.need
            path = ("authorization", "rules", rule.name, rule.effect.value, index)
            verifying = [one for one in scope.serving if one.can_verify]
            if need is Need.VERIFIED and verifying:
                yield _unlisted(document, path, requirement, verifying)
                continue
            yield kinds.UNVERIFIED_IDENTITY(
                f"rule `{rule.name}` {_WORDS[need].problem}",
                span=document.place(*path),
                label=f"`{name}` {_label(name, requirement)}",
                secondary=[_describe(document, one, need) for one in scope.serving],
                help=_help(scope, need),
            )


def _help(scope: Scope, need: Need) -> str:
    if need is Need.NO_CERTIFICATE and is_about_health(scope):
        return PROBE_LISTENER
    return _WORDS[need].help


def _unlisted(
    document: Document,
    path: Path,
    requirement: Requirement,
    verifying: Iterable[Listener],
) -> Finding:
    """Return the finding for an identity of trust domains without CAs of their own.

    A warning, so that a reload may take the CAs of a trust domain away at once.
    """
    named = sorted(frozenset().union(*requirement.trust_domains))
    names = [shown_trust_domain(one, document.config.identities) for one in named]
    return kinds.UNLISTED_TRUST_DOMAIN(
        f"rule `{path[2]}` matches on an identity of a trust domain without CAs",
        span=document.place(*path),
        label=f"of {' and '.join(map(quote, names))}",
        secondary=[
            Label(
                span=document.key("listeners", one.name, "tls", "client_ca"),
                text="does not list it",
            )
            for one in verifying
        ],
        help="add its trust domain to `client_ca`, with the file of its CAs",
    )


def _label(name: str, requirement: Requirement) -> str:
    built_in = _BUILT_IN_LABELS.get(name)
    return built_in or f"matches by {' and '.join(requirement.kinds)}"


def _describe(document: Document, listener: Listener, need: Need) -> Label:
    path = ("listeners", listener.name)
    if listener.tls is None:
        return Label(
            span=document.place(*path, "plaintext"),
            text="no client has a certificate here",
        )
    if need is Need.NO_CERTIFICATE:
        text = "refuses clients without a certificate"
    elif not listener.asks:
        text = "requests no certificate"
    else:
        text = "requests a certificate but does not check who signed it"
    return Label(span=document.place(*path, "tls", "client_certificate"), text=text)
