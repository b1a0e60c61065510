"""Checks for rules that never apply, or that allow more than they seem to."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from grpcsecure.diagnostics.catalog import listener_kinds
from grpcsecure.diagnostics.catalog import policy_kinds as kinds
from grpcsecure.diagnostics.findings import Label
from grpcsecure.diagnostics.suggest import did_you_mean, nearest
from grpcsecure.model.authorization import BuiltIn, Effect
from grpcsecure.model.listener import HEALTH_SERVICE
from grpcsecure.model.metadata_keys import RESERVED_KEYS, USER_AGENT
from grpcsecure.policy.patterns import MethodPattern, PatternKind
from grpcsecure.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

    from grpcsecure.config.document import Document
    from grpcsecure.diagnostics.findings import Finding
    from grpcsecure.policy.scopes import Scope

__all__ = [
    "PROBE_LISTENER",
    "check_rules",
    "check_serving_by_services",
    "is_about_health",
    "is_about_reflection",
]

#: Advice about a rule for probes on listeners that require a client certificate.
PROBE_LISTENER = (
    f"for probes, add a plaintext listener with `services: [{HEALTH_SERVICE}]`"
)

_HEALTH = MethodPattern(PatternKind.PREFIX, f"/{HEALTH_SERVICE}/")
#: Covers all versions of the reflection service.
_REFLECTION = MethodPattern(PatternKind.PREFIX, "/grpc.reflection.")

#: Identities of clients that present no certificate, although they may have one.
_FOR_ANYONE = (BuiltIn.ANYONE.value, BuiltIn.ANONYMOUS.value)


def check_rules(document: Document, scopes: Iterable[Scope]) -> Iterator[Finding]:
    """Find mistakes of each single rule, and impossible calls of tests."""
    yield from _check_test_listeners(document)
    yield from _check_test_metadata(document)
    scopes = tuple(scopes)
    yield from _check_health(document, scopes)
    for scope in scopes:
        yield from _check_listeners(document, scope)
        yield from _check_serving(document, scope)
        yield from _check_metadata(document, scope)
        yield from _check_openness(document, scope)


def is_about_reflection(scope: Scope) -> bool:
    """Whether a rule has a pattern for reflection alone, so that it was intended."""
    return any(_REFLECTION.covers(pattern) for pattern in scope.patterns)


def is_about_health(scope: Scope) -> bool:
    """Whether a rule is for health and nothing else."""
    return all(map(_HEALTH.covers, scope.patterns))


def _check_listeners(document: Document, scope: Scope) -> Iterator[Finding]:
    known = [listener.name for listener in document.config.listeners]
    rule = scope.rule
    for index, name in enumerate(rule.listeners or ()):
        if name not in known:
            yield kinds.UNKNOWN_LISTENER(
                f"rule `{rule.name}` names the unknown listener `{name}`",
                span=document.place(
                    "authorization", "rules", rule.name, "listeners", index
                ),
                label=did_you_mean(name, known),
                help=f"known listeners: {', '.join(known)}",
            )


def _check_test_listeners(document: Document) -> Iterator[Finding]:
    authorization = document.config.authorization
    known = [listener.name for listener in document.config.listeners]
    tests = authorization.tests if authorization is not None else ()
    for index, test in enumerate(tests):
        if test.listener is not None and test.listener not in known:
            yield kinds.UNKNOWN_LISTENER(
                f"a test names the unknown listener `{test.listener}`",
                span=document.place("authorization", "tests", index, "listener"),
                label=did_you_mean(test.listener, known),
                help=f"known listeners: {', '.join(known)}",
            )


def _check_test_metadata(document: Document) -> Iterator[Finding]:
    authorization = document.config.authorization
    for index, test in enumerate(authorization.tests if authorization else ()):
        for key, _ in test.metadata:
            if key.lower() in RESERVED_KEYS:
                yield kinds.IMPOSSIBLE_RULE(
                    "a test has metadata that no call has: handlers never see"
                    f" {quote(key)}",
                    span=document.key("authorization", "tests", index, "metadata", key),
                    label="gRPC removes this key",
                    help="remove it from the test, or use a key of your own",
                )


def _check_serving(document: Document, scope: Scope) -> Iterator[Finding]:
    """Find a rule whose methods none of its listeners serves.

    If a listener names a similar service, the name there may be the mistake. The
    services show which it is: `check_serving_by_services`.
    """
    if not scope.serving and scope.listeners and not _similar_services(scope):
        yield _not_served(document, scope)


def check_serving_by_services(
    document: Document, scopes: Iterable[Scope], services: Container[str]
) -> Iterator[Finding]:
    """Find the rules of `_check_serving` that only `services` decide.

    Args:
        document: the config.
        scopes: its rules.
        services: the names of all services; a listener that names another one has a
            finding of its own.
    """
    for scope in scopes:
        similar = [] if scope.serving else _similar_services(scope)
        if similar and all(name in services for name in similar):
            yield _not_served(document, scope)


def _similar_services(scope: Scope) -> list[str]:
    """Return the services of a rule's listeners that resemble those of its methods."""
    named = {str(pattern).lstrip("/").partition("/")[0] for pattern in scope.patterns}
    listed = [name for one in scope.listeners for name in one.services or ()]
    return [name for name in listed if any(_resembles(name, full) for full in named)]


