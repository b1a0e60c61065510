"""One good finding for each error of the JSON Schema.

Knows the schema's words, the annotations `x-expected`, `x-aliases`, `x-reserved` and
`x-rule`, and where the values stand. Never shows a value that came from a variable or
may be key material.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from grpcsecure.config.scalars import resolve
from grpcsecure.config.tree import Mapping, Node, Scalar, Sequence, find
from grpcsecure.diagnostics.catalog import syntax as kinds
from grpcsecure.diagnostics.model import Label, Span, quote
from grpcsecure.diagnostics.suggest import did_you_mean, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from grpcsecure.config.tree import Path
    from grpcsecure.diagnostics.model import Finding

__all__ = ["SchemaError", "dotted", "explain_error", "shown"]

_TYPES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "`true` or `false`",
    "object": "a mapping",
    "array": "a list",
    "null": "nothing",
}

#: How many valid keys or values the help lists beside a good guess.
_FEW = 5


class SchemaError(Protocol):
    """What is used of jsonschema's `ValidationError`."""

    validator: str
    validator_value: Any
    instance: Any
    schema: Any
    absolute_path: Iterable[str | int]


def explain_error(error: SchemaError, root: Mapping) -> Iterator[Finding]:
    """Return the findings for `error` in the config `root`: one for each mistake."""
    explain = _EXPLAIN.get(error.validator, _explain_other)
    if isinstance(error.schema, dict) and "x-rule" in error.schema:
        explain = _explain_exclusive
    yield from explain(error, root, tuple(error.absolute_path))


