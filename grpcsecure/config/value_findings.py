"""Turns schema errors about values into findings, by the keyword that failed.

Knows the schema's annotations `x-expected` (a description of the expected value) and
`x-aliases` (other spellings, which no help lists).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from grpcsecure.config.scalars import resolve
from grpcsecure.config.tree import Mapping, Node, Scalar, Sequence, find
from grpcsecure.config.wording import (
    dotted,
    first_place,
    invalid_value,
    key_place,
    node_at,
    remark,
    shown,
)
from grpcsecure.diagnostics.catalog import syntax_kinds as kinds
from grpcsecure.diagnostics.findings import Label
from grpcsecure.diagnostics.suggest import did_you_mean
from grpcsecure.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from grpcsecure.config.schema_file import Schema
    from grpcsecure.config.tree import Path
    from grpcsecure.diagnostics.findings import Finding, Span

__all__ = [
    "choices",
    "explain_choice",
    "explain_empty",
    "explain_pattern",
    "explain_range",
    "explain_repetition",
    "explain_type",
    "is_mapping",
]

_TYPES = {
    "string": "text",
    "integer": "a whole number",
    "boolean": "`true` or `false`",
    "object": "a mapping",
    "array": "a list",
}

_COLLECTIONS = {
    "array": "write a list: `[…]`, or one `- …` a line",
    "object": "write `key: value` under it",
}

#: Characters of a value that a help repeats at most.
_MAX_REPEATED = 40


class SchemaError(Protocol):
    """The attributes of jsonschema's `ValidationError` that are used here."""

    validator: str
    validator_value: Any
    instance: Any
    schema: Any
    absolute_path: Iterable[str | int]


def is_mapping(root: Mapping, path: Path) -> bool:
    """Whether there is a mapping at `path`."""
    return isinstance(node_at(root, path), Mapping)


def choices(part: Schema) -> list[str]:
    """Return the values of an `enum` without its `x-aliases`."""
    aliases = part.get("x-aliases", ())
    return [str(value) for value in part.get("enum", ()) if value not in aliases]


def explain_type(error: SchemaError, root: Mapping, path: Path) -> Iterator[Finding]:
    """Explain `type`: a value of the wrong type, such as text in place of a number."""
    node = node_at(root, path)
    wanted = error.validator_value
    types = [wanted] if isinstance(wanted, str) else list(wanted)
    expected = " or ".join(_TYPES.get(name, name) for name in types)
    if types == ["string"]:
        expected = error.schema.get("x-expected", expected)
    is_written = isinstance(node, Scalar) and bool(node.text)
    text = shown(node) if is_written else None
    yield kinds.WRONG_TYPE(
        f"{quote(dotted(path))} is {_describe(node)}; {expected} is expected",
        span=_value_place(root, path, node) if is_written else key_place(root, path),
        label=remark(node, f"{text} is {_describe(node)} here" if text else ""),
        help=_advise_type(node, types, error.schema),
    )


def _value_place(root: Mapping, path: Path, node: Node | None) -> Span:
    """Return the place of a value; of a long one, its first character or its key."""
    _, span = find(root, path)
    if isinstance(node, Scalar) and span.line == span.end_line:
        return span
    return first_place(span) if isinstance(node, Scalar) else key_place(root, path)


def _describe(node: Node | None) -> str:
    if isinstance(node, Mapping):
        return "a mapping"
    if isinstance(node, Sequence):
        return "a list"
    value = node.value if node is not None else None
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "a boolean"
    return "text" if isinstance(value, str) else "a number"


def _advise_type(node: Node | None, types: list[str], part: Schema) -> str | None:
    if isinstance(node, Scalar) and node.value is None:
        return "give it a value, or remove the key"
    for name, advice in _COLLECTIONS.items():
        if name in types:
            return advice
    if not isinstance(node, Scalar):
        return "write a single value"
    if isinstance(node.value, str):
        return _advise_unquoting(node, types)
    return _advise_quoting(node, part) if "string" in types else _advise_writing(types)


def _advise_writing(types: list[str]) -> str | None:
    known = (_TYPES[name] for name in ("boolean", "integer") if name in types)
    return next((f"write {expected}" for expected in known), None)