@lru_cache(maxsize=10_000)
def _resembles(name: str, full: str) -> bool:
    """Whether a name may be meant to be that of a service, or is its last part."""
    return full.endswith(f".{name}") or nearest(name, [full]) is not None


def _not_served(document: Document, scope: Scope) -> Finding:
    name = scope.rule.name
    return kinds.IMPOSSIBLE_RULE(
        f"rule `{name}` can never match: none of its listeners serves its methods",
        span=document.key("authorization", "rules", name, "methods"),
        label="not served where the rule applies",
        secondary=[
            Label(
                span=document.key("listeners", listener.name, "services"),
                text=f"`{listener.name}` serves only these",
            )
            for listener in scope.listeners
        ],
        help="add the service to a listener, or correct the methods of the rule",
    )


def _check_metadata(document: Document, scope: Scope) -> Iterator[Finding]:
    name = scope.rule.name
    for condition in scope.rule.metadata:
        key = condition.key
        if key.lower() in RESERVED_KEYS:
            yield kinds.IMPOSSIBLE_RULE(
                f"rule `{name}` can never match: handlers never see the metadata"
                f" {quote(key)}",
                span=document.key("authorization", "rules", name, "metadata", key),
                label="gRPC removes this key",
                help="use a key of your own, such as `x-env`",
            )
        elif key.lower() == USER_AGENT:
            yield kinds.EXACT_USER_AGENT(
                f"rule `{name}` names whole values of {quote(key)}, which change with"
                " the version of a client's gRPC library",
                span=document.key("authorization", "rules", name, "metadata", key),
                label="client libraries add their name and version",
                help="use a key of your own, such as `x-client`",
            )


def _check_health(document: Document, scopes: Iterable[Scope]) -> Iterator[Finding]:
    """Find health that anyone may ask for where none but holders of certificates can.

    A rule for health and `anyone` is for probes. Those of Kubernetes have no client
    certificate, in `mode: TLS` neither (KEP-4939).
    """
    open_to_anyone = [
        scope
        for scope in scopes
        if _opens(scope) and any(one.overlaps(_HEALTH) for one in scope.patterns)
    ]
    serving = [listener for scope in open_to_anyone for listener in scope.serving]
    authorization = document.config.authorization
    is_open = authorization is not None and authorization.default is Effect.ALLOW
    if is_open or not all(listener.requires for listener in serving):
        return
    for scope in open_to_anyone:
        if scope.serving and is_about_health(scope):
            yield _unreachable_health(document, scope)


def _unreachable_health(document: Document, scope: Scope) -> Finding:
    rule = scope.rule
    index = rule.identities.index(BuiltIn.ANYONE.value)
    verifies = all(one.can_verify for one in scope.serving)
    instead = (BuiltIn.VERIFIED if verifies else BuiltIn.PRESENTED).value
    return listener_kinds.UNREACHABLE_HEALTH(
        f"rule `{rule.name}` lets anyone ask for health, but its listeners refuse"
        " clients without a certificate",
        span=document.place("authorization", "rules", rule.name, "allow", index),
        label="a probe has no certificate",
        secondary=[
            Label(
                span=document.place("listeners", one.name, "tls", "client_certificate"),
                text="refuses clients without a certificate",
            )
            for one in scope.serving
        ],
        help=f"{PROBE_LISTENER}; without them, allow `{instead}`",
    )


def _opens(scope: Scope) -> bool:
    """Whether a rule allows calls by anyone."""
    rule = scope.rule
    is_open = rule.effect is Effect.ALLOW and BuiltIn.ANYONE.value in rule.identities
    return is_open and rule.enforce and not rule.metadata


def _check_openness(document: Document, scope: Scope) -> Iterator[Finding]:
    rule = scope.rule
    names = [name for name in rule.identities if name in _FOR_ANYONE]
    if rule.effect is Effect.DENY or not names or not rule.enforce:
        return
    effect = rule.effect.value
    for index, pattern in enumerate(scope.patterns):
        if _HEALTH.covers(pattern) or _REFLECTION.covers(pattern):
            continue
        path = ("authorization", "rules", rule.name)
        named = document.place(*path, effect, rule.identities.index(names[0]))
        yield kinds.OPEN_TO_ANYONE(
            f"rule `{rule.name}` opens {_describe(pattern)} to `{names[0]}`",
            span=document.place(*path, "methods", index),
            label=_remark(pattern),
            secondary=[Label(span=named, text="needs no certificate")],
            help="name identities, or only the methods that anyone may call",
        )


def _describe(pattern: MethodPattern) -> str:
    if pattern.kind is PatternKind.ANY or pattern.text == "/":
        return "every method"
    return quote(str(pattern))


def _remark(pattern: MethodPattern) -> str:
    """Describe methods that a pattern opens, perhaps without intention."""
    opened = [
        name
        for name, other in (("health", _HEALTH), ("reflection", _REFLECTION))
        if pattern.kind is not PatternKind.EXACT and pattern.overlaps(other)
    ]
    if pattern.kind is PatternKind.SUFFIX:
        return "of every service, health and reflection included"
    if opened:
        return f"{' and '.join(opened)} included"
    return "beyond health and reflection"