def dotted(path: Path) -> str:
    """Return a path as people write it: `services[0].servicer`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
    return text


def shown(node: Node | None) -> str | None:
    """Return a scalar in backticks, or None where it is not to be shown."""
    if not isinstance(node, Scalar) or node.from_variable:
        return None
    return quote(node.text)


def _node(root: Mapping, path: Path) -> Node:
    node: Node = root
    for step in path:
        if isinstance(node, Mapping):
            node = node.entries[str(step)].value
        elif isinstance(node, Sequence):
            node = node.items[int(step)]
    return node


def _in(path: Path) -> str:
    return f"in {quote(dotted(path))}" if path else "at the top level"


def _key_span(root: Mapping, path: Path) -> Span:
    """The place of a key; of the whole config, its first character."""
    span, _ = find(root, path)
    if path and not isinstance(path[-1], int):
        return span
    return Span(span.file, span.line, span.column, span.line, span.column + 1)


def _listing(names: list[str], *, guess: bool) -> str:
    if guess and len(names) > _FEW + 1:
        return ", ".join([*names[:_FEW], "…"])
    return ", ".join(names)


def _explain_unknown_keys(
    error: SchemaError, root: Mapping, path: Path
) -> Iterator[Finding]:
    known = sorted(error.schema.get("properties", {}))
    for key in error.instance:
        if key in known:
            continue
        missing = [name for name in known if name not in error.instance]
        guess = did_you_mean(key, missing) or did_you_mean(key, known)
        span, _ = find(root, (*path, key))
        yield kinds.UNKNOWN_KEY(
            f"unknown key {quote(key)} {_in(path)}",
            span=span,
            label=guess or "not a key that is known here",
            help=f"valid keys: {_listing(known, guess=bool(guess))}",
        )


def _explain_missing_keys(
    error: SchemaError, root: Mapping, path: Path
) -> Iterator[Finding]:
    # jsonschema makes one error for each missing key, and names it in its text only.
    for key in error.validator_value:
        if key in error.instance:
            continue
        label = f"`{key}` is missing"
        near = nearest(
            key, [k for k in error.instance if k not in error.validator_value]
        )
        yield kinds.MISSING_KEY(
            f"missing key `{key}` {_in(path)}",
            span=_key_span(root, path),
            label=label,
            help=f"add `{key}`" if near is None else f"rename {quote(near)} to `{key}`",
        )


def _explain_type(error: SchemaError, root: Mapping, path: Path) -> Iterator[Finding]:
    node = _node(root, path)
    wanted = error.validator_value
    types = [wanted] if isinstance(wanted, str) else list(wanted)
    expected = " or ".join(_TYPES[name] for name in types)
    if types == ["string"]:
        expected = error.schema.get("x-expected", expected)
    key, value = find(root, path)
    span = value
    if not isinstance(node, Scalar) or not node.text:
        span = _key_span(root, path) if isinstance(path[-1], str) else _first(value)
    del key
    yield kinds.WRONG_TYPE(
        f"{quote(dotted(path))} is {_describe(node)}; {expected} is expected",
        span=span,
        label=_label_type(node),
        help=_advise_type(node, types, error.schema),
    )


def _first(span: Span) -> Span:
    return Span(span.file, span.line, span.column, span.line, span.column + 1)


def _describe(node: Node) -> str:
    if isinstance(node, Mapping):
        return "a mapping"
    if isinstance(node, Sequence):
        return "a list"
    if node.value is None:
        return "empty"
    if isinstance(node.value, bool):
        return "a boolean"
    return "text" if isinstance(node.value, str) else "a number"


def _label_type(node: Node) -> str:
    text = shown(node)
    if text is None or not isinstance(node, Scalar) or not node.text:
        return ""
    return f"{text} is {_describe(node)} here"


def _advise_type(node: Node, types: list[str], schema: Any) -> str | None:
    if isinstance(node, Scalar) and node.value is None:
        return "give it a value, or remove the key"
    if isinstance(node, Scalar) and isinstance(node.value, str):
        return _advise_unquoting(node, types)
    if isinstance(node, Scalar) and "string" in types:
        return _advise_quoting(node, schema)
    if "array" in types and isinstance(node, Mapping):
        return "begin each item with `- `"
    return None


def _advise_unquoting(node: Scalar, types: list[str]) -> str | None:
    if "array" in types:
        return "write a list: `[…]`"
    value = resolve(node.text)
    fits = {
        "integer": isinstance(value, int) and not isinstance(value, bool),
        "boolean": isinstance(value, bool),
    }
    if any(fits.get(name, False) for name in types):
        return "remove the quotes"
    return None


def _advise_quoting(node: Scalar, schema: Any) -> str:
    import re

    pattern = schema.get("pattern", "") if isinstance(schema, dict) else ""
    choices = _choices(schema)
    if choices:
        return f"valid values: {', '.join(choices)}"
    if not re.search(pattern, node.text):
        return f"write {schema.get('x-expected', 'text')}"
    text = "…" if node.from_variable else node.text[:40]
    return f'quote it: "{text}"'


def _choices(schema: Any) -> list[str]:
    """The values of an `enum` without those that are other spellings."""
    aliases = schema.get("x-aliases", ())
    return [str(value) for value in schema.get("enum", ()) if value not in aliases]


def _explain_choice(error: SchemaError, root: Mapping, path: Path) -> Iterator[Finding]:
    node = _node(root, path)
    text = shown(node)
    _, span = find(root, path)
    if error.validator == "const":
        choices = known = [str(error.validator_value)]
    else:
        choices = _choices(error.schema)
        known = [str(value) for value in error.validator_value]
    guess = ""
    if text is not None and isinstance(node, Scalar):
        guess = did_you_mean(node.text, [*choices, *known])
    yield kinds.UNKNOWN_VALUE(
        f"unknown value {text} for {quote(dotted(path))}"
        if text
        else f"unknown value for {quote(dotted(path))}",
        span=span if isinstance(node, Scalar) else _key_span(root, path),
        label=guess or f"not a value of `{path[-1]}`",
        help=f"valid values: {', '.join(choices)}",
    )


def _explain_pattern(
    error: SchemaError, root: Mapping, path: Path
) -> Iterator[Finding]:
    expected = error.schema.get("x-expected", "another form")
    name = _property_name(error, root, path)
    if name is not None:
        span, _ = find(root, (*path, name))
        yield kinds.INVALID_NAME(
            f"the name {quote(name)} {_in(path)} is not allowed",
            span=span,
            label="not allowed as a name",
            help=f"use {expected}",
        )
        return
    node = _node(root, path)
    _, span = find(root, path)
    if isinstance(node, Scalar) and "-----BEGIN" in node.text:
        yield _explain_pasted_key(root, path)
        return
    text = shown(node)
    value = f"value {text}" if text else "value"
    yield kinds.INVALID_VALUE(
        f"invalid {value} for {quote(dotted(path))}",
        span=span,
        label="comes from a variable" if text is None else "",
        help=f"write {expected}",
    )


def _property_name(error: SchemaError, root: Mapping, path: Path) -> str | None:
    """The name that an error of `propertyNames` is about; its path is the mapping's."""
    node = _node(root, path)
    if isinstance(node, Mapping) and isinstance(error.instance, str):
        return error.instance
    return None


def _explain_pasted_key(root: Mapping, path: Path) -> Finding:
    return kinds.PASTED_KEY(
        f"{quote(dotted(path))} has PEM text in it; the path of a file is expected",
        span=_key_span(root, path),
        label="its value is not shown",
        notes=["if this is a private key that others have seen, replace it"],
        help="save the text in a file beside the config, and write its path",
    )


