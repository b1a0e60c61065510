"""Validates a config against the JSON Schema.

jsonschema_rs alone decides whether a config is valid. jsonschema, which is slow to load
but reports the errors, runs for invalid configs only. Invariant: a config that either
of them rejects has a finding.
"""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING, Any

from grpcsecure.config.schema_file import load_schema, schema_text
from grpcsecure.config.tree import Mapping, Sequence, plain
from grpcsecure.config.wording import first_place, is_unknown, node_at
from grpcsecure.diagnostics.catalog import syntax_kinds as kinds

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TypeAlias

    from grpcsecure.config.tree import Node
    from grpcsecure.diagnostics.findings import Finding, Span

    #: Classes of jsonschema and jsonschema_rs, which are loaded when needed.
    Validator: TypeAlias = Any
    Error: TypeAlias = Any

__all__ = ["MAX_FINDINGS", "check_schema", "load_schema", "schema_text"]

#: Most findings of one run: beyond this number, they repeat one mistake.
MAX_FINDINGS = 1000


def check_schema(root: Mapping) -> list[Finding]:
    """Return a finding for each place where `root` does not fit the schema."""
    instance = plain(root)
    if is_valid(instance):
        return []
    # Only a config with mistakes pays for the modules that explain them.
    from grpcsecure.config.indentation import repair_indentation
    from grpcsecure.config.schema_findings import explain_error

    root, findings = repair_indentation(root)
    findings += [
        finding
        for error in find_errors(plain(root))
        if not is_unknown(node_at(root, tuple(error.absolute_path)))
        for finding in explain_error(error, root)
    ]
    if not findings and not _has_unknown(root):
        findings.append(_mismatch(root))
    return _distinct(findings)


def _has_unknown(node: Node) -> bool:
    """Whether a value in a tree is not known."""
    if isinstance(node, Sequence):
        return any(map(_has_unknown, node.items))
    if isinstance(node, Mapping):
        return any(_has_unknown(entry.value) for entry in node.entries.values())
    return node.is_unknown


def is_valid(instance: object) -> bool:
    """Whether `instance` fits the schema; takes microseconds."""
    try:
        return bool(_fast_validator().is_valid(instance))
    except ValueError:
        # jsonschema_rs cannot represent the instance; jsonschema may find the reason.
        return False


def find_errors(instance: object) -> list[Error]:
    """Return jsonschema's errors of `instance` that deserve a finding.

    If a value has the wrong type, its other errors follow from that and are dropped.
    """
    found = _explaining_validator().iter_errors(instance)
    errors = list(itertools.islice(found, MAX_FINDINGS))
    mistyped = {tuple(e.absolute_path) for e in errors if e.validator == "type"}
    return [
        error
        for error in errors
        if error.validator == "type" or tuple(error.absolute_path) not in mistyped
    ]


@functools.cache
def _fast_validator() -> Validator:
    import jsonschema_rs

    return jsonschema_rs.Draft202012Validator(load_schema())


@functools.cache
def _explaining_validator() -> Validator:
    import jsonschema
    from jsonschema.validators import extend

    extended: Validator = extend  # jsonschema's stubs do not type it
    validator = extended(
        jsonschema.Draft202012Validator, validators={"pattern": _check_pattern}
    )
    return validator(load_schema())


def _check_pattern(
    _validator: Validator, pattern: str, instance: object, _schema: object
) -> Iterator[Error]:
    r"""Check JSON Schema's `pattern` with `\Z` for `$`.

    Python's `$` also matches before a line end at the end of the text.
    """
    import re

    import jsonschema

    strict = pattern[:-1] + r"\Z" if pattern.endswith("$") else pattern
    if isinstance(instance, str) and not re.search(strict, instance):
        yield jsonschema.ValidationError("does not match the pattern")


def _distinct(findings: list[Finding]) -> list[Finding]:
    """Drop duplicates: a value shared by aliases is reported once, where it stands."""
    seen: set[tuple[str, Span | None, str]] = set()
    distinct = []
    for finding in findings:
        key = (finding.code, finding.span, finding.label)
        if key not in seen:
            seen.add(key)
            distinct.append(finding)
    return distinct


def _mismatch(root: Mapping) -> Finding:
    return kinds.SCHEMA_MISMATCH(
        "the config does not fit the schema",
        span=first_place(root.span),
        notes=["the place is not known, which is a bug in grpcsecure"],
        help="compare the config with `grpcsecure schema`",
    )
