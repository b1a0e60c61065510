"""Who may call what: every method of every listener, for every name a caller can have.

Each cell is a decision of the policy that serves. A caller of the table has one name
and what comes with it on that listener; since rules match any one name, a caller with
several may do what any of them may, unless one of them is denied.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING

from grpcsecure.explain.implied_identities import (
    is_only_claimed,
    principal_of,
    rules_of,
)
from grpcsecure.explain.listener_facts import (
    callers_of,
    listener_facts,
)
from grpcsecure.model.authorization import BuiltIn, Effect
from grpcsecure.model.name_patterns import parse_metadata_value
from grpcsecure.policy.decision import Call, Principal
from grpcsecure.policy.patterns import parse_method_pattern

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from grpcsecure.diagnostics.model import Span
    from grpcsecure.explain.listener_facts import Caller, ListenerFacts
    from grpcsecure.explain.loaded_config import LoadedConfig
    from grpcsecure.model.authorization import MetadataCondition, Rule
    from grpcsecure.model.listener import Listener
    from grpcsecure.policy.decision import Decision, Policy

__all__ = [
    "Cell",
    "Change",
    "Exposure",
    "Row",
    "RuleFacts",
    "Section",
    "Table",
    "build_table",
]


class Exposure(Enum):
    """The widest circle of callers that a method is open to."""

    ANONYMOUS = "anonymous"
    UNVERIFIED = "unverified"
    VERIFIED = "verified"
    NAMED = "named"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Change:
    """Another decision, and what it takes; without metadata, that a rule is enforced.

    `rule=None` is the default's.
    """

    effect: Effect
    rule: Rule | None
    metadata: tuple[MetadataCondition, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What a caller may do with a method.

    `effect=None`: no such caller gets in there. `names` are those names of the rule
    that match. With the metadata of `conditions` it is otherwise; with all rules
    enforced, it is as the `shadows` say.
    """

    effect: Effect | None
    rule: Rule | None = None
    names: tuple[str, ...] = ()
    conditions: tuple[Change, ...] = ()
    shadows: tuple[Change, ...] = ()
    #: Whether the caller's name is a claim there: it counts in deny rules alone.
    is_only_claimed: bool = False

    @property
    def is_open(self) -> bool:
        """Whether some call gets through."""
        return self.effect is Effect.ALLOW or any(
            change.effect is Effect.ALLOW for change in self.conditions
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A method, with a cell for each caller of the table."""

    method: str
    exposure: Exposure
    cells: tuple[Cell, ...]

    @property
    def service(self) -> str:
        """The service's full name."""
        return self.method.rpartition("/")[0].removeprefix("/")

    @property
    def name(self) -> str:
        """The method's name in its service."""
        return self.method.rpartition("/")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Listeners with the same answers to everything."""

    listeners: tuple[ListenerFacts, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleFacts:
    """A rule by its place in the order of asking, and how many cells it decides.

    `changes` are the cells where its metadata, or enforcing it, would decide.
    """

    number: int
    rule: Rule
    place: Span
    decides: int = 0
    changes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """All of it. Without `has_rules`, everything is allowed."""

    subject: str
    profile: str | None
    production: bool
    has_rules: bool
    knows_methods: bool
    default: Effect
    default_place: Span
    callers: tuple[Caller, ...]
    #: By their names, in the order of asking.
    rules: Mapping[str, RuleFacts]
    sections: tuple[Section, ...]


def build_table(scene: LoadedConfig) -> Table:
    """Ask the policy about everything."""
    authorization = scene.config.authorization
    callers = callers_of(scene)
    sections = tuple(
        Section(
            listeners=(listener_facts(scene, listener),),
            rows=tuple(_rows(scene, listener, callers)),
        )
        for listener in scene.config.listeners
    )
    return Table(
        subject=scene.document.source.name,
        profile=scene.document.profile,
        production=scene.config.production,
        has_rules=authorization is not None,
        knows_methods=scene.knows_methods,
        default=Effect.ALLOW if authorization is None else authorization.default,
        default_place=scene.place_of(None),
        callers=callers,
        rules={one.rule.name: one for one in _count(_rules(scene), sections)},
        sections=tuple(_merged(sections)),
    )


def _rows(
    scene: LoadedConfig, listener: Listener, callers: Sequence[Caller]
) -> Iterator[Row]:
    principals = [
        (
            principal_of(scene, listener, caller.name),
            is_only_claimed(scene, listener, caller.name),
        )
        for caller in callers
    ]
    for method in scene.methods[listener.name]:
        call = Call(method, listener.name)
        rules = [*_conditional_rules(scene, call)]
        cells = tuple(
            Cell(effect=None)
            if principal is None
            else replace(
                _cell(scene.snapshot.policy, principal, call, rules),
                is_only_claimed=is_claim,
            )
            for principal, is_claim in principals
        )
        yield Row(
            method=method, exposure=_exposure(listener, callers, cells), cells=cells
        )


def _conditional_rules(scene: LoadedConfig, call: Call) -> Iterator[Rule]:
    """Yield the rules on metadata that may have to do with a call."""
    for rule in rules_of(scene):
        if (
            rule.metadata
            and (rule.listeners is None or call.listener in rule.listeners)
            and any(_parse(pattern).matches(call.method) for pattern in rule.methods)
        ):
            yield rule


#: The same patterns are asked about each method.
_parse = lru_cache(maxsize=16 * 1024)(parse_method_pattern)


def _cell(
    policy: Policy | None, principal: Principal, call: Call, rules: Iterable[Rule]
) -> Cell:
    if policy is None:
        return Cell(effect=Effect.ALLOW)
    decision = policy.decide(principal, call)
    conditions: list[Change] = []
    shadows = [*_shadow(decision)]
    for rule in rules:
        other = policy.decide(principal, _with_metadata(call, rule))
        if other.rule is rule and other.effect is not decision.effect:
            conditions.append(Change(rule.effect, rule, rule.metadata))
        shadows += _shadow(other, rule.metadata)
    return Cell(
        effect=decision.effect,
        rule=decision.rule,
        names=_names(decision, principal),
        conditions=tuple(conditions),
        shadows=_without_repetition(shadows),
    )


def _shadow(
    decision: Decision, metadata: tuple[MetadataCondition, ...] = ()
) -> Iterator[Change]:
    """Yield what enforcing would change, unless it only has another reason."""
    shadow = decision.shadow
    if shadow is not None and shadow.effect is not decision.effect:
        yield Change(shadow.effect, shadow.rule, metadata)


def _without_repetition(changes: Iterable[Change]) -> tuple[Change, ...]:
    """Leave out what metadata changes if it is so without metadata."""
    kept: list[Change] = []
    for change in changes:
        if replace(change, metadata=()) not in kept:
            kept.append(change)
    return tuple(kept)


def _with_metadata(call: Call, rule: Rule) -> Call:
    sent = tuple(
        (condition.key, parse_metadata_value(condition.key, condition.values[0]))
        for condition in rule.metadata
    )
    return call._replace(metadata=sent)


def _names(decision: Decision, principal: Principal) -> tuple[str, ...]:
    if decision.rule is None:
        return ()
    is_allow = decision.rule.effect is Effect.ALLOW
    having = principal.granted if is_allow else principal.claimed
    return tuple(name for name in decision.rule.identities if name in having)


def _exposure(
    listener: Listener, callers: Sequence[Caller], cells: Sequence[Cell]
) -> Exposure:
    opened = {
        caller.name
        for caller, cell in zip(callers, cells, strict=True)
        if cell.effect is not None and cell.is_open and not cell.is_only_claimed
    }
    tls = listener.tls
    verifies = tls is not None and tls.client_certificate.verifies
    if BuiltIn.ANONYMOUS.value in opened:
        return Exposure.ANONYMOUS
    if BuiltIn.PRESENTED.value in opened and not verifies:
        return Exposure.UNVERIFIED
    if BuiltIn.VERIFIED.value in opened:
        return Exposure.VERIFIED
    return Exposure.NAMED if opened else Exposure.NOBODY


def _rules(scene: LoadedConfig) -> Iterator[RuleFacts]:
    """Yield the rules in the order in which they are asked."""
    in_order = sorted(rules_of(scene), key=lambda rule: rule.effect is Effect.ALLOW)
    for number, rule in enumerate(in_order, 1):
        yield RuleFacts(number=number, rule=rule, place=scene.place_of(rule))


def _count(
    rules: Iterable[RuleFacts], sections: Iterable[Section]
) -> Iterator[RuleFacts]:
    decides: Counter[str] = Counter()
    changes: Counter[str] = Counter()
    for section in sections:
        for cell in (cell for row in section.rows for cell in row.cells):
            if cell.rule is not None:
                decides[cell.rule.name] += 1
            for change in (*cell.conditions, *cell.shadows):
                if change.rule is not None:
                    changes[change.rule.name] += 1
    for facts in rules:
        name = facts.rule.name
        yield replace(facts, decides=decides[name], changes=changes[name])


def _merged(sections: Iterable[Section]) -> Iterator[Section]:
    """Put listeners together whose rows are the same."""
    by_rows: dict[tuple[Row, ...], Section] = {}
    for section in sections:
        same = by_rows.get(section.rows)
        if same is not None:
            section = replace(section, listeners=(*same.listeners, *section.listeners))  # noqa: PLW2901 - the same section, with more listeners
        by_rows[section.rows] = section
    yield from by_rows.values()
