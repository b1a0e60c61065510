"""Summary of the table for reviews: methods by exposure, by rule, and unreachable."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

from grpcsecure.explain.table import Exposure
from grpcsecure.model.authorization import BuiltIn, Effect

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from grpcsecure.explain.table import Cell, Change, Row, RuleFacts, Section, Table
    from grpcsecure.model.authorization import MetadataCondition, Rule

__all__ = [
    "Group",
    "Opening",
    "Reach",
    "ShadowEffect",
    "count_exposures",
    "exceptions_of",
    "groups_of",
    "idle_rules",
    "openings_of",
    "reaches_of",
    "shadow_effects",
    "unreachable_methods",
]


@dataclass(frozen=True, slots=True)
class Opening:
    """Names that a rule allows; `rule=None` is the default, which allows everyone."""

    names: tuple[str, ...]
    rule: Rule | None
    metadata: tuple[MetadataCondition, ...] = ()


def openings_of(table: Table, row: Row) -> tuple[Opening, ...]:
    """Return the names to which a method is open, by the rules that allow them.

    A caller that is allowed through another name, such as `anyone`, is not listed.
    """
    names: dict[tuple[Rule | None, tuple[MetadataCondition, ...]], list[str]] = {}
    for caller, cell in zip(table.callers, row.cells, strict=True):
        for rule, metadata, via in _ways_in(cell):
            if caller.name in via or (
                rule is None and caller.name == BuiltIn.ANYONE.value
            ):
                names.setdefault((rule, metadata), []).append(caller.name)
    return tuple(
        Opening(tuple(found), rule, metadata)
        for (rule, metadata), found in names.items()
    )


def _ways_in(
    cell: Cell,
) -> Iterator[tuple[Rule | None, tuple[MetadataCondition, ...], tuple[str, ...]]]:
    if cell.effect is Effect.ALLOW:
        yield cell.rule, (), cell.names
    for change in cell.conditions:
        if change.effect is Effect.ALLOW and change.rule is not None:
            yield change.rule, change.metadata, change.rule.identities


def exceptions_of(table: Table, row: Row) -> tuple[Opening, ...]:
    """Return the names that are denied although a built-in name is allowed.

    An exception with metadata denies only calls that carry this metadata.
    """
    cells = {
        caller.name: cell for caller, cell in zip(table.callers, row.cells, strict=True)
    }
    wide = any(cells[one.value].effect is Effect.ALLOW for one in BuiltIn)
    found: dict[tuple[Rule, tuple[MetadataCondition, ...]], list[str]] = {}
    for name, cell in cells.items():
        if wide and cell.effect is Effect.DENY and cell.rule and name in cell.names:
            found.setdefault((cell.rule, ()), []).append(name)
        for change in cell.conditions:
            rule = change.rule
            if change.effect is Effect.DENY and rule and name in rule.identities:
                found.setdefault((rule, change.metadata), []).append(name)
    return tuple(
        Opening(tuple(names), rule, metadata)
        for (rule, metadata), names in found.items()
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Methods of one service that are open to the same callers by the same rules."""

    exposure: Exposure
    listeners: tuple[str, ...]
    service: str
    methods: tuple[str, ...]
    is_whole_service: bool
    openings: tuple[Opening, ...]
    exceptions: tuple[Opening, ...]


def groups_of(table: Table, exposures: Iterable[Exposure]) -> tuple[Group, ...]:
    """Return the groups of methods with these exposures, in this order."""
    merged: dict[Group, tuple[str, ...]] = {}
    for section in table.sections:
        names = tuple(facts.name for facts in section.listeners)
        for group in _groups(table, section):
            merged[group] = (*merged.get(group, ()), *names)
    groups = [replace(group, listeners=names) for group, names in merged.items()]
    return tuple(
        group
        for exposure in exposures
        for group in groups
        if group.exposure is exposure
    )


def _groups(table: Table, section: Section) -> Iterator[Group]:
    """Yield the groups of a section; its listeners are filled in later."""
    by_key: dict[
        tuple[Exposure, str, tuple[Opening, ...], tuple[Opening, ...]], list[str]
    ] = {}
    for row in section.rows:
        openings, exceptions = openings_of(table, row), exceptions_of(table, row)
        key = row.exposure, row.service, openings, exceptions
        by_key.setdefault(key, []).append(row.name)
    for (exposure, service, openings, exceptions), methods in by_key.items():
        yield Group(
            exposure=exposure,
            listeners=(),
            service=service,
            methods=tuple(methods),
            is_whole_service=len(methods)
            == sum(row.service == service for row in section.rows),
            openings=openings,
            exceptions=exceptions,
        )