def _explain_empty(error: SchemaError, root: Mapping, path: Path) -> Iterator[Finding]:
    yield kinds.EMPTY_VALUE(
        f"{quote(dotted(path))} is empty",
        span=_key_span(root, path),
        label="at least one entry is needed",
        help="add one, or remove the key"
        if path[-1] not in ("services", "listeners") or len(path) > 1
        else "add one",
    )


def _explain_range(error: SchemaError, root: Mapping, path: Path) -> Iterator[Finding]:
    text = shown(_node(root, path))
    _, span = find(root, path)
    bound = "least" if error.validator == "minimum" else "largest"
    value = f"value {text}" if text else "value"
    yield kinds.INVALID_VALUE(
        f"invalid {value} for {quote(dotted(path))}",
        span=span,
        label=f"the {bound} is {error.validator_value}",
        help=f"write a whole number from {error.schema.get('minimum')}"
        f" to {error.schema.get('maximum')}",
    )


def _explain_twice(error: SchemaError, root: Mapping, path: Path) -> Iterator[Finding]:
    first: dict[str, int] = {}
    for index, item in enumerate(error.instance):
        key = repr(item)
        if key not in first:
            first[key] = index
            continue
        _, span = find(root, (*path, index))
        _, before = find(root, (*path, first[key]))
        text = shown(_node(root, (*path, index)))
        yield kinds.DUPLICATE_ITEM(
            f"{text or 'an item'} is twice in {quote(dotted(path))}",
            span=span,
            label="written again here",
            secondary=[Label(span=before, text="first written here")],
            help="remove one of the two",
        )


def _explain_not(error: SchemaError, root: Mapping, path: Path) -> Iterator[Finding]:
    reserved = (
        error.schema.get("x-reserved") if isinstance(error.schema, dict) else None
    )
    span, _ = find(root, path)
    if reserved is not None:
        yield kinds.RESERVED_OPTION(
            f"the channel option {quote(path[-1])} cannot be set",
            span=span,
            label=reserved,
            help="remove the option",
        )
        return
    name = _property_name(error, root, path)
    if name is not None:
        span, _ = find(root, (*path, name))
        yield kinds.INVALID_NAME(
            f"the name {quote(name)} {_in(path)} is taken",
            span=span,
            label="always there, with a meaning of its own",
            help="choose another name",
        )
        return
    yield from _explain_other(error, root, path)


def _explain_exclusive(
    error: SchemaError, root: Mapping, path: Path
) -> Iterator[Finding]:
    if error.schema["x-rule"] != "transport":
        yield from _explain_effect(error, root, path)
        return
    name = quote(path[-1])
    if error.validator == "not":
        yield kinds.TRANSPORT_CONFLICT(
            f"the listener {name} has both `tls` and `plaintext: true`",
            span=find(root, (*path, "plaintext"))[0],
            label="says plaintext",
            secondary=[Label(span=find(root, (*path, "tls"))[0], text="says TLS")],
            help="remove one of the two",
        )
        return
    yield kinds.TRANSPORT_CONFLICT(
        f"the listener {name} has neither `tls` nor `plaintext: true`",
        span=_key_span(root, path),
        label="TLS or plaintext?",
        help="add `tls` with a certificate, or say `plaintext: true`",
    )


def _explain_effect(error: SchemaError, root: Mapping, path: Path) -> Iterator[Finding]:
    state = "both" if error.validator == "not" else "neither"
    joint = "and" if error.validator == "not" else "nor"
    yield kinds.MISSING_KEY(
        f"the rule {quote(path[-1])} has {state} `allow` {joint} `deny`",
        span=_key_span(root, path),
        label="one of the two is needed",
        help="keep one of `allow` and `deny`",
    )


def _explain_other(error: SchemaError, root: Mapping, path: Path) -> Iterator[Finding]:
    yield kinds.SCHEMA_MISMATCH(
        f"{quote(dotted(path)) if path else 'the config'} does not fit the schema",
        span=_key_span(root, path),
        label=f"`{error.validator}`",
        help="compare it with `grpcsecure schema`",
    )


#: The keyword of JSON Schema that was not met, and who can say it in words.
_EXPLAIN: dict[str, Any] = {
    "additionalProperties": _explain_unknown_keys,
    "required": _explain_missing_keys,
    "type": _explain_type,
    "enum": _explain_choice,
    "const": _explain_choice,
    "pattern": _explain_pattern,
    "minItems": _explain_empty,
    "minProperties": _explain_empty,
    "minimum": _explain_range,
    "maximum": _explain_range,
    "uniqueItems": _explain_twice,
    "not": _explain_not,
}
