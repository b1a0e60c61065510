"""Resolves unquoted scalars by YAML 1.2's core schema; detects where YAML 1.1 differs.

Knows text and values, no files and no places. Invariant: `resolve` implements the core
schema and nothing else; readings of other parsers (`legacy`) are described, never used
as a value.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MAX_INTEGER", "Value", "describe_legacy", "is_usable_number", "resolve"]

Value = str | int | float | bool | None

#: Beyond 64 bits, JSON parsers and programs in other languages disagree.
MAX_INTEGER = 2**63 - 1

#: Longer text is not a 64-bit number, and converting it takes quadratic time.
_MAX_DIGITS = 64

_CONSTANTS: dict[str, Value] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **{sign + inf: math.inf for sign in ("", "+") for inf in (".inf", ".Inf", ".INF")},
    **{"-" + inf: -math.inf for inf in (".inf", ".Inf", ".INF")},
}

#: First characters of all scalars that may be other than text. Scalars that begin with
#: another character are text and need no further check.
_SUSPECTS = frozenset("+-.0123456789=FNOTYfnoty~")

#: https://yaml.org/spec/1.2.2/#1032-tag-resolution
_NUMBER = re.compile(
    r"(?P<int>[-+]?[0-9]+)|(?P<prefixed>0o[0-7]+|0x[0-9a-fA-F]+)"
    r"|(?P<float>[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?)"
)

_PARSERS: dict[str, Callable[[str], Value]] = {
    "int": int,
    "prefixed": lambda text: int(text, 0),
    "float": float,
}

#: https://yaml.org/type/bool.html without y and n: hardly any parser implements these,
#: and they are good names of coordinates.
_LEGACY_BOOL = frozenset(
    word
    for lower in ("yes", "no", "on", "off", "true", "false")
    for word in (lower, lower.capitalize(), lower.upper())
)

#: https://yaml.org/type/int.html, float.html and timestamp.html, as PyYAML reads them.
_LEGACY = re.compile(
    r"(?P<binary>[-+]?0b[01_]+)|(?P<octal>[-+]?0[0-7_]+)|(?P<hex>[-+]?0x[0-9a-fA-F_]+)"
    r"|(?P<int>[-+]?(?:0|[1-9][0-9_]*))"
    r"|(?P<base60>[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?)"
    r"|(?P<float>(?:[-+]?[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+][0-9]+)?)"
    r"|(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"
    r"(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?"
    r"(?:[ \t]*(?:Z|[-+][0-9]{1,2}(?::[0-9]{2})?))?)"
)

#: Kinds that YAML 1.2 never has. `007` is 7 in both, but people mean text by it.
_LEGACY_WORDS = {
    "date": "a date",
    "base60": "a number of base 60",
    "octal": "an octal number",
    "binary": "a binary number",
}


def resolve(text: str) -> Value:
    """Return the value of the plain scalar `text` in YAML 1.2's core schema.

    Integers too long to be usable become infinity, which `is_usable_number` refuses.
    """
    if text and text[0] not in _SUSPECTS:
        return text
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    match = _NUMBER.fullmatch(text)
    if match is None:
        return text
    if len(text) > _MAX_DIGITS:
        return math.inf
    parse = _PARSERS[str(match.lastgroup)]
    return parse(text)


def is_usable_number(value: float) -> bool:
    """Whether every program reads the number alike: it is finite and fits 64 bits."""
    if isinstance(value, float):
        return math.isfinite(value)
    return -MAX_INTEGER - 1 <= value <= MAX_INTEGER


def describe_legacy(text: str) -> str | None:
    """Describe how YAML 1.1 reads the plain scalar `text`, if YAML 1.2 differs.

    Returns:
        A noun phrase such as "a boolean", or None if both read the same value.
    """
    if not text or text[0] not in _SUSPECTS:
        return None
    value = resolve(text)
    if text in _LEGACY_BOOL:
        return None if isinstance(value, bool) else "a boolean"
    if text == "=":
        return "the default value of a mapping"
    if text in _CONSTANTS:
        return None
    match = _LEGACY.fullmatch(text)
    if match is None:
        return None if isinstance(value, str) else "text"
    return _describe_match(str(match.lastgroup), text, value)


def _describe_match(kind: str, text: str, value: Value) -> str | None:
    if kind in _LEGACY_WORDS:
        return _LEGACY_WORDS[kind]
    if not isinstance(value, str):
        return None
    return f"a number without the `{'_' if '_' in text else '+'}`"
