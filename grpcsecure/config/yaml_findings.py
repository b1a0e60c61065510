"""Findings about YAML that parses but is not allowed: one function for each kind.

Knows texts and places, but neither the parser nor the rules of composing a tree.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from grpcsecure.config.tree import Mapping, Scalar
from grpcsecure.diagnostics.catalog import syntax_kinds as kinds
from grpcsecure.diagnostics.findings import Label, Span
from grpcsecure.quoting import quote

if TYPE_CHECKING:
    import re

    from grpcsecure.config.tree import Entry, Node
    from grpcsecure.diagnostics.findings import Finding

__all__ = [
    "ambiguous_scalar",
    "duplicate_key",
    "empty_config",
    "explicit_tag",
    "foreign_version",
    "half_character",
    "merge_key",
    "nesting_too_deep",
    "non_text_key",
    "odd_space",
    "recursive_alias",
    "several_documents",
    "template",
    "too_many_values",
    "unknown_alias",
    "unusable_number",
    "with_key",
    "wrong_root",
]

_START = "start from `version: 1`, `services:` and `listeners:`"

#: Characters of a value that a help repeats at most.
_MAX_REPEATED = 40


def empty_config(file: str) -> Finding:
    """Report a config that is empty or has only comments."""
    span = Span(file, 1, 1, 1, 1)
    return kinds.EMPTY_CONFIG("the config is empty", span=span, help=_START)


def wrong_root(root: Node) -> Finding:
    """Report a list or a single value in place of the config's top-level mapping."""
    span = root.span
    what = "a single value" if isinstance(root, Scalar) else "a list"
    return kinds.WRONG_TYPE(
        f"the config is {what}; a mapping is expected",
        span=Span(span.file, span.line, span.column, span.line, span.column + 1),
        label="keys such as `version:` are expected",
        help=_START,
    )


def several_documents(span: Span) -> Finding:
    """Report a second `---`."""
    return kinds.SEVERAL_DOCUMENTS(
        "the file has more than one YAML document",
        span=span,
        label="a second document begins here",
        help="keep one document; for variants of it, use `profiles`",
    )


def foreign_version(version: tuple[int, int], span: Span) -> Finding:
    """Report `%YAML 1.1`: the directive of a version that is not used here."""
    return kinds.INVALID_YAML(
        f"the file is declared as YAML {version[0]}.{version[1]}",
        span=span,
        label="configs are read by the rules of YAML 1.2",
        help="remove the `%YAML` line",
    )


def explicit_tag(tag: str, span: Span) -> Finding:
    """Report any `!tag`; `tag:yaml.org,2002:int` is shown as `!!int`."""
    core = "tag:yaml.org,2002:"
    short = "!!" + tag[len(core) :] if tag.startswith(core) else tag
    return kinds.EXPLICIT_TAG(
        f"the tag {quote(short)} is not allowed",
        span=span,
        label="values carry no tags",
        help="remove the tag, and quote the value if text is meant",
    )


def unknown_alias(name: str, span: Span) -> Finding:
    """Report `*name` without an anchor before it."""
    return kinds.UNKNOWN_ALIAS(
        f"the alias {quote('*' + name)} refers to no anchor",
        span=span,
        label="not defined before this place",
        help="quote the value if it is text that begins with `*`",
    )


def recursive_alias(name: str, span: Span) -> Finding:
    """Report an alias inside its own anchor: `&name [*name]`."""
    return kinds.RECURSIVE_ALIAS(
        f"the alias {quote('*' + name)} refers to a value that contains it",
        span=span,
        label="within the value it refers to",
        help="write the value out",
    )


def too_many_values(limit: int, span: Span) -> Finding:
    """Report too many values: an alias bomb, or a file that is not a config."""
    return kinds.TOO_MANY_VALUES(
        f"the config has more than {limit:,} values",
        span=span,
        label="counted with every alias replaced",
        help="write fewer values, and no aliases of aliases",
    )


def nesting_too_deep(limit: int, span: Span) -> Finding:
    """Report nesting that would exhaust the stack of recursive functions."""
    return kinds.NESTING_TOO_DEEP(
        f"values are nested deeper than {limit} levels",
        span=span,
        help="no key of a config is nested that deep",
    )


def half_character(span: Span) -> Finding:
    r"""Report half of a UTF-16 surrogate pair, from an escape such as `\ud800`."""
    return kinds.INVALID_YAML(
        "an escape stands for half a character",
        span=span,
        help="write the character itself",
    )


