"""The effective config as YAML: variables and profile applied, defaults filled in.

Knows the tree and the schema's defaults. Invariants: the text has no value that may be
a secret; if no value had to be redacted, the text is a config with the same meaning.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from grpcsecure.config.scalars import describe_legacy, resolve
from grpcsecure.config.schema_file import Schema, dereference, load_schema
from grpcsecure.config.tree import Entry, Mapping, Node, Scalar, Sequence
from grpcsecure.config.wording import is_from_file, is_from_variable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grpcsecure.config.document import Document
    from grpcsecure.config.tree import Path

__all__ = ["REDACTED", "render_effective"]

REDACTED = "<redacted>"

#: Words in the name of a keyword argument whose value is redacted.
_SECRET = re.compile(
    r"pass(word|wd|phrase)?|pwd|secret|token|credential|auth|bearer|api_?key|(^|_)key"
    r"|cookie|session|salt|signature|dsn|connection_?string|(^|_)pin$|ur[il]$",
    re.IGNORECASE,
)

#: `://user:password@`; some programs accept a slash in it, against RFC 3986.
_CREDENTIALS = re.compile(r"://[^/?#@\s]*:[^@]*@")

#: Text that every version of YAML reads the same without quotes.
_PLAIN = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./:@+-]*")


def render_effective(document: Document) -> str:
    """Return the effective config of `document` as YAML, with defaults marked.

    These values are redacted: in `with` and in the metadata of rules and tests, those
    that came from a variable; in `with`, those of a key that is named like a secret;
    everywhere, the text of files, PEM text and URLs with a password. A relative path of
    an included file is printed as an absolute one, unless both have the same directory.
    """
    lines = [f"# effective config of {_comment(document.source.name)}"]
    if document.profile is not None:
        lines[0] += f", profile {_comment(document.profile)}"
    entries = {k: e for k, e in document.tree.entries.items() if k != "profiles"}
    root = Mapping(entries=entries, span=document.tree.span)
    if document.included:
        from grpcsecure.config.absolute_paths import with_absolute_paths

        root = with_absolute_paths(root, document)
    lines += _render_mapping(root, load_schema(), (), indent="")
    return "\n".join(lines) + "\n"


def _comment(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)


def _render_mapping(
    node: Mapping, part: Schema, path: Path, *, indent: str
) -> Iterator[str]:
    """Render the schema's keys in schema order, then all other keys in file order."""
    properties: dict[str, Schema] = part.get("properties", {})
    others = part.get("additionalProperties")
    for key, below in properties.items():
        if key in node.entries:
            entry = node.entries[key]
            yield from _render_entry(key, entry, below, path, indent=indent)
        else:
            yield from _render_default(key, dereference(below), indent=indent)
    below = others if isinstance(others, dict) else {}
    for key, entry in node.entries.items():
        if key not in properties:
            yield from _render_entry(key, entry, below, path, indent=indent)


def _render_entry(
    key: str, entry: Entry, part: Schema, path: Path, *, indent: str
) -> Iterator[str]:
    name = _text(key, is_key=True)
    value = entry.value
    here = (*path, key)
    if _is_secret(value, here):
        yield f"{indent}{name}: {_text(REDACTED)}"
    elif isinstance(value, Scalar):
        yield f"{indent}{name}: {_scalar(value)}"
    elif not (value.items if isinstance(value, Sequence) else value.entries):
        yield f"{indent}{name}: {'[]' if isinstance(value, Sequence) else '{}'}"
    else:
        yield f"{indent}{name}:"
        yield from _render_below(value, dereference(part), here, indent=indent + "  ")


def _render_below(
    value: Node, part: Schema, path: Path, *, indent: str
) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from _render_mapping(value, part, path, indent=indent)
    elif isinstance(value, Sequence):
        items = part.get("items")
        below = dereference(items) if isinstance(items, dict) else {}
        for index, item in enumerate(value.items):
            yield from _render_item(item, below, (*path, index), indent=indent)


def _render_item(item: Node, part: Schema, path: Path, *, indent: str) -> Iterator[str]:
    if _is_secret(item, path):
        yield f"{indent}- {_text(REDACTED)}"
    elif isinstance(item, Scalar):
        yield f"{indent}- {_scalar(item)}"
    elif not (item.items if isinstance(item, Sequence) else item.entries):
        yield f"{indent}- {'[]' if isinstance(item, Sequence) else '{}'}"
    else:
        lines = _render_below(item, part, path, indent=indent + "  ")
        first = next(lines)
        yield f"{indent}- {first[len(indent) + 2 :]}"
        yield from lines


def _render_default(key: str, part: Schema, *, indent: str) -> Iterator[str]:
    """Render the default of a key that is absent, if it has one."""
    if "default" in part:
        yield f"{indent}{key}: {_value(part['default'])}  # default"
        return
    if "x-absent" in part:
        yield f"{indent}# no {key}: {part['x-absent']}"
        return
    if "required" in part:
        return
    defaults = [
        line
        for name, below in part.get("properties", {}).items()
        for line in _render_default(name, dereference(below), indent=indent + "  ")
    ]
    if defaults:
        yield f"{indent}{key}:  # default"
        yield from defaults


def _is_secret(node: Node, path: Path) -> bool:
    if is_from_file(node):
        return True
    # authorization, rules or tests, name or index, metadata.
    if path[:1] == ("authorization",) and path[3:4] == ("metadata",):
        return is_from_variable(node)
    # services, or server and interceptors; index, with, and then the arguments.
    entry = path[1:] if path[:2] == ("server", "interceptors") else path
    if entry[:1] not in (("services",), ("interceptors",)) or entry[2:3] != ("with",):
        return False
    return is_from_variable(node) or any(
        isinstance(step, str) and _SECRET.search(step) for step in entry[3:]
    )


def _scalar(node: Scalar) -> str:
    return _value(node.value)


def _value(value: object) -> str:
    if isinstance(value, str):
        return _text(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return _number(value)


def _number(value: object) -> str:
    """Format a number so that YAML 1.1 and 1.2 read it alike."""
    text = repr(value)
    if "e" in text and "." not in text:
        return text.replace("e", ".0e")
    return text


def _text(text: str, *, is_key: bool = False) -> str:
    """Format text so that YAML reads it back unchanged: quoted in case of doubt."""
    if "-----BEGIN" in text or _CREDENTIALS.search(text):
        text = REDACTED
    if not is_key:
        text = text.replace("$", "$$")
    if (
        _PLAIN.fullmatch(text)
        and not text.endswith(":")
        and resolve(text) is text
        and describe_legacy(text) is None
    ):
        return text
    # YAML has JSON's escapes. Unprintable characters are escaped, to keep them off
    # the terminal.
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(c if c.isprintable() else _escape(c) for c in quoted)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 - BMP
