"""The page for a security review: one HTML file without scripts or external resources.

The same config gives the same bytes: the page has no date and no machine name.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from grpcsecure.explain.phrases import EXPOSURES, count, describe_metadata
from grpcsecure.explain.render.html_matrix import render_matrix
from grpcsecure.explain.render.markup import (
    code,
    codes,
    effect,
    link_to_rule,
    opening,
    place,
    rule_anchor,
    text,
    tone,
)
from grpcsecure.explain.render.style import STYLE
from grpcsecure.explain.summary import (
    count_exposures,
    groups_of,
    idle_rules,
    reaches_of,
    shadow_effects,
    unreachable_methods,
)
from grpcsecure.explain.table import Exposure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grpcsecure.explain.listener_facts import Caller, ListenerFacts
    from grpcsecure.explain.summary import Group, Reach, ShadowEffect
    from grpcsecure.explain.table import RuleFacts, Section, Table

__all__ = ["render_html"]

_PARTS = {
    "first": "Look at this first",
    "listeners": "Listeners",
    "methods": "Methods and callers",
    "callers": "Allowed calls by caller",
    "rules": "Rules",
    "reading": "How to read this",
}


def render_html(table: Table) -> str:
    """Return the page."""
    return "\n".join(_page(table)) + "\n"


def _page(table: Table) -> Iterator[str]:
    subject = text(table.subject)
    yield "<!DOCTYPE html>"
    yield '<html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    # Defence in depth: even markup that slips into the page can load and run nothing.
    yield (
        '<meta http-equiv="Content-Security-Policy"'
        " content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    )
    yield f"<title>Who may call what: {subject}</title>"
    yield f"<style>\n{STYLE}</style></head><body>"
    yield from _top(table)
    yield from _cards(table)
    yield from _first(table)
    yield _heading("listeners")
    yield from _listeners(table)
    yield _heading("methods")
    for section in table.sections:
        yield from _section(table, section)
    yield _heading("callers")
    yield from _callers(table)
    yield _heading("rules")
    yield from _rules(table)
    yield _heading("reading")
    yield from _reading()
    yield "</body></html>"


def _heading(part: str) -> str:
    return f'<h2 id="{part}">{_PARTS[part]}</h2>'


def _top(table: Table) -> Iterator[str]:
    yield '<header><p class="eyebrow">grpcsecure: who may call what</p>'
    yield f"<h1>{text(table.subject)}</h1>"
    facts = []
    if table.profile is not None:
        facts.append(f"profile {code(table.profile)}")
    if table.has_rules:
        facts.append(f"default {effect(table.default)} {place(table.default_place)}")
    else:
        facts.append("no <code>authorization</code>: every call is allowed")
    facts.append(f"<code>production: {str(table.production).lower()}</code>")
    identities = sum(not caller.is_built_in for caller in table.callers)
    facts += [
        count(len({row.method for s in table.sections for row in s.rows}), "method"),
        count(sum(len(section.listeners) for section in table.sections), "listener"),
        count(identities, "identity", "identities"),
        count(len(table.rules), "rule"),
    ]
    yield f'<p class="facts">{" · ".join(facts)}</p>'
    if not table.knows_methods:
        yield (
            "<p><b>The served methods are not known.</b> Listed are the methods that"
            " rules name in full; there may be others.</p>"
        )
    links = " ".join(f'<a href="#{key}">{title}</a>' for key, title in _PARTS.items())
    yield f"<nav>{links}</nav></header>"


def _cards(table: Table) -> Iterator[str]:
    yield '<div class="cards">'
    for exposure, number in count_exposures(table).items():
        title, means = EXPOSURES[exposure]
        zero = "" if number else " zero"
        word = "method" if number == 1 else "methods"
        yield (
            f'<div class="card {tone(exposure)}{zero}"><b>{number}</b>'
            f'{word} open {title} <div class="quiet">{means}</div></div>'
        )
    yield "</div>"


def _first(table: Table) -> Iterator[str]:
    yield _heading("first")
    has_items = False
    for exposure in (Exposure.ANONYMOUS, Exposure.UNVERIFIED, Exposure.VERIFIED):
        groups = groups_of(table, [exposure])
        if groups:
            has_items = True
            title = EXPOSURES[exposure][0]
            yield from _look(
                f"Open {title}", tone(exposure), [_group(table, one) for one in groups]
            )
    unreachable = [*_unreachable(table)]
    if unreachable:
        has_items = True
        yield from _look("Open to no caller", tone(Exposure.NO_CALLER), unreachable)
    shadows = [_shadow(table, one) for one in shadow_effects(table)]
    if shadows:
        has_items = True
        yield from _look("Effect of rules with enforce: false", "", shadows)
    idle = [_idle(table, facts) for facts in idle_rules(table)]
    if idle:
        has_items = True
        yield from _look("Rules without effect here", "", idle)
    if not has_items:
        yield "<p>Every method is open only to callers with an identity.</p>"


def _unreachable(table: Table) -> Iterator[str]:
    """Yield the methods that no caller may call on any listener, by service."""
    methods = (method.rpartition("/") for method in unreachable_methods(table))
    for service, found in groupby(methods, key=lambda parts: parts[0]):
        names = codes(name for _, _, name in found)
        yield f"{code(service.removeprefix('/'))} {names}"


def _look(title: str, css_class: str, items: list[str]) -> Iterator[str]:
    yield f'<div class="look {css_class}"><h3>{title}</h3><ul>'
    yield from (f"<li>{item}</li>" for item in items)
    yield "</ul></div>"


def _methods(group: Group | Reach | ShadowEffect, *, is_whole: bool) -> str:
    if is_whole and len(group.methods) > 1:
        return f"{code(group.service)}, all {len(group.methods)} methods"
    return f"{code(group.service)} {codes(group.methods)}"


def _on(listeners: tuple[str, ...]) -> str:
    return f'<span class="quiet">on</span> {codes(listeners)}'


def _group(table: Table, group: Group) -> str:
    parts = [opening(table, one) for one in group.openings]
    parts += [f"not {opening(table, one)}" for one in group.exceptions]
    how = f": {'; '.join(parts)}" if parts else ""
    methods = _methods(group, is_whole=group.is_whole_service)
    return f"{methods} {_on(group.listeners)}{how}"


def _shadow(table: Table, one: ShadowEffect) -> str:
    change = one.change
    metadata = (
        f" with metadata {code(describe_metadata(change.metadata))}"
        if change.metadata
        else ""
    )
    return (
        f"{link_to_rule(table, change.rule)} would {effect(change.effect)}"
        f" {_methods(one, is_whole=False)} {_on(one.listeners)}"
        f" for {codes(one.names)}{metadata}"
    )


def _idle(table: Table, facts: RuleFacts) -> str:
    return f"{link_to_rule(table, facts.rule)} {place(facts.place)}"


def _listeners(table: Table) -> Iterator[str]:
    listeners = [facts for section in table.sections for facts in section.listeners]
    kinds = "".join(f"<th>{text(kind)}</th>" for kind, _ in listeners[0].clients)
    yield (
        '<table class="wide"><thead><tr><th rowspan="2">listener</th>'
        '<th rowspan="2">mode</th><th rowspan="2">accepts</th>'
        '<th rowspan="2">names in certificates</th>'
        '<th colspan="4" class="over">a client whose certificate is</th></tr>'
        f"<tr>{kinds}</tr></thead><tbody>"
    )
    for facts in sorted(listeners, key=lambda one: (one.place.line, one.name)):
        yield _listener(facts)
    yield "</tbody></table>"


def _listener(facts: ListenerFacts) -> str:
    engine = f"<br>engine {facts.engine}" if facts.engine else ""
    clients = "".join(
        f'<td class="client {text(state)}">{text(state)}</td>'
        for _, state in facts.clients
    )
    return (
        f"<tr><td>{code(facts.name)}<br>{code(facts.address)}<br>{place(facts.place)}"
        f'</td><td>{code(facts.mode)}<span class="quiet">{engine}</span></td>'
        f"<td>{text(facts.lets_in)}</td><td>{text(facts.names)}</td>{clients}</tr>"
    )


def _section(table: Table, section: Section) -> Iterator[str]:
    names = codes(facts.name for facts in section.listeners)
    modes = codes(dict.fromkeys(facts.mode for facts in section.listeners))
    yield f'<h3>{names} <span class="quiet">{modes}</span></h3>'
    yield from render_matrix(table, section)


def _callers(table: Table) -> Iterator[str]:
    yield (
        '<table class="wide"><thead><tr><th>caller</th><th>is</th><th>may call</th>'
        "</tr></thead><tbody>"
    )
    for caller in table.callers:
        yield _caller(table, caller)
    yield "</tbody></table>"


def _caller(table: Table, caller: Caller) -> str:
    who = text(caller.means)
    if not caller.is_built_in:
        who = "<br>or ".join(
            " and ".join(
                f'{text(key)} <code class="value">{text(value)}</code>'
                for key, value in matcher
            )
            for matcher in caller.matchers
        )
    where = f"<br>{place(caller.place)}" if caller.place is not None else ""
    reaches = [
        f"{_methods(one, is_whole=one.is_whole_service)} {_on(one.listeners)}"
        for one in reaches_of(table, caller.name)
    ]
    may = "<br>".join(reaches) or '<span class="quiet">nothing</span>'
    return f"<tr><td>{code(caller.name)}{where}</td><td>{who}</td><td>{may}</td></tr>"


def _rules(table: Table) -> Iterator[str]:
    if not table.has_rules:
        yield "<p>There are none: every call is allowed.</p>"
        return
    yield (
        "<p>In order of evaluation: deny rules first; the first rule that matches"
        f" decides. If none matches, the default applies: {effect(table.default)}.</p>"
    )
    yield (
        '<table class="wide"><thead><tr><th class="number">no.</th><th>rule</th>'
        "<th>effect</th><th>callers</th><th>methods</th><th>only</th>"
        '<th class="number">decides</th><th>place</th></tr></thead><tbody>'
    )
    for facts in table.rules.values():
        yield _rule(table, facts)
    yield "</tbody></table>"


def _rule(table: Table, facts: RuleFacts) -> str:
    rule = facts.rule
    only = []
    if rule.listeners is not None:
        only.append(f"on {codes(rule.listeners)}")
    if rule.metadata:
        only.append(f"with {code(describe_metadata(rule.metadata))}")
    what = effect(rule.effect)
    if not rule.enforce:
        what += "<br>not enforced"
    off = "" if rule.enforce else ' class="off"'
    return (
        f'<tr id="{rule_anchor(table, rule)}"{off}>'
        f'<td class="number">{facts.number}</td>'
        f"<td>{code(rule.name)}</td><td>{what}</td><td>{codes(rule.identities)}</td>"
        f"<td>{codes(rule.methods, between='<br>')}</td><td>{'<br>'.join(only)}</td>"
        f'<td class="number">{_decides(facts)}</td>'
        f'<td class="place">{place(facts.place)}</td></tr>'
    )


def _decides(facts: RuleFacts) -> str:
    changes = f"<br>({facts.changes})" if facts.changes else ""
    return f"{facts.decides}{changes}"


_LEGEND = (
    ("allow", "✓ 3", "allowed, by rule 3"),
    ("deny", "✕ 1", "denied, by rule 1"),
    ("none", "·", "no rule matches, and the default denies"),
    ("allow", "✓", "no rule matches, and the default allows"),
    (
        "none",
        "·*",
        "different with certain metadata: point at the cell, or see the rule",
    ),
    (
        "allow",
        "✓ 3≠",
        "different if a rule with <code>enforce: false</code> were enforced",
    ),
)


def _reading() -> Iterator[str]:
    yield '<dl class="legend">'
    for kind, sign, means in _LEGEND:
        yield f'<dt><span class="key {kind}">{sign}&nbsp;</span></dt><dd>{means}</dd>'
    yield "</dl>"
    yield (
        "<p>A column is a caller with that name and the names that it implies: on a"
        " listener that verifies, every caller with a certificate is also"
        " <code>verified</code>. A caller with several names may do what any of them"
        " may, unless one of them is denied.</p>"
        "<p>Names in a certificate count only if its chain is verified; registered"
        " certificates and keys count wherever they are presented. Deny rules also"
        " count for names that a certificate only claims.</p>"
        "<p>A client is <b>verified</b> if its certificate was verified,"
        " <b>claimed</b> if it presented one that was not verified or failed,"
        " <b>anonymous</b> without one.</p>"
        "<p>“Decides” counts the cells of this page that a rule decides; in brackets,"
        " those that it would decide with its metadata or if it were enforced.</p>"
    )
