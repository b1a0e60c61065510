"""Checks for settings that suit development but not production."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.checking.rules.rule_effect import is_about_reflection
from grpcsecure.diagnostics.catalog import listener_kinds as kinds
from grpcsecure.diagnostics.catalog import policy_kinds as policy
from grpcsecure.model.authorization import Effect
from grpcsecure.model.listener import HEALTH_SERVICE
from grpcsecure.model.server_config import ErrorDetail
from grpcsecure.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from grpcsecure.config.document import Document
    from grpcsecure.diagnostics.findings import Finding
    from grpcsecure.policy.scopes import Scope

__all__ = ["check_production"]


def check_production(document: Document, scopes: Sequence[Scope]) -> Iterator[Finding]:
    """Find listeners and settings that are too open for production."""
    config = document.config
    yield from _check_authorization(document)
    if config.server.reflection and not any(map(is_about_reflection, scopes)):
        who = _who_reflects(document, scopes)
        lacks = "allows it" if who == _NO_CLIENT else "limits who may use it"
        yield kinds.REFLECTION_OPEN(
            f"reflection is on, and no rule {lacks}",
            span=document.place("server", "reflection"),
            label=who,
            help="add a rule for `/grpc.reflection.*`, or turn it off",
        )
    if config.server.error_detail is ErrorDetail.FULL:
        yield policy.ERROR_DETAIL_FULL(
            "refused callers get the reason of the refusal",
            span=document.place("server", "error_detail"),
            label="reveals identities and rules to every caller",
            help=_help_with_detail(document),
        )
    for listener in config.listeners:
        # Kubernetes' probes have no certificate, and may have no TLS.
        if listener.is_for_health:
            continue
        path = ("listeners", listener.name)
        if listener.tls is None and not listener.address.is_local:
            yield kinds.PLAINTEXT_EXPOSED(
                f"listener `{listener.name}` serves plaintext beyond this machine",
                span=document.place(*path, "address"),
                label="not a loopback address",
                help="give it a `tls` block, listen on 127.0.0.1, or serve health"
                f" alone: `services: [{HEALTH_SERVICE}]`",
            )
        if listener.tls is not None and not listener.tls.client_certificate.verifies:
            mode = listener.tls.client_certificate.value
            yield kinds.MODE_NOT_VERIFYING(
                f"listener `{listener.name}` accepts clients without verification",
                span=document.place(*path, "tls", "client_certificate"),
                label=f"`{mode}` does not verify client certificates",
                help="use `require_and_verify` with a `client_ca`",
            )


def _check_authorization(document: Document) -> Iterator[Finding]:
    authorization = document.config.authorization
    if authorization is None:
        yield policy.NO_AUTHORIZATION(
            "there is no `authorization`, so every call is allowed",
            span=document.key("listeners"),
            label="every client that connects may call every method",
            help="add `authorization` with rules; without any, it denies every call",
        )
    elif authorization.default is Effect.ALLOW:
        yield policy.ALLOWED_BY_DEFAULT(
            "the default allows every call that no rule denies",
            span=document.place("authorization", "default"),
            label="also opens methods that no rule mentions",
            help="use `default: deny`, and rules that allow",
        )


def _help_with_detail(document: Document) -> str:
    if document.is_development:
        return "leave it to development: with `production: true` it is an error"
    if document.profile is None or document.config.production:
        return "remove it, or move it to a profile that says `production: false`"
    name = quote(document.profile)
    return f"remove it, or write `production: false` in the profile {name}"


def _who_reflects(document: Document, scopes: Sequence[Scope]) -> str:
    """Describe who can use reflection, by the default or by rules for all methods."""
    authorization = document.config.authorization
    if authorization is None or authorization.default is Effect.ALLOW:
        return "any client can list the services"
    for scope in scopes:
        is_open = scope.rule.effect is Effect.ALLOW and scope.rule.enforce
        if is_open and any(one.matches(_REFLECT) for one in scope.patterns):
            return f"`{scope.rule.name}` also allows it"
    return _NO_CLIENT


_NO_CLIENT = "no client may use it"

_REFLECT = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
