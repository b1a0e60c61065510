"""The JSON Schema of the config: where it is found, and what it says of a config.

A good config is recognised by jsonschema_rs alone; jsonschema, which is slow to load
and knows why, is asked about bad ones only. Invariant: what either of them refuses
has a finding.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import re
from typing import TYPE_CHECKING, Any

from grpcsecure.config.explain import explain_error
from grpcsecure.config.tree import find, plain
from grpcsecure.config.unavailable import find_unavailable
from grpcsecure.diagnostics.catalog import syntax as kinds
from grpcsecure.diagnostics.model import Span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grpcsecure.config.tree import Mapping, Path
    from grpcsecure.diagnostics.model import Finding

__all__ = ["MAX_FINDINGS", "check_schema", "load_schema", "schema_text"]

#: More mistakes than this are one mistake, repeated.
MAX_FINDINGS = 1000

_FILE = os.path.join("schemas", "config.schema.json")


def schema_text() -> str:
    """Return the JSON Schema (2020-12) as text.

    It is package data in a wheel, and the checkout's `schemas/` in an editable install.
    The loader that imported this module reads it, as importlib.resources would, whose
    import takes longer than the rest of this package.
    """
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    loader: Any = __spec__.loader
    try:
        data: bytes = loader.get_data(os.path.join(package, _FILE))
    except OSError:
        data = loader.get_data(os.path.join(os.path.dirname(package), _FILE))
    return data.decode()


@functools.cache
def load_schema() -> dict[str, Any]:
    """Return the JSON Schema as data; shared, so not to be changed."""
    schema: dict[str, Any] = json.loads(schema_text())
    return schema


def check_schema(root: Mapping) -> list[Finding]:
    """Find where `root` does not fit the schema, or asks for what is not there yet."""
    schema = load_schema()
    unavailable = list(find_unavailable(root, schema))
    findings = [finding for _, finding in unavailable]
    instance = plain(root)
    if _is_valid(instance):
        return findings
    refused = [path for path, _ in unavailable]
    for error in _errors(instance):
        if _is_within(tuple(error.absolute_path), refused):
            continue
        findings += explain_error(error, root)
        if len(findings) > MAX_FINDINGS:
            break
    return _distinct(findings) or [_mismatch(root)]


@functools.cache
def _fast_validator() -> Any:
    import jsonschema_rs

    return jsonschema_rs.Draft202012Validator(load_schema())


def _is_valid(instance: object) -> bool:
    try:
        return bool(_fast_validator().is_valid(instance))
    except ValueError:
        # It cannot even represent the instance; jsonschema or nobody can say why.
        return False


@functools.cache
def _explaining_validator() -> Any:
    import jsonschema

    validator = jsonschema.validators.extend(
        jsonschema.Draft202012Validator, {"pattern": _check_pattern}
    )
    return validator(load_schema())


def _check_pattern(
    _validator: Any, pattern: str, instance: object, _schema: Any
) -> Iterator[Any]:
    """JSON Schema's `pattern`: Python's `$` alone also matches before a line's end."""
    if not isinstance(instance, str):
        return
    if not re.search(re.sub(r"\$$", r"\\Z", pattern), instance):
        import jsonschema

        yield jsonschema.ValidationError("does not match the pattern")


def _errors(instance: object) -> list[Any]:
    """Return the errors that are worth a finding.

    Where a value has the wrong type, what else is wrong with it follows from that.
    """
    errors = list(
        itertools.islice(
            _explaining_validator().iter_errors(instance), 10 * MAX_FINDINGS
        )
    )
    mistyped = {tuple(e.absolute_path) for e in errors if e.validator == "type"}
    return [
        error
        for error in errors
        if error.validator == "type" or tuple(error.absolute_path) not in mistyped
    ]


def _is_within(path: Path, refused: list[Path]) -> bool:
    return any(path[: len(above)] == above for above in refused)


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
    span, _ = find(root, ())
    return kinds.SCHEMA_MISMATCH(
        "the config does not fit the schema",
        span=Span(span.file, span.line, span.column, span.line, span.column),
        notes=["the place is not known, which is a bug in grpcsecure"],
        help="compare the config with `grpcsecure schema`",
    )
