"""Explanations as one JSON document, described by `schemas/explain.schema.json`.

Sorted and stable: the same config and question give the same bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.diagnostics.render.json import dump
from grpcsecure.explain.query_subject import describe_names
from grpcsecure.explain.summary import unreachable_methods

if TYPE_CHECKING:
    from collections.abc import Iterable

    from grpcsecure.diagnostics.findings import Kind, Span
    from grpcsecure.explain.calls import CallVerdict, Explanation, StepFacts
    from grpcsecure.explain.listener_facts import Caller, ListenerFacts
    from grpcsecure.explain.query_subject import CallerFacts
    from grpcsecure.explain.table import Cell, Change, Row, RuleFacts, Section, Table
    from grpcsecure.model.authorization import Effect, MetadataCondition, Rule
    from grpcsecure.model.peer import Certificate

__all__ = ["render_call_json", "render_finding_json", "render_table_json"]

#: Increased if the format changes incompatibly; new keys do not count.
SCHEMA_VERSION = 1


def render_call_json(explanation: Explanation) -> str:
    """Return the explanation of one call."""
    return _document(
        "call",
        subject=explanation.subject,
        profile=explanation.profile,
        method=explanation.method,
        allowed=explanation.is_allowed,
        methods_known=explanation.knows_methods,
        did_you_mean=explanation.similar,
        metadata_removed=list(explanation.removed_keys),
        verdicts=[_verdict(one) for one in explanation.verdicts],
    )


def render_table_json(table: Table) -> str:
    """Return the table."""
    return _document(
        "table",
        subject=table.subject,
        profile=table.profile,
        production=table.production,
        has_rules=table.has_rules,
        methods_known=table.knows_methods,
        default={"effect": table.default.value, "place": _place(table.default_place)},
        callers=[_caller_column(caller) for caller in table.callers],
        rules=[_rule_facts(facts) for facts in table.rules.values()],
        listeners=sorted(
            (
                {**_listener(facts), "methods": _rows(table, section)}
                for section in table.sections
                for facts in section.listeners
            ),
            key=lambda listener: str(listener["name"]),
        ),
        unreachable=list(unreachable_methods(table)),
    )


def render_finding_json(kind: Kind) -> str:
    """Return the catalogue's entry of a finding."""
    return _document(
        "finding",
        code=kind.code,
        name=kind.name,
        severity=kind.severity.value,
        error_in_production=kind.production,
        what=kind.what,
        why=kind.why,
        bad=kind.bad,
        good=kind.good,
    )


def _document(kind: str, **parts: object) -> str:
    return dump({"schema_version": SCHEMA_VERSION, "kind": kind, **parts})


def _place(span: Span) -> dict[str, object]:
    return {"file": span.file, "line": span.line, "column": span.column}


def _verdict(one: CallVerdict) -> dict[str, object]:
    return {
        "listener": _listener(one.listener),
        "tls_versions": list(one.tls_versions),
        "effect": one.effect.value,
        "basis": one.basis.value,
        "rule": _name(one.rule),
        "place": _place(one.place),
        "status": one.status,
        "method_exists": one.exists,
        "caller": _caller(one.caller),
        "trace": [_step(step) for step in one.steps],
        "rules_not_asked": one.left,
        "shadow": None if one.shadow is None else _change(one.shadow),
    }


def _name(rule: Rule | None) -> str | None:
    return None if rule is None else rule.name


def _listener(facts: ListenerFacts) -> dict[str, object]:
    return {
        "name": facts.name,
        "address": facts.address,
        "mode": facts.mode,
        "engine": facts.engine,
        "client_ca": facts.client_ca,
        "certificates": list(facts.certificates),
        "trust_domains": facts.trust_domains,
        "place": _place(facts.place),
        "lets_in": facts.lets_in,
        "names": facts.names,
        "clients": dict(facts.clients),
    }


def _caller(facts: CallerFacts) -> dict[str, object]:
    certificate = facts.certificate
    return {
        "state": facts.state,
        "words": facts.words,
        "certificate": None if certificate is None else _certificate(certificate),
        "identities": list(facts.identities),
        "claimed": list(facts.claimed),
    }


def _certificate(certificate: Certificate) -> dict[str, object]:
    is_real = bool(certificate.der)  # a synthetic one has no dates and no digest
    return {
        "subject": certificate.subject,
        "names": [
            {"kind": key, "value": value} for key, value in describe_names(certificate)
        ],
        "fingerprint": certificate.fingerprint or None,
        "not_before": certificate.not_before.isoformat() if is_real else None,
        "not_after": certificate.not_after.isoformat() if is_real else None,
    }


def _step(step: StepFacts) -> dict[str, object]:
    return {
        "number": step.number,
        "rule": step.rule.name,
        "effect": step.rule.effect.value,
        "enforced": step.rule.enforce,
        "place": _place(step.place),
        "matches": step.is_match,
        "decides": step.is_decisive,
        "words": step.words,
    }


def _change(change: Change) -> dict[str, object]:
    return {
        "effect": change.effect.value,
        "rule": _name(change.rule),
        "metadata": _metadata(change.metadata),
    }


def _metadata(metadata: Iterable[MetadataCondition]) -> dict[str, list[str]]:
    return {one.key: list(one.shown) for one in metadata}


def _caller_column(caller: Caller) -> dict[str, object]:
    return {
        "name": caller.name,
        "built_in": caller.is_built_in,
        "means": caller.means,
        "matchers": [dict(matcher) for matcher in caller.matchers],
        "place": None if caller.place is None else _place(caller.place),
    }


def _rule_facts(facts: RuleFacts) -> dict[str, object]:
    rule = facts.rule
    return {
        "number": facts.number,
        "name": rule.name,
        "effect": rule.effect.value,
        "identities": list(rule.identities),
        "methods": list(rule.methods),
        "listeners": None if rule.listeners is None else list(rule.listeners),
        "metadata": _metadata(rule.metadata),
        "enforced": rule.enforce,
        "decides": facts.decides,
        "changes": facts.changes,
        "place": _place(facts.place),
    }


def _rows(table: Table, section: Section) -> list[dict[str, object]]:
    return [_row(table, row) for row in section.rows]


def _row(table: Table, row: Row) -> dict[str, object]:
    return {
        "method": row.method,
        "open_to": row.exposure.value,
        "callers": {
            caller.name: _cell(cell.effect, cell)
            for caller, cell in zip(table.callers, row.cells, strict=True)
            if cell.effect is not None
        },
    }


def _cell(effect: Effect, cell: Cell) -> dict[str, object]:
    return {
        "effect": effect.value,
        "rule": _name(cell.rule),
        "names": list(cell.names),
        "only_claimed": cell.is_only_claimed,
        "with_metadata": [_change(change) for change in cell.conditions],
        "if_enforced": [_change(change) for change in cell.shadows],
    }
