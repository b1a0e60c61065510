"""Turns each error of the JSON Schema validation into a finding, by schema keyword.

Knows the schema's annotations `x-reserved` and `x-rule`, and the findings about keys;
`value_findings` has those about values. Invariant: one mistake gives one finding.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from grpcsecure.config import value_findings as values
from grpcsecure.config.schema_file import dereference, load_schema
from grpcsecure.config.tree import find
from grpcsecure.config.type_advice import choices
from grpcsecure.config.unknown_keys import (
    explain_unknown_keys,
    is_any_misspelled,
    is_misspelled,
)
from grpcsecure.config.wording import at, dotted, key_place
from grpcsecure.diagnostics.catalog import name_choice_kinds
from grpcsecure.diagnostics.catalog import syntax_kinds as kinds
from grpcsecure.diagnostics.findings import Label
from grpcsecure.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    from grpcsecure.config.tree import Mapping, Path
    from grpcsecure.config.value_findings import SchemaError
    from grpcsecure.diagnostics.findings import Finding

    Explain: TypeAlias = Callable[["SchemaError", Mapping, Path], Iterator[Finding]]

__all__ = ["explain_error"]


#: Longer examples are left to the docs.
_MAX_EXAMPLE = 60


def explain_error(error: SchemaError, root: Mapping) -> Iterator[Finding]:
    """Yield the findings for `error` in the config `root`: one for each mistake."""
    path = tuple(error.absolute_path)
    explain = _EXPLAIN.get(error.validator, _explain_other)
    if isinstance(error.schema, dict) and "x-rule" in error.schema:
        explain = _RULES[error.schema["x-rule"]]
    elif isinstance(error.instance, str) and _is_name(error, root, path):
        explain = _explain_name
    yield from explain(error, root, path)


def _is_name(error: SchemaError, root: Mapping, path: Path) -> bool:
    """Whether an error is about the name of a key: its path is that of a mapping."""
    return values.is_mapping(root, path) and error.validator in (
        "pattern",
        "maxLength",
        "not",
    )


def _explain_missing_keys(
    error: SchemaError, root: Mapping, path: Path
) -> Iterator[Finding]:
    # jsonschema reports an error for each missing key, and names the key in its text
    # only. So each error reports all missing keys; duplicates are dropped later.
    yield from _missing_keys(error, root, path, error.schema)


def _missing_keys(
    error: SchemaError, root: Mapping, path: Path, part: dict[str, Any]
) -> Iterator[Finding]:
    """Report the missing keys of a mapping; `part` is its whole schema."""
    properties = part.get("properties", {})
    for key in error.validator_value:
        if key in error.instance or is_misspelled(key, error.instance, part):
            continue
        yield kinds.MISSING_KEY(
            f"missing key `{key}` {at(path)}",
            span=key_place(root, path),
            label=f"`{key}` is missing",
            notes=_notes_on_lists(root, path),
            help=_advise_adding(key, properties),
        )


def _notes_on_lists(root: Mapping, path: Path) -> list[str]:
    """Return a note on a list that a profile has: it replaces that of the file."""
    profiles = root.entries.get("profiles")
    place = find(root, path)[1]
    if profiles is None or not any(isinstance(step, int) for step in path):
        return []
    span = profiles.value.span
    is_inside = span.file == place.file and span.line <= place.line <= span.end_line
    return ["a list in a profile replaces the whole list of the file"] * is_inside


def _advise_adding(key: str, properties: dict[str, Any]) -> str:
    part = dereference(properties.get(key, {}))
    valid = choices(part)
    if valid:
        return f"add `{key}` with one of {', '.join(valid)}"
    example = next(iter(part.get("examples", ())), None)
    if isinstance(example, str | int):
        return f"add `{key}`, such as `{key}: {example}`"
    text = json.dumps(example)
    if example is not None and len(text) <= _MAX_EXAMPLE:
        return f"add `{key}`, such as `{key}: {text}`"
    return f"add `{key}`"


def _explain_name(error: SchemaError, root: Mapping, path: Path) -> Iterator[Finding]:
    span, _ = find(root, (*path, error.instance))
    is_taken = error.validator == "not"
    expected = "another name" if is_taken else error.schema.get("x-expected")
    state = "taken" if is_taken else "not allowed"
    yield kinds.INVALID_NAME(
        f"the name {quote(error.instance)} {at(path)} is {state}",
        span=span,
        label="this name is built in" if is_taken else "",
        help=f"use {expected}",
    )


def _explain_not(error: SchemaError, root: Mapping, path: Path) -> Iterator[Finding]:
    if not isinstance(error.schema, dict) or "x-reserved" not in error.schema:
        yield from _explain_other(error, root, path)
        return
    yield kinds.RESERVED_OPTION(
        f"the channel option {quote(path[-1])} cannot be set",
        span=key_place(root, path),
        label=error.schema["x-reserved"],
        help="remove the option",
    )


def _part(name: str) -> dict[str, Any]:
    part: dict[str, Any] = load_schema()["$defs"][name]
    return part


def _explain_transport(
    error: SchemaError, root: Mapping, path: Path
) -> Iterator[Finding]:
    name = quote(path[-1])
    if error.validator == "not":
        yield kinds.TRANSPORT_CONFLICT(
            f"the listener {name} has both `tls` and `plaintext: true`",
            span=key_place(root, (*path, "plaintext")),
            label="plaintext is set here",
            secondary=[Label(span=key_place(root, (*path, "tls")), text="TLS here")],
            help="remove one of the two",
        )
    elif not (
        is_any_misspelled(("tls", "plaintext"), error.instance, _part("listener"))
        or not isinstance(error.instance.get("plaintext", False), bool)
    ):
        yield kinds.TRANSPORT_CONFLICT(
            f"the listener {name} has neither `tls` nor `plaintext: true`",
            span=key_place(root, path),
            label="TLS or plaintext?",
            help="add `tls` with a certificate, or write `plaintext: true`",
        )


def _explain_effect(error: SchemaError, root: Mapping, path: Path) -> Iterator[Finding]:
    name = quote(path[-1])
    if error.validator == "not":
        yield kinds.EFFECT_CONFLICT(
            f"the rule {name} has both `allow` and `deny`",
            span=key_place(root, (*path, "deny")),
            label="excludes `allow`",
            secondary=[
                Label(span=key_place(root, (*path, "allow")), text="`allow` is here")
            ],
            help="keep one of the two; write a rule of its own for the other",
        )
    elif not is_any_misspelled(("allow", "deny"), error.instance, _part("rule")):
        yield kinds.MISSING_KEY(
            f"the rule {name} has neither `allow` nor `deny`",
            span=key_place(root, path),
            label="one of the two is needed",
            help="add `allow` or `deny`",
        )


def _explain_certificates(
    error: SchemaError, root: Mapping, path: Path
) -> Iterator[Finding]:
    part = _part("tls")
    if error.validator == "required":
        if is_misspelled("certificates", error.instance, part):
            return
        yield from _missing_keys(error, root, path, part)
        return
    name = quote(path[1])
    both = [key for key in ("certificate", "private_key") if key in error.instance]
    yield name_choice_kinds.CERTIFICATE_CONFLICT(
        f"the listener {name} has `certificates` beside {_listed(both)}",
        span=key_place(root, (*path, "certificates")),
        label="excludes a single certificate",
        secondary=[
            Label(span=key_place(root, (*path, key)), text=f"`{key}` is here")
            for key in both
        ],
        help=f"move {_listed(both)} into `certificates`; its first pair is the default",
    )


def _listed(keys: list[str]) -> str:
    return " and ".join(f"`{key}`" for key in keys)


def _explain_other(error: SchemaError, root: Mapping, path: Path) -> Iterator[Finding]:
    yield kinds.SCHEMA_MISMATCH(
        f"{quote(dotted(path)) if path else 'the config'} does not fit the schema",
        span=key_place(root, path),
        label=f"fails the keyword `{error.validator}` of the schema",
        help="compare it with `grpcsecure schema`",
    )


#: Explanations for the annotation `x-rule` of the schema: two keys exclude each other.
_RULES: dict[str, Explain] = {
    "transport": _explain_transport,
    "effect": _explain_effect,
    "certificates": _explain_certificates,
}

#: The keyword of JSON Schema that failed, and the function that explains the error.
_EXPLAIN: dict[str, Explain] = {
    "additionalProperties": explain_unknown_keys,
    "required": _explain_missing_keys,
    "not": _explain_not,
    "type": values.explain_type,
    "enum": values.explain_choice,
    "const": values.explain_choice,
    "pattern": values.explain_pattern,
    "maxLength": values.explain_pattern,
    "minItems": values.explain_empty,
    "minProperties": values.explain_empty,
    "minimum": values.explain_range,
    "maximum": values.explain_range,
    "uniqueItems": values.explain_repetition,
}
