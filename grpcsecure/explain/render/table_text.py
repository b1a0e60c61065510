"""The table as text for terminals: each method, its callers and the deciding rules."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from grpcsecure.diagnostics.render.text import Style, visible
from grpcsecure.explain.phrases import (
    count,
    describe_metadata,
    describe_rule,
    line_of,
)
from grpcsecure.explain.summary import (
    exceptions_of,
    idle_rules,
    openings_of,
    shadow_effects,
    unreachable_methods,
)
from grpcsecure.model.authorization import Effect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grpcsecure.diagnostics.findings import Span
    from grpcsecure.explain.summary import Opening
    from grpcsecure.explain.table import Row, Section, Table

__all__ = ["render_table_text"]


def render_table_text(table: Table, *, color: bool = False) -> str:
    """Return the table as text."""
    return "\n".join(_lines(table, Style(color=color))) + "\n"


def _lines(table: Table, style: Style) -> Iterator[str]:
    profile = "" if table.profile is None else f" (profile {visible(table.profile)})"
    default = "no authorization: every call is allowed"
    if table.has_rules:
        default = f"default {table.default.value}  {_place(table.default_place)}"
    yield style.paint("message", visible(table.subject) + profile) + f"  {default}"
    if not table.knows_methods:
        yield "the served methods are not known: there may be more than these"
    for section in table.sections:
        yield ""
        yield from _section(table, section, style)
    yield from _remarks(table)


def _place(span: Span) -> str:
    return visible(line_of(span))


def _section(table: Table, section: Section, style: Style) -> Iterator[str]:
    for facts in section.listeners:
        name = style.paint("message", visible(facts.name))
        yield f"{name}  {visible(facts.address)}  {facts.mode}  {_place(facts.place)}"
        yield f"  accepts: {visible(facts.lets_in)}"
        yield f"  names: {visible(facts.names)}"
        states = (f"{kind} {state}" for kind, state in facts.clients)
        yield f"  clients by certificate: {', '.join(states)}"
    width = max((len(visible(row.name)) for row in section.rows), default=0)
    for service, rows in groupby(section.rows, key=lambda row: row.service):
        yield f"  {visible(service)}"
        for row in rows:
            first, *rest = _callers(table, row, style)
            yield f"    {visible(row.name):{width}}  {first}"
            yield from (f"    {'':{width}}  {line}" for line in rest)


def _callers(table: Table, row: Row, style: Style) -> Iterator[str]:
    openings = openings_of(table, row)
    if not openings:
        yield style.paint("warning", "no caller")
    for opening in openings:
        yield _opening(table, opening)
    for exception in exceptions_of(table, row):
        yield f"{style.paint('error', 'not')} {_opening(table, exception)}"


def _opening(table: Table, opening: Opening) -> str:
    names = visible(", ".join(opening.names))
    if not table.has_rules:
        return names
    with_ = ""
    if opening.metadata:
        with_ = f" with {visible(describe_metadata(opening.metadata))}"
    place = table.default_place
    if opening.rule is not None:
        place = table.rules[opening.rule.name].place
    rule = visible(describe_rule(opening.rule))
    return f"{names}{with_}  {rule}  {_place(place)}"


def _remarks(table: Table) -> Iterator[str]:
    unreachable = unreachable_methods(table)
    if unreachable:
        yield ""
        yield f"{count(len(unreachable), 'method')} that no caller may call:"
        yield from (f"  {visible(method)}" for method in unreachable)
    effects = shadow_effects(table)
    if effects:
        yield ""
        yield "rules with enforce: false would change:"
    for one in effects:
        change = one.change
        verb = "allow" if change.effect is Effect.ALLOW else "deny"
        with_ = f" with {describe_metadata(change.metadata)}" if change.metadata else ""
        yield visible(
            f"  {describe_rule(change.rule)} would {verb} {one.service}"
            f" {', '.join(one.methods)} on {', '.join(one.listeners)}"
            f" for {', '.join(one.names)}{with_}"
        )
    idle = idle_rules(table)
    if idle:
        yield ""
        yield "rules without effect here:"
        for facts in idle:
            yield f"  {visible(facts.rule.name)}  {_place(facts.place)}"
