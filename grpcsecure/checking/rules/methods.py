"""Checks of the methods in rules and tests against the methods of the services.

Knows services by their names and methods only; the caller loads and passes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.checking.rules.rule_effect import check_serving_by_services
from grpcsecure.diagnostics.catalog import policy_kinds as kinds
from grpcsecure.diagnostics.findings import Label
from grpcsecure.diagnostics.suggest import did_you_mean
from grpcsecure.model.authorization import Effect
from grpcsecure.policy.known_methods import KnownMethods
from grpcsecure.quoting import quote
from grpcsecure.server.services.inventory import full_methods

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from grpcsecure.config.document import Document
    from grpcsecure.diagnostics.findings import Finding
    from grpcsecure.model.authorization import Authorization
    from grpcsecure.policy.patterns import MethodPattern
    from grpcsecure.policy.scopes import Scope
    from grpcsecure.server.services.inventory import ServedService

__all__ = [
    "check_methods",
    "service_of",
    "unreached",
]

#: Number of unknown methods that get a suggestion: each is compared with all methods.
_MAX_GUESSES = 100

#: Number of methods that a message names.
_MAX_NAMED = 5


def check_methods(
    document: Document, scopes: Sequence[Scope], services: Sequence[ServedService]
) -> Iterator[Finding]:
    """Find methods that no service has, and methods that no rule allows."""
    authorization = document.config.authorization
    if authorization is None:
        return
    known = KnownMethods(full_methods(services))
    unknown = _Unknown(known, services)
    mistaken = list(_check_patterns(document, scopes, known, unknown))
    yield from mistaken
    yield from check_serving_by_services(
        document, scopes, {service.name for service in services}
    )
    yield from _check_calls(document, authorization, known, unknown)
    # A method may be unreached because a rule misspells it.
    if authorization.default is Effect.DENY and not mistaken:
        yield from _check_reach(document, scopes, services, known)


class _Unknown:
    """Suggests a known method or pattern for an unknown one."""

    def __init__(self, known: KnownMethods, services: Iterable[ServedService]) -> None:
        self._methods = list(known)
        self._patterns = [f"/{one.name}/*" for one in services]
        self._guesses = 0

    def guess(self, text: str) -> str:
        """Return "did you mean …?" with the nearest method or pattern, or ""."""
        self._guesses += 1
        if self._guesses > _MAX_GUESSES:
            return ""
        candidates = self._methods if "*" not in text else self._patterns
        return did_you_mean(text, candidates)


def _check_patterns(
    document: Document,
    scopes: Iterable[Scope],
    known: KnownMethods,
    unknown: _Unknown,
) -> Iterator[Finding]:
    for scope in scopes:
        for index, pattern in enumerate(scope.patterns):
            if known.matching(pattern):
                continue
            name, text = scope.rule.name, str(pattern)
            yield kinds.UNKNOWN_METHOD(
                f"rule `{name}` is about {quote(text)}, which no service has",
                span=document.place("authorization", "rules", name, "methods", index),
                label=unknown.guess(text) or _describe_pattern(text),
                help="write a method that a service has, or remove it",
            )


def _describe_pattern(text: str) -> str:
    if any(sign in text for sign in "()[]|\\+?^$"):
        return "no regular expression: `*` alone has a meaning"
    return "matches no method"


def _check_calls(
    document: Document,
    authorization: Authorization,
    known: KnownMethods,
    unknown: _Unknown,
) -> Iterator[Finding]:
    for index, test in enumerate(authorization.tests):
        if test.call not in known:
            yield kinds.UNKNOWN_METHOD(
                f"a test calls {quote(test.call)}, which no service has",
                span=document.place("authorization", "tests", index, "call"),
                label=unknown.guess(test.call) or "no such method",
                help="write a method that a service has",
            )


def _check_reach(
    document: Document,
    scopes: Iterable[Scope],
    services: Iterable[ServedService],
    known: KnownMethods,
) -> Iterator[Finding]:
    for service, closed in unreached(scopes, services, known):
        if not service.may_be_closed:
            yield _describe_unreached(document, service, closed)


def _describe_unreached(
    document: Document, service: ServedService, closed: list[str]
) -> Finding:
    path = service.path
    assert path is not None  # noqa: S101 - it is served
    message = f"no rule allows {_spell(closed, service)}"
    default = document.key("authorization", "default")
    if path[0] == "server":  # health, which is served without being written
        key = ".".join(map(str, path))
        return kinds.UNREACHABLE_METHOD(
            message,
            span=default,
            label="denies it to all clients",
            help=f"add a rule for `/{service.name}/*`, or set `{key}: false`",
        )
    return kinds.UNREACHABLE_METHOD(
        message,
        span=document.place(*path),
        label="denied to all clients",
        secondary=[Label(span=default, text="denies calls that no rule allows")],
        help="add a rule that allows it, or do not serve it",
    )


def unreached(
    scopes: Iterable[Scope], services: Iterable[ServedService], known: KnownMethods
) -> Iterator[tuple[ServedService, list[str]]]:
    """Yield each served service that has methods which no rule allows, with these."""
    reached = _reached(scopes, known)
    for service in services:
        closed = [
            name
            for name, method in zip(service.methods, service.full_methods, strict=True)
            if method not in reached
        ]
        if service.path is not None and closed:
            yield service, closed


def _spell(closed: Sequence[str], service: ServedService) -> str:
    if len(closed) == len(service.methods):
        return f"any method of `{service.name}`"
    named = ", ".join(f"`{name}`" for name in closed[:_MAX_NAMED])
    more = f" and {len(closed) - _MAX_NAMED} more" if len(closed) > _MAX_NAMED else ""
    return f"{named}{more} of `{service.name}`"


def _reached(scopes: Iterable[Scope], known: KnownMethods) -> set[str]:
    """Return the methods that an enforced rule allows on at least one listener."""
    reached: set[str] = set()
    seen: set[tuple[MethodPattern, tuple[str, ...] | None]] = set()
    for scope in scopes:
        rule = scope.rule
        if rule.effect is Effect.DENY or not rule.enforce:
            continue
        for pattern in scope.patterns:
            if (pattern, rule.listeners) in seen:
                continue
            seen.add((pattern, rule.listeners))
            reached.update(
                method
                for method in known.matching(pattern)
                if any(one.serves(service_of(method)) for one in scope.listeners)
            )
    return reached


def service_of(method: str) -> str:
    """Return the service in the path of a method."""
    return method[1:].partition("/")[0]