def unusable_number(text: str, span: Span) -> Finding:
    """Report a number that is infinite, not a number, or beyond 64 bits."""
    return kinds.UNUSABLE_NUMBER(
        f"{quote(text)} is not a finite number of 64 bits",
        span=span,
        help="write a smaller number, or quote it if text is meant",
    )


def ambiguous_scalar(text: str, value: object, legacy: str, span: Span) -> Finding:
    """Report text that YAML 1.1 reads as `legacy`, and YAML 1.2 as `value`."""
    now = "text" if isinstance(value, str) else "a number"
    advice = f'quote it: "{text[:_MAX_REPEATED]}"'
    if legacy == "a boolean":
        meant = str(text.lower() in ("yes", "on")).lower()
        advice += f"; a boolean is written `{meant}`"
    elif "number" in legacy or now == "a number":
        advice += ", or write the number in plain decimal digits"
    return kinds.AMBIGUOUS_SCALAR(
        f"{quote(text)} is read differently by YAML 1.1 and YAML 1.2",
        span=span,
        label=f"{legacy} in YAML 1.1, {now} in YAML 1.2",
        help=advice,
    )


def with_key(finding: Finding, key: str, text: str) -> Finding:
    """Return an ambiguous boolean with the help for the key whose value it is."""
    if not finding.label.startswith("a boolean"):
        return finding
    meant = str(text.lower() in ("yes", "on")).lower()
    if key in _BOOLEANS:
        return replace(finding, help=f"write `{meant}`")
    if key == "audit":
        return replace(finding, help=f'quote it: "{text}"')
    if key == "client_certificate":
        from grpcsecure.config.other_tools import find_mode

        return replace(finding, help=f"write `{find_mode(text)}`, or another mode")
    return finding


#: Keys whose values are booleans.
_BOOLEANS = frozenset(
    {"production", "plaintext", "reflection", "health", "enforce", "events"}
)


def non_text_key(key: Node) -> Finding:
    """Report a key that is a number, a boolean, empty, a list or a mapping."""
    if not isinstance(key, Scalar):
        what = "a mapping" if isinstance(key, Mapping) else "a list"
        span = key.span
        return kinds.NON_TEXT_KEY(
            f"a key is {what}; text is expected",
            span=Span(span.file, span.line, span.column, span.line, span.column + 1),
            help="quote the key if it is text",
        )
    if not key.text:
        return kinds.NON_TEXT_KEY(
            "a key is missing", span=key.span, help="write a name before the `:`"
        )
    return kinds.NON_TEXT_KEY(
        f"the key {quote(key.text)} is not text",
        span=key.span,
        label="without quotes, this is a number, a boolean or null",
        help=f'quote it: "{key.text[:_MAX_REPEATED]}"'
        + ("; a list has `- ` before each item" if key.text.isdigit() else ""),
    )


def odd_space(text: str, match: re.Match[str], span: Span) -> Finding:
    """Report a character that looks like a space, at the edge of a value."""
    place = match.end() - 1 if match[0].startswith(":") else match.start()
    column = span.column + place if span.line == span.end_line else span.column
    return kinds.CONTROL_CHARACTER(
        f"the character U+{ord(text[place]):04X} is in place of a space",
        span=Span(span.file, span.line, column, span.line, column + 1),
        label="not an ordinary space",
        help="write an ordinary space, or quote the value if it is part of it",
    )


def template(span: Span) -> Finding:
    """Report `{{ … }}` without quotes, which YAML reads as a mapping in a mapping."""
    place = Span(span.file, span.line, span.column - 1, span.line, span.column + 1)
    return kinds.INVALID_YAML(
        "a template `{{ … }}` is not rendered",
        span=place,
        help="render the file first, or write a variable: `${VAR}`",
    )


def merge_key(span: Span) -> Finding:
    """Report `<<`, which YAML 1.2 does not have."""
    return kinds.MERGE_KEY(
        "the merge key `<<` is not supported",
        span=span,
        label="YAML 1.2 has no merge key",
        help="write the keys out, use a profile, or share a file with `include`",
    )


def duplicate_key(key: Scalar, first: Entry) -> Finding:
    """Report a key that the mapping already has."""
    return kinds.DUPLICATE_KEY(
        f"duplicate key {quote(key.value)}",
        span=key.span,
        label="written again here",
        secondary=[Label(span=first.key, text="first written here")],
        help="keep one of the two",
    )
