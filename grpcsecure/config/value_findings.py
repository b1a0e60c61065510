"""Turns schema errors about values into findings, by the keyword that failed.

Knows the schema's annotations `x-expected` (a description of the expected value) and
`x-aliases` (other spellings, which no help lists).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from grpcsecure.config.other_tools import find_mode, find_value
from grpcsecure.config.rule_advice import advise_in_rule
from grpcsecure.config.tree import Mapping, Node, Scalar, Sequence, find
from grpcsecure.config.type_advice import TYPES, advise_type, choices
from grpcsecure.config.value_advice import advise_value
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

    from grpcsecure.config.tree import Path
    from grpcsecure.diagnostics.findings import Finding, Span

__all__ = [
    "explain_choice",
    "explain_empty",
    "explain_pattern",
    "explain_range",
    "explain_repetition",
    "explain_type",
    "is_mapping",
]


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


def explain_type(error: SchemaError, root: Mapping, path: Path) -> Iterator[Finding]:
    """Explain `type`: a value of the wrong type, such as text in place of a number."""
    node = node_at(root, path)
    wanted = error.validator_value
    types = [wanted] if isinstance(wanted, str) else list(wanted)
    expected = " or ".join(TYPES.get(name, name) for name in types)
    if types == ["string"]:
        expected = error.schema.get("x-expected", expected)
    is_written = isinstance(node, Scalar) and bool(node.text)
    text = shown(node) if is_written else None
    label = f"{text} is {_describe(node)} here" if text else ""
    advice = advise_type(node, types, error.schema)
    label, advice = (
        (advise_value(path, node, expected) if "string" in types else None)
        or advise_in_rule(root, path, node)
        or _advise_several(path, node)
        or (label, advice)
    )
    yield kinds.WRONG_TYPE(
        f"{quote(dotted(path))} is {_describe(node)}; {expected} is expected",
        span=_value_place(root, path, node) if is_written else key_place(root, path),
        label=remark(node, label),
        help=advice,
    )


def _advise_several(path: Path, node: Node | None) -> tuple[str, str] | None:
    """Return label and help for several certificates or keys in place of one."""
    owner, key = path[-2:] if len(path) > 1 else (None, None)
    if owner != "tls" or key not in ("certificate", "private_key"):
        return None
    if not isinstance(node, Sequence) or len(node.items) < 2:  # noqa: PLR2004 - several
        return None
    return (
        "several have a key of their own",
        "write `certificates: [{certificate: …, private_key: …}]`, the default first",
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


def explain_choice(error: SchemaError, root: Mapping, path: Path) -> Iterator[Finding]:
    """Explain `enum` and `const`: a value that is not one of the valid ones."""
    node = node_at(root, path)
    valid = choices(error.schema) or [str(error.validator_value)]
    # Set where the enum is only one of the forms that are allowed.
    expected = error.schema.get("x-expected")
    text = shown(node)
    guess = ""
    if text is not None and isinstance(node, Scalar):
        known = [*valid, *error.schema.get("x-aliases", ())]
        guess = _other_word(path, node.text) or did_you_mean(node.text, known)
    advice = f"write {expected}" if expected else f"valid values: {', '.join(valid)}"
    if path[-1] == "as" and isinstance(node, Scalar):
        guess, advice = _caller_by_identity(root, node) or (guess, advice)
    yield kinds.UNKNOWN_VALUE(
        f"unknown value {text or ''}".rstrip() + f" for {quote(dotted(path))}",
        span=_value_place(root, path, node),
        label=remark(node, guess or f"not a value of `{_last_key(path)}`"),
        help=advice,
    )


def _last_key(path: Path) -> str:
    """Return the key of a value, or of the list that it is in."""
    return next((step for step in reversed(path) if isinstance(step, str)), "")


def _other_word(path: Path, text: str) -> str:
    """Return a label for a mode in another tool's word, or for a file; or ""."""
    if path[-1] != "client_certificate":
        ours = find_value(_last_key(path), text)
        return "" if ours is None else f"`{ours}` here"
    mode = find_mode(text)
    if mode is not None:
        return f"`{mode}` here"
    return "the mode, not a file" if "/" in text or text.endswith(_ENDINGS) else ""


#: Endings of the names of certificate files.
_ENDINGS = (".pem", ".crt", ".cer", ".key")


def _caller_by_identity(root: Mapping, node: Scalar) -> tuple[str, str] | None:
    """Return label and help for a test that names an identity as its caller."""
    identity = node_at(root, ("identities", node.text))
    if identity is None:
        return None
    first = identity.items[0] if isinstance(identity, Sequence) else identity
    entries = first.entries if isinstance(first, Mapping) else {}
    values = {key: entry.value for key, entry in entries.items()}
    named = ", ".join(
        f"{key}: {value.text if shown(value) == f'`{value.text}`' else '…'}"
        for key, value in values.items()
        if isinstance(value, Scalar)
    )
    return (
        "an identity; a test names what is in a certificate",
        f"write `as: {{{named}}}`",
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
    expected = error.schema.get("x-expected", "it in another form")
    label, advice = (
        advise_value(path, node, expected)
        or advise_in_rule(root, path, node)
        or ("", f"write {expected}")
    )
    yield kinds.INVALID_VALUE(
        invalid_value(node, path),
        span=_value_place(root, path, node),
        label=remark(node, label),
        help=advice,
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
