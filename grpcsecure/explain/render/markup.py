"""HTML from text that nobody has to trust.

Everything that comes from a config passes through `text` here; nothing else in the
page is not ours.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from grpcsecure.diagnostics.render.text import visible
from grpcsecure.explain.phrases import describe_metadata, line_of
from grpcsecure.model.authorization import Effect

if TYPE_CHECKING:
    from collections.abc import Iterable

    from grpcsecure.diagnostics.model import Span
    from grpcsecure.explain.summary import Opening
    from grpcsecure.explain.table import Table
    from grpcsecure.model.authorization import Rule

__all__ = ["codes", "link_to_rule", "opening", "place", "rule_anchor", "text"]


def text(value: object) -> str:
    """Return any text as HTML, fit for an attribute in double quotes as well.

    Control characters and marks that reorder a line are shown as escapes.
    """
    shown = visible(str(value)).encode("utf-8", "backslashreplace").decode()
    return escape(shown, quote=True)


def code(value: object) -> str:
    """Return a name or value as the config spells it."""
    return f"<code>{text(value)}</code>"


def codes(values: Iterable[object], *, between: str = ", ") -> str:
    """Return several of them."""
    return between.join(map(code, values))


def place(span: Span) -> str:
    """Return `file:line`."""
    return f'<span class="code quiet">{text(line_of(span))}</span>'


def rule_anchor(table: Table, rule: Rule) -> str:
    """Return the id of a rule's line on the page: a number, no text of the config."""
    return f"rule-{table.rules[rule.name].number}"


def link_to_rule(table: Table, rule: Rule | None) -> str:
    """Return what decides, leading to its line."""
    if rule is None:
        return "the default"
    return f'rule <a href="#{rule_anchor(table, rule)}">{code(rule.name)}</a>'


def opening(table: Table, one: Opening) -> str:
    """Return who gets in by which rule, and with which metadata."""
    who = codes(one.names)
    if one.metadata:
        who += f" with metadata {code(describe_metadata(one.metadata))}"
    if not table.has_rules:
        return who
    return f"{who} by {link_to_rule(table, one.rule)}"


def effect(value: Effect) -> str:
    """Return the word for an effect, in its colour."""
    word = "allow" if value is Effect.ALLOW else "deny"
    return f'<span class="effect-{word}">{word}</span>'
