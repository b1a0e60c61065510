"""HTML fragments from untrusted text.

All text from a config passes through `text`; the rest of the page is fixed text.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from grpcsecure.diagnostics.render.text import visible
from grpcsecure.explain.phrases import describe_metadata, line_of
from grpcsecure.model.authorization import Effect

if TYPE_CHECKING:
    from collections.abc import Iterable

    from grpcsecure.diagnostics.findings import Span
    from grpcsecure.explain.summary import Opening
    from grpcsecure.explain.table import Exposure, Table
    from grpcsecure.model.authorization import Rule

__all__ = ["codes", "link_to_rule", "opening", "place", "rule_anchor", "text", "tone"]


def text(value: object) -> str:
    """Return any text as HTML, safe also in an attribute in double quotes.

    Control characters and marks that change the direction of text are escaped.
    """
    shown = visible(str(value)).encode("utf-8", "backslashreplace").decode()
    return escape(shown, quote=True)


def code(value: object) -> str:
    """Return a name or value of the config as code."""
    return f"<code>{text(value)}</code>"


def codes(values: Iterable[object], *, between: str = ", ") -> str:
    """Return several names or values as code."""
    return between.join(map(code, values))


def place(span: Span) -> str:
    """Return `file:line`."""
    return f'<span class="code quiet">{text(line_of(span))}</span>'


def rule_anchor(table: Table, rule: Rule) -> str:
    """Return the id of a rule's line on the page; it has no text of the config."""
    return f"rule-{table.rules[rule.name].number}"


def link_to_rule(table: Table, rule: Rule | None) -> str:
    """Return a link to the line of the rule that decides, or `the default`."""
    if rule is None:
        return "the default"
    return f'rule <a href="#{rule_anchor(table, rule)}">{code(rule.name)}</a>'


def opening(table: Table, one: Opening) -> str:
    """Return the names that a rule allows, the rule, and its metadata."""
    who = codes(one.names)
    if one.metadata:
        who += f" with metadata {code(describe_metadata(one.metadata))}"
    if not table.has_rules:
        return who
    return f"{who} by {link_to_rule(table, one.rule)}"


def tone(exposure: Exposure) -> str:
    """Return the CSS class that has the colour of an exposure."""
    return exposure.name.lower().replace("_", "-")


def effect(value: Effect) -> str:
    """Return `allow` or `deny` in its colour."""
    word = "allow" if value is Effect.ALLOW else "deny"
    return f'<span class="effect-{word}">{word}</span>'
