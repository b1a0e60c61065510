"""The tables of methods and callers in the review page."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from grpcsecure.explain.phrases import (
    EXPOSURES,
    describe_metadata,
    describe_rule,
    line_of,
)
from grpcsecure.explain.render.markup import code, codes, rule_anchor, text, tone
from grpcsecure.explain.table import Exposure
from grpcsecure.model.authorization import Effect

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from grpcsecure.explain.listener_facts import Caller
    from grpcsecure.explain.table import Cell, Change, Row, Section, Table

__all__ = ["render_matrix"]

#: Short titles of the exposures, for the column beside the methods.
_SHORT = {
    Exposure.ANONYMOUS: "no certificate",
    Exposure.UNVERIFIED: "any certificate",
    Exposure.VERIFIED: "verified",
    Exposure.NAMED: "by name",
    Exposure.NO_CALLER: "no caller",
}


def render_matrix(table: Table, section: Section) -> Iterator[str]:
    """Yield the lines of one table: methods by the callers that can occur."""
    shown = [
        index
        for index in range(len(table.callers))
        if any(row.cells[index].effect is not None for row in section.rows)
    ]
    absent = [c.name for i, c in enumerate(table.callers) if i not in shown]
    if not section.rows:
        yield "<p>No method is served here.</p>"
        return
    if absent:
        yield f'<p class="quiet">No caller here is {codes(absent)}.</p>'
    claimed = [
        table.callers[index].name
        for index in shown
        if any(row.cells[index].is_only_claimed for row in section.rows)
    ]
    if claimed:
        yield (
            f'<p class="quiet">Here {codes(claimed)} can only be claimed, and count'
            " only in deny rules.</p>"
        )
    yield '<table class="matrix">'
    yield from _head([table.callers[index] for index in shown])
    yield "<tbody>"
    for service, rows in groupby(section.rows, key=lambda row: row.service):
        yield (
            f'<tr class="service"><th colspan="{len(shown) + 2}" scope="rowgroup">'
            f"{code(service)}</th></tr>"
        )
        for row in rows:
            yield _row(table, row, shown)
    yield "</tbody></table>"


def _head(callers: Sequence[Caller]) -> Iterator[str]:
    yield '<thead><tr><th class="method" scope="col">method</th>'
    yield '<th scope="col">open to</th>'
    for caller, first in zip(callers, _firsts(callers), strict=True):
        yield (
            f'<th class="who{first}" scope="col" title="{text(caller.means)}">'
            f'<span class="code">{text(caller.name)}</span></th>'
        )
    yield "</tr></thead>"


def _firsts(callers: Sequence[Caller]) -> Iterator[str]:
    """Yield a CSS class for the first built-in name and first identity, else nothing.

    These columns have a line before them.
    """
    before = None
    for caller in callers:
        yield "" if caller.is_built_in is before else " first"
        before = caller.is_built_in


def _row(table: Table, row: Row, shown: Sequence[int]) -> str:
    chip = f'<span class="chip {tone(row.exposure)}">{_SHORT[row.exposure]}</span>'
    callers = [table.callers[index] for index in shown]
    cells = "".join(
        _cell(table, row.cells[index], caller, row, first)
        for index, caller, first in zip(shown, callers, _firsts(callers), strict=True)
    )
    return (
        f'<tr><th class="method" scope="row">{code(row.name)}</th>'
        f'<td class="open" title="{text(EXPOSURES[row.exposure][1])}">{chip}</td>'
        f"{cells}</tr>"
    )


def _cell(table: Table, cell: Cell, caller: Caller, row: Row, first: str) -> str:
    kind, sign = _sign(table, cell)
    title = text(f"{caller.name}, {row.name}: {_story(table, cell)}")
    if cell.rule is not None:
        sign = f'<a href="#{rule_anchor(table, cell.rule)}">{sign}</a>'
    return f'<td class="cell {kind}{first}" title="{title}">{sign}</td>'


def _sign(table: Table, cell: Cell) -> tuple[str, str]:
    """Return the CSS class of a cell and its text: effect, rule number, remarks."""
    number = "" if cell.rule is None else f" {table.rules[cell.rule.name].number}"
    remarks = ("*" if cell.conditions else "") + ("≠" if cell.shadows else "")
    if cell.effect is Effect.ALLOW:
        return "allow", f"✓{number}{remarks}"
    if cell.rule is not None:
        return "deny", f"✕{number}{remarks}"
    return "none", f"·{remarks}"


def _story(table: Table, cell: Cell) -> str:
    if not table.has_rules:
        return "allow, there are no rules"
    parts = [_by(table, cell.effect, cell)]
    parts += [
        f"{_by(table, change.effect, change)} with {describe_metadata(change.metadata)}"
        for change in cell.conditions
    ]
    parts += [
        f"{_by(table, change.effect, change)} if it were enforced"
        for change in cell.shadows
    ]
    return "; ".join(parts)


def _by(table: Table, effect: Effect | None, by: Cell | Change) -> str:
    word = "" if effect is None else effect.value
    where = table.default_place
    if by.rule is not None:
        where = table.rules[by.rule.name].place
    return f"{word}, {describe_rule(by.rule)} ({line_of(where)})"
