"""What the JSON Schema says of a config.

A good config is recognised by jsonschema_rs alone; jsonschema, which is slow to load
and knows why, is asked about bad ones only. Invariant: what either of them refuses
has a finding.
"""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING, Any

from grpcsecure.config.schema_file import load_schema, schema_text
from grpcsecure.config.schema_findings import explain_error
from grpcsecure.config.tree import plain
from grpcsecure.config.wording import first_place
from grpcsecure.diagnostics.catalog import syntax_kinds as kinds

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TypeAlias

    from grpcsecure.config.tree import Mapping
    from grpcsecure.diagnostics.model import Finding, Span

    #: Classes of jsonschema and jsonschema_rs, which are loaded when needed.
    Validator: TypeAlias = Any
    Error: TypeAlias = Any

__all__ = ["MAX_FINDINGS", "check_schema", "load_schema", "schema_text"]

#: More mistakes than this are one mistake, repeated.
MAX_FINDINGS = 1000


def check_schema(root: Mapping) -> list[Finding]:
    """Find where `root` does not fit the schema."""
    instance = plain(root)
    if is_valid(instance):
        return []
    findings = [
        finding
        for error in find_errors(instance)
        for finding in explain_error(error, root)
    ]
    return _distinct(findings or [_mismatch(root)])


def is_valid(instance: object) -> bool:
    """Whether `instance` fits the schema: yes or no, within microseconds."""
    try:
        return bool(_fast_validator().is_valid(instance))
    except ValueError:
        # It cannot even represent the instance; jsonschema or nobody can say why.
        return False


def find_errors(instance: object) -> list[Error]:
    """Return the errors of `instance` that are worth a finding, as jsonschema's.

    Where a value has the wrong type, what else is wrong with it follows from that.
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
    """JSON Schema's `pattern`: Python's `$` alone also matches before a line's end."""
    import re

    import jsonschema

    strict = pattern[:-1] + r"\Z" if pattern.endswith("$") else pattern
    if isinstance(instance, str) and not re.search(strict, instance):
        yield jsonschema.ValidationError("does not match the pattern")


def _distinct(findings: list[Finding]) -> list[Finding]:
    """Drop repetitions: a value that aliases share is wrong in one place only."""
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
