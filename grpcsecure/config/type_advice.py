"""The help of findings about values of the wrong type."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.config.other_tools import find_mode
from grpcsecure.config.scalars import resolve
from grpcsecure.config.schema_file import dereference
from grpcsecure.config.tree import Mapping, Scalar, Sequence
from grpcsecure.config.wording import shown

if TYPE_CHECKING:
    from grpcsecure.config.schema_file import Schema
    from grpcsecure.config.tree import Node

__all__ = ["TYPES", "advise_type", "choices"]

#: The types of JSON Schema, as messages name them.
TYPES = {
    "string": "text",
    "integer": "a whole number",
    "boolean": "`true` or `false`",
    "object": "a mapping",
    "array": "a list",
}

#: Characters of a value that a help repeats at most.
_MAX_REPEATED = 40


def choices(part: Schema) -> list[str]:
    """Return the values of an `enum` without its `x-aliases`."""
    aliases = part.get("x-aliases", ())
    return [str(value) for value in part.get("enum", ()) if value not in aliases]


def advise_type(node: Node | None, types: list[str], part: Schema) -> str | None:
    """Return the help for a value of the wrong type.

    Args:
        node: the value; None if it is not known.
        types: the types that the schema allows.
        part: the schema of the value.
    """
    if isinstance(node, Scalar) and node.value is None:
        absent = part.get("x-absent")
        remove = f"without the key, {absent}" if absent else "or remove the key"
        return f"give it a value{';' if absent else ','} {remove}"
    if "array" in types or "object" in types:
        return _advise_collection(node, types, part)
    if "const" in part:
        return f"write `{part['const']}`"
    if not isinstance(node, Scalar):
        return _advise_writing(types) or _advise_single(node)
    if isinstance(node.value, str):
        return _advise_unquoting(node, types)
    return _advise_quoting(node, part) if "string" in types else _advise_writing(types)


def _advise_writing(types: list[str]) -> str | None:
    known = (TYPES[name] for name in ("boolean", "integer") if name in types)
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
    if part.get("title") == "Option" and isinstance(node.value, bool):
        return f"write `{int(node.value)}`"
    mode = find_mode(node.text) if "x-aliases" in part else None
    if mode is not None:
        return f"write `{mode}`, or another of {', '.join(valid)}"
    if valid:
        return f"valid values: {', '.join(valid)}"
    if not re.search(part.get("pattern", ""), node.text):
        return f"write {part.get('x-expected', 'text')}"
    return f'quote it: "{"…" if node.from_variable else node.text[:_MAX_REPEATED]}"'


def _advise_collection(node: Node | None, types: list[str], part: Schema) -> str:
    if "array" in types:
        return _advise_list(node, part)
    return _advise_mapping(node, part)


def _advise_list(node: Node | None, part: Schema) -> str:
    text = _repeated(node)
    if dereference(part.get("items", {})).get("title") == "Service":
        if isinstance(node, Mapping):
            return "write `- ` before the first key of each service"
        if text is not None:
            return f"write `- servicer: {text}` under it"
    if text is not None:
        return f"write a list: `[{text}]`"
    return "write a list: `[…]`, or one `- …` a line"


def _advise_mapping(node: Node | None, part: Schema) -> str:
    title = part.get("title", "")
    is_by_name = isinstance(part.get("additionalProperties"), dict)
    if isinstance(node, Sequence) and is_by_name and "properties" not in part:
        return "write each with its name, without `-`: `NAME: …`"
    text = _repeated(node)
    key, colon, value = (text or "").partition(":")
    is_url = value.startswith("//")
    if colon and not is_url and key in part.get("properties", {}):
        return f"write a space after `{key}:`"
    if title == "Service" and text is not None:
        return f"write `servicer: {text}`"
    if title == "Matcher" and text is not None:
        return f"write its kind: `{{{_kind_of(text)}: {text}}}`"
    if title == "TLS" and isinstance(node, Scalar) and node.value is False:
        return "to serve without TLS, write `plaintext: true` in its place"
    return _advise_keys(part)


def _advise_keys(part: Schema) -> str:
    required = part.get("required", [])
    if part.get("title") == "Certificate and key":  # in a list
        return f"write `{{{', '.join(f'{key}: …' for key in required)}}}`"
    if required:
        # The usual alternative: `certificate` and `private_key`, not `certificates`.
        keys = [*part.get("else", {}).get("required", ()), *required]
        return f"write {', '.join(f'`{key}`' for key in keys)} under it"
    example = _example_key(part)
    if example is None:
        return "write `key: value` under it"
    return f"write keys under it, such as `{example}`"


def _example_key(part: Schema) -> str | None:
    """Return a key of the schema's example with its value, or None."""
    example = next(iter(part.get("examples", ())), None)
    for key, value in (example or {}).items() if isinstance(example, dict) else ():
        if isinstance(value, str | int):
            return f"{key}: {value}"
    return None


def _kind_of(text: str) -> str:
    """Return the key of a matcher that a value most likely belongs to."""
    if text.startswith("spiffe://"):
        return "spiffe"
    for sign, kind in (("://", "uri"), ("=", "subject"), ("@", "email"), (".", "dns")):
        if sign in text:
            return kind
    return "common_name"


def _advise_single(node: Node | None) -> str:
    if isinstance(node, Sequence) and len(node.items) == 1:
        text = _repeated(node.items[0])
        if text is not None:
            return f"write it without brackets: `{text}`"
    return "write a single value"


def _repeated(node: Node | None) -> str | None:
    """Return a value as a help may repeat it, or None."""
    if not isinstance(node, Scalar) or not node.text:
        return None
    is_shown = shown(node) == f"`{node.text}`" and len(node.text) <= _MAX_REPEATED
    return node.text if is_shown else None
