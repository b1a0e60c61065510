"""Checks for rules that never decide, since an earlier rule matches the same calls.

A rule covers another if each of its parts does: patterns, listeners, identities and
metadata. Calls that two earlier rules cover together are not detected.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from grpcsecure.diagnostics.catalog import policy_kinds as kinds
from grpcsecure.diagnostics.findings import Label
from grpcsecure.model.authorization import BuiltIn, Effect
from grpcsecure.policy.patterns import MethodPattern, PatternKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from grpcsecure.config.document import Document
    from grpcsecure.diagnostics.findings import Finding
    from grpcsecure.model.authorization import Identity
    from grpcsecure.policy.scopes import Scope

__all__ = ["check_shadowing"]

_ANYONE = BuiltIn.ANYONE.value
_VERIFIED = BuiltIn.VERIFIED.value
_PRESENTED = BuiltIn.PRESENTED.value
_ANONYMOUS = BuiltIn.ANONYMOUS.value

#: Most earlier rules that a rule is compared with: hardly any config has more rules
#: that share a pattern and an identity, and differ in other conditions.
_MAX_CANDIDATES = 64


def check_shadowing(document: Document, scopes: Iterable[Scope]) -> Iterator[Finding]:
    """Find rules that never decide because of an earlier rule."""
    proved = _proved_names(document.config.identities)
    earlier = _Earlier(proved)
    # The order of evaluation: deny rules first.
    for scope in sorted(scopes, key=lambda one: one.rule.effect is Effect.ALLOW):
        first = earlier.find(scope) if _has_its_listeners(scope) else None
        if first is not None:
            yield _report(document, scope, first)
        earlier.add(scope)


def _has_its_listeners(scope: Scope) -> bool:
    """Whether all listeners that a rule names exist.

    An unknown listener has its own finding; the intended listener is not known.
    """
    named = scope.rule.listeners
    return named is None or set(named) == {one.name for one in scope.listeners}


def _report(document: Document, scope: Scope, first: Scope) -> Finding:
    name, other = scope.rule.name, first.rule.name
    is_denied = first.rule.effect is not scope.rule.effect
    return kinds.SHADOWED_RULE(
        f"rule `{name}` never decides: `{other}` matches everything that it matches",
        span=document.key("authorization", "rules", name),
        label="allows nothing" if is_denied else "has no effect",
        secondary=[
            Label(
                span=document.key("authorization", "rules", other),
                text="comes first, and denies" if is_denied else "comes first",
            )
        ],
        help=f"remove `{name}`, or narrow `{other}`",
    )


def _proved_names(identities: Iterable[Identity]) -> frozenset[str]:
    """Return the identities that only a verified peer is granted."""
    return frozenset(
        identity.name
        for identity in identities
        if all(
            any(not one.kind.is_pin for one in matcher.criteria)
            for matcher in identity.matchers
        )
    )


class _Earlier:
    """The rules before the current one, by each of their patterns and identities."""

    def __init__(self, proved: frozenset[str]) -> None:
        self._proved = proved
        self._index: dict[tuple[MethodPattern, str], list[Scope]] = defaultdict(list)
        self._lengths: dict[PatternKind, set[int]] = defaultdict(set)

    def add(self, scope: Scope) -> None:
        """Add a rule, unless it has `enforce: false` and so decides nothing."""
        if not scope.rule.enforce:
            return
        for pattern in scope.patterns:
            self._lengths[pattern.kind].add(len(pattern.text))
            for name in scope.rule.identities:
                found = self._index[pattern, name]
                if len(found) < _MAX_CANDIDATES:
                    found.append(scope)

    def find(self, scope: Scope) -> Scope | None:
        """Return the first rule that covers this one."""
        # A rule that covers this one covers its first pattern and its first identity.
        for pattern in self._wider(scope.patterns[0]):
            for name in self._wider_names(scope.rule.identities[0], scope):
                for candidate in self._index.get((pattern, name), ()):
                    if self._covers(candidate, scope):
                        return candidate
        return None

    def _wider(self, pattern: MethodPattern) -> Iterator[MethodPattern]:
        """Yield the patterns that cover a pattern, of lengths of earlier rules."""
        yield MethodPattern(PatternKind.ANY, "")
        yield pattern
        text = pattern.text
        if pattern.kind in (PatternKind.EXACT, PatternKind.PREFIX):
            for length in self._lengths[PatternKind.PREFIX]:
                if length <= len(text):
                    yield MethodPattern(PatternKind.PREFIX, text[:length])
        if pattern.kind in (PatternKind.EXACT, PatternKind.SUFFIX):
            for length in self._lengths[PatternKind.SUFFIX]:
                if 0 < length <= len(text):
                    yield MethodPattern(PatternKind.SUFFIX, text[-length:])

    def _wider_names(self, name: str, scope: Scope) -> Iterator[str]:
        """Yield the identities that every peer with the identity `name` also has."""
        yield name
        yield _ANYONE
        if name not in (_ANYONE, _ANONYMOUS):
            yield _PRESENTED
            # A deny rule matches claimed identities, which do not imply `verified`.
            if scope.rule.effect is Effect.ALLOW and name in self._proved:
                yield _VERIFIED

    def _covers(self, first: Scope, scope: Scope) -> bool:
        names = first.rule.identities
        return (
            all(
                any(wide.covers(pattern) for wide in first.patterns)
                for pattern in scope.patterns
            )
            and all(
                any(wide in names for wide in self._wider_names(name, scope))
                for name in scope.rule.identities
            )
            and _covers_listeners(first, scope)
            and _covers_metadata(first, scope)
        )


def _covers_listeners(first: Scope, scope: Scope) -> bool:
    if first.rule.listeners is None:
        return True
    return {one.name for one in scope.listeners} <= set(first.rule.listeners)


def _covers_metadata(first: Scope, scope: Scope) -> bool:
    """Whether a call that meets the conditions of `scope` meets those of `first`.

    For each condition of `first`, `scope` must have one for the same key, with no
    additional values. This is correct for rules of the same effect, and for a deny rule
    before an allow rule, since an allow rule requires that all sent values match.
    """
    wanted = {one.key: set(one.values) for one in scope.rule.metadata}
    return all(
        one.key in wanted and wanted[one.key] <= set(one.values)
        for one in first.rule.metadata
    )