def count_exposures(table: Table) -> dict[Exposure, int]:
    """Count the methods by their widest exposure on any listener."""
    counts = dict.fromkeys(Exposure, 0)
    for exposure in _widest(table).values():
        counts[exposure] += 1
    return counts


def _widest(table: Table) -> dict[str, Exposure]:
    order = [*Exposure]
    widest: dict[str, Exposure] = {}
    for row in (row for section in table.sections for row in section.rows):
        known = widest.get(row.method, Exposure.NO_CALLER)
        widest[row.method] = min(known, row.exposure, key=order.index)
    return widest


def unreachable_methods(table: Table) -> tuple[str, ...]:
    """Return the methods that no caller may call on any listener."""
    widest = _widest(table)
    return tuple(sorted(m for m, e in widest.items() if e is Exposure.NO_CALLER))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """The methods of a service that a caller may call on some listeners."""

    listeners: tuple[str, ...]
    service: str
    methods: tuple[str, ...]
    is_whole_service: bool
    rules: tuple[Rule, ...]


def reaches_of(table: Table, name: str) -> tuple[Reach, ...]:
    """Return all methods that a caller with this name may call."""
    index = next(i for i, caller in enumerate(table.callers) if caller.name == name)
    merged: dict[Reach, tuple[str, ...]] = {}
    for section in table.sections:
        names = tuple(facts.name for facts in section.listeners)
        for reach in _reaches(section, index):
            merged[reach] = (*merged.get(reach, ()), *names)
    return tuple(replace(reach, listeners=names) for reach, names in merged.items())


def _reaches(section: Section, index: int) -> Iterator[Reach]:
    """Yield the reaches of one caller in a section; listeners are filled in later."""
    for service, rows in groupby(section.rows, key=lambda row: row.service):
        entries = [(row, row.cells[index]) for row in rows]
        opened = [
            (row, cell)
            for row, cell in entries
            if cell.is_open and not cell.is_only_claimed
        ]
        if opened:
            rules = (rule for _, cell in opened for rule in _opening_rules(cell))
            yield Reach(
                listeners=(),
                service=service,
                methods=tuple(row.name for row, _ in opened),
                is_whole_service=len(opened) == len(entries),
                rules=tuple(dict.fromkeys(rules)),
            )


def _opening_rules(cell: Cell) -> Iterator[Rule]:
    for rule, _, _ in _ways_in(cell):
        if rule is not None:
            yield rule


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowEffect:
    """The change for some callers and methods if a rule were enforced."""

    change: Change
    listeners: tuple[str, ...]
    service: str
    methods: tuple[str, ...]
    names: tuple[str, ...]


def shadow_effects(table: Table) -> tuple[ShadowEffect, ...]:
    """Return all changes if the rules with `enforce: false` were enforced."""
    found: dict[tuple[Change, tuple[str, ...], str], list[tuple[str, str]]] = {}
    for section in table.sections:
        listeners = tuple(facts.name for facts in section.listeners)
        for row in section.rows:
            for caller, cell in zip(table.callers, row.cells, strict=True):
                for change in cell.shadows:
                    key = change, listeners, row.service
                    found.setdefault(key, []).append((row.name, caller.name))
    return tuple(
        ShadowEffect(
            change=change,
            listeners=listeners,
            service=service,
            methods=tuple(dict.fromkeys(method for method, _ in cells)),
            names=tuple(dict.fromkeys(name for _, name in cells)),
        )
        for (change, listeners, service), cells in found.items()
    )


def idle_rules(table: Table) -> tuple[RuleFacts, ...]:
    """Return the rules that decide no call of the table.

    Rules on metadata and rules that are not enforced are left out: their effect may
    depend on calls that the table does not contain.
    """
    return tuple(
        facts
        for facts in table.rules.values()
        if facts.rule.enforce and not facts.rule.metadata and not facts.decides
    )
