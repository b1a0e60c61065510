"""What is wrong with YAML that parses: one function for each kind of finding.

Knows texts and places, and neither the parser nor the tree's rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.config.tree import Mapping, Scalar
from grpcsecure.diagnostics.catalog import syntax_kinds as kinds
from grpcsecure.diagnostics.model import Label, Span
from grpcsecure.quoting import quote

if TYPE_CHECKING:
    from grpcsecure.config.tree import Entry, Node
    from grpcsecure.diagnostics.model import Finding

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
    "recursive_alias",
    "several_documents",
    "too_many_values",
    "unknown_alias",
    "unusable_number",
    "wrong_root",
]

_START = "start from `version: 1`, `services:` and `listeners:`"

#: How much of a value a help repeats.
_MAX_REPEATED = 40


def empty_config(file: str) -> Finding:
    """Nothing but comments, or nothing at all."""
    span = Span(file, 1, 1, 1, 1)
    return kinds.EMPTY_CONFIG("the config is empty", span=span, help=_START)


def wrong_root(root: Node) -> Finding:
    """A list or a single value where the keys of a config should be."""
    span = root.span
    what = "a single value" if isinstance(root, Scalar) else "a list"
    return kinds.WRONG_TYPE(
        f"the config is {what}; a mapping is expected",
        span=Span(span.file, span.line, span.column, span.line, span.column + 1),
        label="keys such as `version:` are expected",
        help=_START,
    )


def several_documents(span: Span) -> Finding:
    """A second `---`."""
    return kinds.SEVERAL_DOCUMENTS(
        "the file has more than one YAML document",
        span=span,
        label="a second document begins here",
        help="keep one document; for variants of it, use `profiles`",
    )


def foreign_version(version: tuple[int, int], span: Span) -> Finding:
    """`%YAML 1.1`: rules that are not used here."""
    return kinds.INVALID_YAML(
        f"the file asks for the rules of YAML {version[0]}.{version[1]}",
        span=span,
        label="configs are read by the rules of YAML 1.2",
        help="remove the `%YAML` line",
    )


def explicit_tag(tag: str, span: Span) -> Finding:
    """Any `!tag`; people know `tag:yaml.org,2002:int` as `!!int`."""
    core = "tag:yaml.org,2002:"
    short = "!!" + tag[len(core) :] if tag.startswith(core) else tag
    return kinds.EXPLICIT_TAG(
        f"the tag {quote(short)} is not allowed",
        span=span,
        label="values carry no tags",
        help="remove the tag, and quote the value if text is meant",
    )


def unknown_alias(name: str, span: Span) -> Finding:
    """`*name` without an anchor before it."""
    return kinds.UNKNOWN_ALIAS(
        f"the alias {quote('*' + name)} refers to no anchor",
        span=span,
        label="not defined before this place",
        help="quote the value if it is text that begins with `*`",
    )


def recursive_alias(name: str, span: Span) -> Finding:
    """`&name [*name]`."""
    return kinds.RECURSIVE_ALIAS(
        f"the alias {quote('*' + name)} refers to a value that contains it",
        span=span,
        label="within the value it refers to",
        help="write the value out",
    )


def too_many_values(limit: int, span: Span) -> Finding:
    """An alias bomb, or a file that is no config."""
    return kinds.TOO_MANY_VALUES(
        f"the config has more than {limit:,} values",
        span=span,
        label="counted with every alias replaced",
        help="write fewer values, and no aliases of aliases",
    )


def nesting_too_deep(limit: int, span: Span) -> Finding:
    """Levels that would exhaust the stack of whoever walks them."""
    return kinds.NESTING_TOO_DEEP(
        f"values are nested deeper than {limit} levels",
        span=span,
        help="no key of a config is nested so deep",
    )


def half_character(span: Span) -> Finding:
    r"""Half of a UTF-16 pair, which an escape such as `\ud800` can make."""
    return kinds.INVALID_YAML(
        "an escape stands for half a character",
        span=span,
        help="write the character itself",
    )


def unusable_number(text: str, span: Span) -> Finding:
    """Infinite, not a number, or beyond 64 bits."""
    return kinds.UNUSABLE_NUMBER(
        f"{quote(text)} is no finite number of 64 bits",
        span=span,
        help="write a smaller number, or quote it if text is meant",
    )


def ambiguous_scalar(text: str, value: object, legacy: str, span: Span) -> Finding:
    """Text that YAML 1.1 takes for `legacy`, and YAML 1.2 for `value`."""
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


def non_text_key(key: Node) -> Finding:
    """A key that is a number, a boolean, nothing, a list or a mapping."""
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
        label="a number, a boolean or nothing, without quotes",
        help=f'quote it: "{key.text[:_MAX_REPEATED]}"',
    )


def merge_key(span: Span) -> Finding:
    """`<<`, which YAML 1.2 does not have."""
    return kinds.MERGE_KEY(
        "the merge key `<<` is not supported",
        span=span,
        label="YAML 1.2 has no merge key",
        help="write the keys out, or use a profile",
    )


def duplicate_key(key: Scalar, first: Entry) -> Finding:
    """A key that is there already."""
    return kinds.DUPLICATE_KEY(
        f"duplicate key {quote(key.value)}",
        span=key.span,
        label="written again here",
        secondary=[Label(span=first.key, text="first written here")],
        help="keep one of the two",
    )