def _advise_unquoting(node: Scalar, types: list[str]) -> str | None:
    value = resolve(node.text)
    is_boolean = isinstance(value, bool)
    is_integer = isinstance(value, int) and not is_boolean
    fits = ("boolean" in types and is_boolean) or ("integer" in types and is_integer)
    return "remove the quotes" if fits else _advise_writing(types)


def _advise_quoting(node: Scalar, part: Schema) -> str:
    import re

    valid = choices(part)
    if valid:
        return f"valid values: {', '.join(valid)}"
    if not re.search(part.get("pattern", ""), node.text):
        return f"write {part.get('x-expected', 'text')}"
    return f'quote it: "{"…" if node.from_variable else node.text[:_MAX_REPEATED]}"'


def explain_choice(error: SchemaError, root: Mapping, path: Path) -> Iterator[Finding]:
    """Explain `enum` and `const`: a value that is not one of the valid ones."""
    node = node_at(root, path)
    valid = choices(error.schema) or [str(error.validator_value)]
    # Set where the enum is only one of the forms that are allowed.
    expected = error.schema.get("x-expected")
    text = shown(node)
    guess = ""
    if text is not None and isinstance(node, Scalar):
        guess = did_you_mean(node.text, [*valid, *error.schema.get("x-aliases", ())])
    yield kinds.UNKNOWN_VALUE(
        f"unknown value {text or ''}".rstrip() + f" for {quote(dotted(path))}",
        span=_value_place(root, path, node),
        label=remark(node, guess or f"not a value of `{path[-1]}`"),
        help=f"write {expected}" if expected else f"valid values: {', '.join(valid)}",
    )


def explain_pattern(error: SchemaError, root: Mapping, path: Path) -> Iterator[Finding]:
    """Explain `pattern`, `maxLength`: a malformed value, or PEM text for a path."""
    node = node_at(root, path)
    if isinstance(node, Scalar) and "-----BEGIN" in node.text:
        yield kinds.PASTED_KEY(
            f"{quote(dotted(path))} is PEM text; the path of a file is expected",
            span=key_place(root, path),
            label="its value is not shown",
            notes=["if it is a private key that others may have seen, replace it"],
            help="save the text in a file, and write its path",
        )
        return
    yield kinds.INVALID_VALUE(
        invalid_value(node, path),
        span=_value_place(root, path, node),
        label=remark(node),
        help=f"write {error.schema.get('x-expected', 'it in another form')}",
    )


def explain_empty(error: SchemaError, root: Mapping, path: Path) -> Iterator[Finding]:
    """Explain `minItems` and `minProperties`: an empty list or mapping."""
    del error
    yield kinds.EMPTY_VALUE(
        f"{quote(dotted(path))} is empty",
        span=key_place(root, path),
        label="at least one entry is needed",
        help="add one",
    )


def explain_range(error: SchemaError, root: Mapping, path: Path) -> Iterator[Finding]:
    """Explain `minimum` and `maximum`: a number outside its range."""
    node = node_at(root, path)
    bound = "least" if error.validator == "minimum" else "largest"
    low, high = error.schema.get("minimum"), error.schema.get("maximum")
    yield kinds.INVALID_VALUE(
        invalid_value(node, path),
        span=_value_place(root, path, node),
        label=remark(node, f"the {bound} is {error.validator_value}"),
        help=f"write a whole number from {low} to {high}",
    )


def explain_repetition(
    error: SchemaError, root: Mapping, path: Path
) -> Iterator[Finding]:
    """Explain `uniqueItems`: one finding for each repeated item."""
    first: dict[str, int] = {}
    for index, item in enumerate(error.instance):
        before: Any = first.setdefault(repr(item), index)
        if before == index:
            continue
        text = shown(node_at(root, (*path, index)))
        yield kinds.DUPLICATE_ITEM(
            f"{text or 'an item'} is twice in {quote(dotted(path))}",
            span=find(root, (*path, index))[1],
            label="written again here",
            secondary=[
                Label(span=find(root, (*path, before))[1], text="first written here")
            ],
            help="remove one of the two",
        )
