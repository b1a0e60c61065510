"""Compiled rules, and an index that finds the first rule that matches a call.

The index is by pattern, then by identity: the cost of a look-up depends on the number
of different pattern lengths and of the peer's identities, not on the number of rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from grpcsecure.model.authorization import Effect
from grpcsecure.model.name_patterns import parse_metadata_value
from grpcsecure.policy.patterns import PatternKind, parse_method_pattern

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from grpcsecure.model.authorization import MetadataCondition, Rule
    from grpcsecure.policy.patterns import MethodPattern

__all__ = ["Call", "CompiledRule", "RuleIndex"]


class Call(NamedTuple):
    """A call: its path on the wire, its listener and its metadata.

    A tuple is used rather than a dataclass, for speed: one is created for each call.
    """

    method: str
    listener: str
    metadata: Sequence[tuple[str, str | bytes]] = ()
    #: Whether the server has the method.
    exists: bool = True


class _Condition:
    """One metadata key of a rule and the values that match.

    A client may send a key several times: for an allow rule, all sent values must
    match, for a deny rule, one matching value suffices.
    """

    def __init__(self, condition: MetadataCondition, effect: Effect) -> None:
        self.key = condition.key.lower()
        self._values = frozenset(
            parse_metadata_value(self.key, value) for value in condition.values
        )
        self._is_allow = effect is Effect.ALLOW

    def holds(self, metadata: Sequence[tuple[str, str | bytes]]) -> bool:
        sent = {value for key, value in metadata if key == self.key}
        if self._is_allow:
            return bool(sent) and sent <= self._values
        return not sent.isdisjoint(self._values)


class CompiledRule:
    """A rule, compiled for matching.

    Args:
        rule: the rule of the config.
        order: its position in the file.

    Raises:
        ValueError: a pattern or a metadata value is invalid.
    """

    def __init__(self, rule: Rule, order: int) -> None:
        self.rule = rule
        self.order = order
        self.patterns = tuple(map(parse_method_pattern, rule.methods))
        self.conditions = tuple(
            _Condition(condition, rule.effect) for condition in rule.metadata
        )
        self._listeners = None if rule.listeners is None else frozenset(rule.listeners)

    @property
    def is_conditional(self) -> bool:
        """Whether the rule has conditions on metadata."""
        return bool(self.conditions)

    def is_on(self, listener: str) -> bool:
        """Whether the rule applies on a listener."""
        return self._listeners is None or listener in self._listeners

    def unmet(self, call: Call) -> Iterator[str]:
        """Yield the metadata keys with a condition that the call does not meet."""
        for condition in self.conditions:
            if not condition.holds(call.metadata):
                yield condition.key

    def holds(self, call: Call) -> bool:
        """Whether the metadata of a call meets all conditions."""
        return next(self.unmet(call), None) is None


#: The rules of one pattern by identity, each list in the order of the file.
_Bucket = dict[str, list[CompiledRule]]


class _Affixes:
    """Buckets by prefix (or suffix) of a path; looks up one affix of each length."""

    def __init__(self, *, at_end: bool) -> None:
        self._at_end = at_end
        self._lengths: tuple[int, ...] = ()
        self._buckets: dict[str, _Bucket] = {}

    def bucket(self, text: str) -> _Bucket:
        """Return the bucket of an affix; create it if it does not exist."""
        if text not in self._buckets:
            self._buckets[text] = {}
            if len(text) not in self._lengths:
                self._lengths = tuple(sorted((*self._lengths, len(text))))
        return self._buckets[text]

    def find(self, path: str, found: list[_Bucket]) -> None:
        """Append the buckets of all affixes that the path has."""
        for length in self._lengths:
            if length > len(path):
                return
            affix = path[-length:] if self._at_end else path[:length]
            bucket = self._buckets.get(affix)
            if bucket is not None:
                found.append(bucket)


class RuleIndex:
    """Finds the first rule that matches a call, or None.

    Does not check the listener: all rules of an index apply on the same listeners.
    """

    def __init__(self, rules: Iterable[CompiledRule]) -> None:
        self._any: _Bucket = {}
        self._exact: dict[str, _Bucket] = {}
        self._services: dict[str, _Bucket] = {}
        #: Patterns such as `/Service/Get*`, by their service part `/Service/`.
        self._within: dict[str, _Affixes] = {}
        self._prefixes = _Affixes(at_end=False)
        self._suffixes = _Affixes(at_end=True)
        for rule in rules:
            for pattern in rule.patterns:
                _add(rule, self._bucket(pattern))

    def _bucket(self, pattern: MethodPattern) -> _Bucket:
        text = pattern.text
        if pattern.kind is PatternKind.ANY:
            return self._any
        if pattern.kind is PatternKind.EXACT:
            return self._exact.setdefault(text, {})
        if pattern.kind is PatternKind.SUFFIX:
            return self._suffixes.bucket(text)
        end = text.find("/", 1) + 1
        if not end:
            return self._prefixes.bucket(text)
        if end == len(text):
            return self._services.setdefault(text, {})
        within = self._within.setdefault(text[:end], _Affixes(at_end=False))
        return within.bucket(text)

    def first(self, names: frozenset[str], call: Call) -> CompiledRule | None:
        """Return the first rule that matches a call of a peer with these identities."""
        first: CompiledRule | None = None
        for bucket in self._find(call.method):
            for name in bucket.keys() & names:
                for rule in bucket[name]:
                    if first is not None and first.order <= rule.order:
                        break
                    if not rule.is_conditional or rule.holds(call):
                        first = rule
                        break
        return first

    def _find(self, path: str) -> list[_Bucket]:
        """Return the buckets of all patterns that match a path."""
        found = [self._any] if self._any else []
        bucket = self._exact.get(path)
        if bucket is not None:
            found.append(bucket)
        end = path.find("/", 1) + 1
        if end:
            service = path[:end]
            bucket = self._services.get(service)
            if bucket is not None:
                found.append(bucket)
            within = self._within.get(service)
            if within is not None:
                within.find(path, found)
        self._prefixes.find(path, found)
        self._suffixes.find(path, found)
        return found


def _add(rule: CompiledRule, bucket: _Bucket) -> None:
    for name in rule.rule.identities:
        rules = bucket.setdefault(name, [])
        # Rules after an unconditional one are never reached, so they are not added.
        if not rules or rules[-1].is_conditional:
            rules.append(rule)
