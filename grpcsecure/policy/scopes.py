"""The scope of each rule: its parsed patterns, and the listeners that it applies on."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from grpcsecure.policy.patterns import (
    MethodPattern,
    PatternKind,
    parse_method_pattern,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from grpcsecure.model.authorization import Rule
    from grpcsecure.model.listener import Listener
    from grpcsecure.model.server_config import ServerConfig

__all__ = ["Scope", "find_scopes", "service_pattern"]


class Scope(NamedTuple):
    """A rule, its parsed patterns, and its existing listeners.

    `serving` are those of the listeners that may serve a method of the rule.
    """

    rule: Rule
    patterns: tuple[MethodPattern, ...]
    listeners: tuple[Listener, ...]
    serving: tuple[Listener, ...]


def find_scopes(config: ServerConfig) -> tuple[Scope, ...]:
    """Return the scope of each rule, in file order."""
    authorization = config.authorization
    if authorization is None:
        return ()
    every = config.listeners
    parse = lru_cache(maxsize=None)(parse_method_pattern)
    return tuple(
        _scope(rule, tuple(map(parse, rule.methods)), every)
        for rule in authorization.rules
    )


def _scope(
    rule: Rule, patterns: tuple[MethodPattern, ...], every: tuple[Listener, ...]
) -> Scope:
    named = every
    if rule.listeners is not None:
        named = tuple(one for one in every if one.name in rule.listeners)
    serving = named
    if any(one.services is not None for one in named):
        serving = tuple(one for one in named if _may_serve(one, patterns))
    return Scope(rule, patterns, named, serving)


def _may_serve(listener: Listener, patterns: Iterable[MethodPattern]) -> bool:
    if listener.services is None:
        return True
    served = [service_pattern(service) for service in listener.services]
    return any(pattern.overlaps(one) for pattern in patterns for one in served)


def service_pattern(service: str) -> MethodPattern:
    """Return the pattern of all methods of a service."""
    return MethodPattern(PatternKind.PREFIX, f"/{service}/")
