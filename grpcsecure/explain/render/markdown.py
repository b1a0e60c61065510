"""The table as Markdown, for pull requests and wikis (GitHub Flavored Markdown).

Invariant: no text from a config can become markup: it is put in a code span, or its
special characters are escaped.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from grpcsecure.diagnostics.render.text import visible
from grpcsecure.explain.phrases import (
    EXPOSURES,
    describe_metadata,
    line_of,
)
from grpcsecure.explain.summary import (
    count_exposures,
    idle_rules,
    shadow_effects,
    unreachable_methods,
)
from grpcsecure.model.authorization import Effect

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from grpcsecure.explain.listener_facts import Caller
    from grpcsecure.explain.table import Cell, Exposure, RuleFacts, Section, Table

__all__ = ["render_table_markdown"]

#: ASCII punctuation may be escaped (CommonMark 0.31, 2.4); these characters start
#: markup, or text that GitHub turns into links.
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!~&@:])")


_PUNCTUATION = re.compile(r"[!-/:-@\[-`{-~]")


def render_table_markdown(table: Table) -> str:
    """Return the table as Markdown."""
    return "\n".join(_lines(table)) + "\n"


def _plain(value: object) -> str:
    """Return any text as plain text, with special characters escaped."""
    return _SPECIAL.sub(r"\\\1", _one_line(value)).replace("|", "&#124;")


def _code(value: object) -> str:
    """Return any text as a code span.

    A span ends at a run of as many backticks as began it (CommonMark 0.31, 6.1). In a
    table, a `|` ends the cell even inside a code span (GFM, 4.10), and if it follows a
    backslash it cannot even be escaped. As an entity it is always text (CommonMark
    0.31, 2.5).
    """
    shown = _one_line(value)
    if "|" in shown:
        entities = _PUNCTUATION.sub(lambda found: f"&#{ord(found[0])};", shown)
        return f"<code>{entities}</code>"
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if shown.startswith("`") or shown.endswith("`") or not shown else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def _one_line(value: object) -> str:
    return visible(str(value)).encode("utf-8", "backslashreplace").decode()


def _codes(values: Iterable[object]) -> str:
    return ", ".join(map(_code, values))


def _lines(table: Table) -> Iterator[str]:
    yield f"# Who may call what: {_plain(table.subject)}"
    yield ""
    profile = "" if table.profile is None else f"Profile {_code(table.profile)}. "
    if table.has_rules:
        yield (
            f"{profile}Default **{table.default.value}**"
            f" ({_code(line_of(table.default_place))})."
        )
    else:
        yield f"{profile}There is no `authorization`: every call is allowed."
    if not table.knows_methods:
        yield "The served methods are not known: there may be more than these."
    yield ""
    yield from _grid(
        ["methods open", "number"],
        ([EXPOSURES[key][0], str(number)] for key, number in _counts(table)),
    )
    for section in table.sections:
        yield from _section(table, section)
    yield from _callers(table.callers)
    yield from _rules(table)
    yield from _remarks(table)
    yield ""
    yield (
        "Cells: **✓ 3** allowed by rule 3, **✕ 1** denied by rule 1, · no rule"
        " matches, \\* different with metadata, ≠ different if a rule with"
        " `enforce: false` were enforced."
    )


def _counts(table: Table) -> Iterable[tuple[Exposure, int]]:
    return count_exposures(table).items()


def _grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"| {' | '.join('---' for _ in head)} |"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _section(table: Table, section: Section) -> Iterator[str]:
    yield ""
    yield f"## {_codes(facts.name for facts in section.listeners)}"
    yield ""
    for facts in section.listeners:
        yield (
            f"- {_code(facts.name)} {_code(facts.address)} {_code(facts.mode)}"
            f" ({_code(line_of(facts.place))}): accepts {_plain(facts.lets_in)};"
            f" names in certificates {_plain(facts.names)}"
        )
    shown = [
        index
        for index in range(len(table.callers))
        if any(row.cells[index].effect is not None for row in section.rows)
    ]
    yield ""
    claimed = [
        table.callers[index].name
        for index in shown
        if any(row.cells[index].is_only_claimed for row in section.rows)
    ]
    if claimed:
        yield f"Here {_codes(claimed)} can only be claimed: only deny rules count them."
        yield ""
    yield from _grid(
        [
            "method",
            "open",
            *(_code(table.callers[index].name) for index in shown),
        ],
        (
            [
                _code(row.method),
                EXPOSURES[row.exposure][0],
                *(_cell(table, row.cells[index]) for index in shown),
            ]
            for row in section.rows
        ),
    )


def _cell(table: Table, cell: Cell) -> str:
    if cell.effect is None:
        return ""
    number = "" if cell.rule is None else f" {table.rules[cell.rule.name].number}"
    remarks = ("\\*" if cell.conditions else "") + ("≠" if cell.shadows else "")
    if cell.effect is Effect.ALLOW:
        return f"**✓{number}**{remarks}"
    return f"**✕{number}**{remarks}" if cell.rule is not None else f"·{remarks}"


def _callers(callers: Iterable[Caller]) -> Iterator[str]:
    yield from ("", "## Callers", "")
    yield from _grid(
        ["caller", "is", "place"],
        (
            [
                _code(caller.name),
                _matchers(caller),
                "" if caller.place is None else _code(line_of(caller.place)),
            ]
            for caller in callers
        ),
    )


def _matchers(caller: Caller) -> str:
    if caller.is_built_in:
        return caller.means
    return " or ".join(
        " and ".join(f"{_plain(key)} {_code(value)}" for key, value in matcher)
        for matcher in caller.matchers
    )


def _rules(table: Table) -> Iterator[str]:
    if not table.rules:
        return
    yield from ("", "## Rules, in order of evaluation", "")
    yield from _grid(
        ["no.", "rule", "effect", "callers", "methods", "only", "decides", "place"],
        map(_rule, table.rules.values()),
    )


def _rule(facts: RuleFacts) -> list[str]:
    rule = facts.rule
    only = [] if rule.listeners is None else [f"on {_codes(rule.listeners)}"]
    if rule.metadata:
        only.append(f"with {_code(describe_metadata(rule.metadata))}")
    return [
        str(facts.number),
        _code(rule.name),
        rule.effect.value + ("" if rule.enforce else ", not enforced"),
        _codes(rule.identities),
        _codes(rule.methods),
        ", ".join(only),
        str(facts.decides),
        _code(line_of(facts.place)),
    ]


def _remarks(table: Table) -> Iterator[str]:
    unreachable = unreachable_methods(table)
    if unreachable:
        yield from ("", "## Methods that no caller may call", "")
        yield from (f"- {_code(method)}" for method in unreachable)
    effects = shadow_effects(table)
    if effects:
        yield from ("", "## Effect of rules with `enforce: false`", "")
    for one in effects:
        change = one.change
        name = "the default" if change.rule is None else _code(change.rule.name)
        with_ = (
            f" with {_code(describe_metadata(change.metadata))}"
            if change.metadata
            else ""
        )
        yield (
            f"- {name} would **{change.effect.value}** {_code(one.service)}"
            f" {_codes(one.methods)} on {_codes(one.listeners)}"
            f" for {_codes(one.names)}{with_}"
        )
    idle = idle_rules(table)
    if idle:
        yield from ("", "## Rules without effect here", "")
        for facts in idle:
            yield f"- {_code(facts.rule.name)} ({_code(line_of(facts.place))})"
