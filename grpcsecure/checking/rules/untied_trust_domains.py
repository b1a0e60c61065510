"""Checks for SPIFFE trust domains that share client CAs, not tied to their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.diagnostics.catalog import listener_kinds as kinds
from grpcsecure.diagnostics.findings import Label
from grpcsecure.model.authorization import Effect, shown_trust_domain
from grpcsecure.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from grpcsecure.config.document import Document
    from grpcsecure.config.tree import Path
    from grpcsecure.diagnostics.findings import Finding
    from grpcsecure.model.listener import Listener
    from grpcsecure.policy.scopes import Scope

__all__ = ["check_trust_domains"]


def check_trust_domains(
    document: Document, scopes: Sequence[Scope]
) -> Iterator[Finding]:
    """Find listeners where rules believe two trust domains, by any CA of one file."""
    paths = _by_identity(document)
    for listener in document.config.listeners:
        tls = listener.tls
        if tls is None or tls.trust_domains is not None or not listener.can_verify:
            continue
        named = {
            domain: path
            for name in _believed(listener, scopes)
            for domain, path in paths.get(name, {}).items()
        }
        if len(named) > 1:
            yield _shared(document, listener, named)


def _believed(listener: Listener, scopes: Sequence[Scope]) -> dict[str, None]:
    """Return the identities of the rules that allow something on a listener."""
    return dict.fromkeys(
        name
        for scope in scopes
        if scope.rule.effect is Effect.ALLOW and listener in scope.serving
        for name in scope.rule.identities
    )


def _by_identity(document: Document) -> dict[str, dict[str, Path]]:
    """Return the trust domains of each identity, each with the place of one matcher.

    A registered certificate or key is proved by itself: no other CA can vouch for it.
    """
    found: dict[str, dict[str, Path]] = {}
    for identity in document.config.identities:
        for matcher in identity.matchers:
            if any(one.kind.is_pin for one in matcher.criteria):
                continue
            for domain in sorted(matcher.trust_domains):
                path = ("identities", identity.name)
                found.setdefault(identity.name, {}).setdefault(domain, path)
    return found


def _shared(document: Document, listener: Listener, named: dict[str, Path]) -> Finding:
    identities = document.config.identities
    shown = {name: shown_trust_domain(name, identities) for name in named}
    first, second, *others = shown.values()
    more = f" and {len(others)} more" if others else ""
    example = f"{{{first}: FILE, {second}: FILE{', …' if others else ''}}}"
    return kinds.UNTIED_TRUST_DOMAINS(
        f"on listener `{listener.name}` any client CA may vouch for the trust domains"
        f" {quote(first)} and {quote(second)}{more}",
        span=document.place("listeners", listener.name, "tls", "client_ca"),
        label="a CA in it can sign SPIFFE ids of each of them",
        secondary=[
            Label(span=document.key(*path), text=f"is of {quote(shown[domain])}")
            for domain, path in named.items()
        ],
        help=f"give each its CAs: `client_ca: {example}`",
    )
