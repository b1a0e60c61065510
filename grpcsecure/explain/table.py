"""Table of allowed calls: every method of every listener, for every name of a caller.

Each cell is a decision of the same policy as in `serve`. A caller of the table has one
name and the names that it implies on that listener. Since a rule matches by any one
name, a caller with several names may do what any of them may, unless one is denied.
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

    from grpcsecure.diagnostics.findings import Span
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
    """The widest set of callers that may call a method."""

    ANONYMOUS = "anonymous"
    UNVERIFIED = "unverified"
    VERIFIED = "verified"
    NAMED = "named"
    NO_CALLER = "nobody"


@dataclass(frozen=True, slots=True)
class Change:
    """A different decision, and its condition: metadata, or that a rule is enforced.

    `rule=None` stands for the default.
    """

    effect: Effect
    rule: Rule | None
    metadata: tuple[MetadataCondition, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """The decision for one caller and one method.

    `effect=None`: there is no such caller on the listener. `names` are the names of the
    rule that match. `conditions` are different decisions with certain metadata,
    `shadows` different decisions if all rules were enforced.
    """

    effect: Effect | None
    rule: Rule | None = None
    names: tuple[str, ...] = ()
    conditions: tuple[Change, ...] = ()
    shadows: tuple[Change, ...] = ()
    #: Whether the caller's name is only claimed there, so it counts in deny rules only.
    is_only_claimed: bool = False

    @property
    def is_open(self) -> bool:
        """Whether some call is allowed."""
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
    """Listeners with the same decisions, and their rows."""

    listeners: tuple[ListenerFacts, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleFacts:
    """A rule with its place in the order of evaluation, and its number of cells.

    `decides` counts the cells that it decides, `changes` those that it would decide
    with its metadata or if it were enforced.
    """

    number: int
    rule: Rule
    place: Span
    decides: int = 0
    changes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The whole table. If `has_rules` is false, every call is allowed."""

    subject: str
    profile: str | None
    production: bool
    has_rules: bool
    knows_methods: bool
    default: Effect
    default_place: Span
    callers: tuple[Caller, ...]
    #: By their names, in order of evaluation.
    rules: Mapping[str, RuleFacts]
    sections: tuple[Section, ...]


def build_table(loaded: LoadedConfig) -> Table:
    """Build the table: one decision of the policy per listener, method and caller."""
    authorization = loaded.config.authorization
    callers = callers_of(loaded)
    sections = tuple(
        Section(
            listeners=(listener_facts(loaded, listener),),
            rows=tuple(_rows(loaded, listener, callers)),
        )
        for listener in loaded.config.listeners
    )
    return Table(
        subject=loaded.document.source.name,
        profile=loaded.document.profile,
        production=loaded.config.production,
        has_rules=authorization is not None,
        knows_methods=loaded.knows_methods,
        default=Effect.ALLOW if authorization is None else authorization.default,
        default_place=loaded.place_of(None),
        callers=callers,
        rules={one.rule.name: one for one in _count(_rules(loaded), sections)},
        sections=tuple(_merged(sections)),
    )


def _rows(
    loaded: LoadedConfig, listener: Listener, callers: Sequence[Caller]
) -> Iterator[Row]:
    principals = [
        (
            principal_of(loaded, listener, caller.name),
            is_only_claimed(loaded, listener, caller.name),
        )
        for caller in callers
    ]
    for method in loaded.methods[listener.name]:
        call = Call(method, listener.name)
        rules = [*_conditional_rules(loaded, call)]
        cells = tuple(
            Cell(effect=None)
            if principal is None
            else replace(
                _cell(loaded.snapshot.policy, principal, call, rules),
                is_only_claimed=is_claim,
            )
            for principal, is_claim in principals
        )
        yield Row(
            method=method, exposure=_exposure(listener, callers, cells), cells=cells
        )


def _conditional_rules(loaded: LoadedConfig, call: Call) -> Iterator[Rule]:
    """Yield the rules on metadata that may apply to a call."""
    for rule in rules_of(loaded):
        if (
            rule.metadata
            and (rule.listeners is None or call.listener in rule.listeners)
            and any(_parse(pattern).matches(call.method) for pattern in rule.methods)
        ):
            yield rule


#: Cached, because the same patterns are parsed for each method.
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
    """Yield the decision if all rules were enforced, if its effect is different."""
    shadow = decision.shadow
    if shadow is not None and shadow.effect is not decision.effect:
        yield Change(shadow.effect, shadow.rule, metadata)


def _without_repetition(changes: Iterable[Change]) -> tuple[Change, ...]:
    """Leave out changes with metadata that also occur without metadata."""
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
    return Exposure.NAMED if opened else Exposure.NO_CALLER


def _rules(loaded: LoadedConfig) -> Iterator[RuleFacts]:
    """Yield the rules in order of evaluation."""
    in_order = sorted(rules_of(loaded), key=lambda rule: rule.effect is Effect.ALLOW)
    for number, rule in enumerate(in_order, 1):
        yield RuleFacts(number=number, rule=rule, place=loaded.place_of(rule))


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
    """Merge the sections of listeners whose rows are the same."""
    by_rows: dict[tuple[Row, ...], Section] = {}
    for section in sections:
        same = by_rows.get(section.rows)
        if same is not None:
            section = replace(section, listeners=(*same.listeners, *section.listeners))  # noqa: PLW2901 - the same section, with more listeners
        by_rows[section.rows] = section
    yield from by_rows.values()
