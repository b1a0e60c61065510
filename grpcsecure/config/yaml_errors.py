"""A YAML syntax error in words: one line, at its place, with the likely cause.

Knows the parser's problem by its text and the source by its lines; both of PyYAML's
parsers are covered, whose words differ. Never repeats more than one character of the
file, since that line may be part of a key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpcsecure.diagnostics.catalog import syntax as kinds
from grpcsecure.diagnostics.lines import split_lines
from grpcsecure.diagnostics.model import Span, quote

if TYPE_CHECKING:
    from grpcsecure.config.source import Source
    from grpcsecure.diagnostics.model import Finding

__all__ = ["explain_syntax"]

#: Line and column, both from 0, as PyYAML counts them.
Position = tuple[int, int]

_QUOTE_STARTS = (
    "quote values that begin with `[`, `{`, `*`, `&`, `!`, `%`, `@` or `` ` ``"
)
_QUOTE_VARIABLE = "quote `${…}` inside `{…}` and `[…]`"
_INDENT = "indent it like the keys that belong with it"


def explain_syntax(
    source: Source,
    *,
    problem: str,
    place: Position | None = None,
    opened: Position | None = None,
) -> Finding:
    """Translate a parser's `problem` at `place`.

    Args:
        source: the text that was parsed.
        problem: PyYAML's or libyaml's words.
        place: where the parser gave up.
        opened: where what it was reading began.
    """
    lines = split_lines(source.text)
    place, at_end = _clip(lines, place or opened or (0, 0))
    message, label, advice, where = _diagnose(
        problem, lines, place, opened, at_end=at_end
    )
    line, column = where
    return kinds.INVALID_YAML(
        message,
        span=Span(source.name, line + 1, column + 1, line + 1, column + 2),
        label=label,
        help=advice,
    )


Diagnosis = tuple[str, str, str | None, Position]


def _clip(lines: list[str], place: Position) -> tuple[Position, bool]:
    """Move a place behind the last line onto its end; say whether it was there."""
    line, column = place
    last = len(lines) - 1
    while last > 0 and not lines[last].strip():
        last -= 1
    if line > last or (line == last and column >= len(lines[last].rstrip())):
        return (last, len(lines[last].rstrip())), True
    return (line, column), False


def _diagnose(
    problem: str,
    lines: list[str],
    place: Position,
    opened: Position | None,
    *,
    at_end: bool,
) -> Diagnosis:
    line, column = place
    character = lines[line][column : column + 1]
    before = lines[line][:column]
    if "\t" in before[:1] + character or "tab character" in problem:
        return (
            "a tab is used for indentation",
            "YAML allows spaces only",
            "indent with spaces",
            place,
        )
    if "cannot start any token" in problem:
        return (
            f"a value cannot begin with {_show(character)}",
            "",
            _QUOTE_STARTS,
            place,
        )
    if "alphabetic or numeric" in problem:
        return _diagnose_name(lines, place, opened)
    if "mapping values are not allowed" in problem:
        return _diagnose_colon(before, place)
    if "',' or" in problem or "node content" in problem:
        return _diagnose_flow(lines, place, opened, at_end=at_end)
    return _diagnose_rest(problem, lines, place, opened)


def _diagnose_name(
    lines: list[str], place: Position, opened: Position | None
) -> Diagnosis:
    """`*.example` and `&& x`: an alias or an anchor without a name."""
    line, column = opened or place
    sign = lines[line][column : column + 1]
    what = "alias" if sign == "*" else "anchor"
    return (
        f"{_show(sign)} begins an {what}, and no name follows",
        "",
        _QUOTE_STARTS,
        (line, column),
    )


def _diagnose_colon(before: str, place: Position) -> Diagnosis:
    if ": " in before or before.lstrip().startswith("---"):
        return (
            "a second `: ` in one line",
            "a value cannot be a mapping here",
            "quote the value if the `:` is part of it",
            place,
        )
    return (
        "a key stands where the value above still goes on",
        "",
        f"{_INDENT}, and give a key above it either a value or keys of its own",
        place,
    )


_CLOSING = {"[": "]", "{": "}"}


def _diagnose_flow(
    lines: list[str], place: Position, opened: Position | None, *, at_end: bool
) -> Diagnosis:
    line, column = place
    character = lines[line][column : column + 1]
    if character == "{" and lines[line][:column].endswith("$"):
        start = (line, column - 1)
        return "a `${` without quotes inside brackets", "", _QUOTE_VARIABLE, start
    bracket = lines[opened[0]][opened[1] : opened[1] + 1] if opened else ""
    if bracket not in _CLOSING:
        return f"a value is missing before {_show(character)}", "", _QUOTE_STARTS, place
    closing = _CLOSING[bracket]
    if opened and (at_end or character in ("]", "}")):
        return (
            f"`{bracket}` is never closed"
            if at_end
            else f"`{bracket}` is closed by `{character}`",
            f"opens here; `{closing}` closes it",
            f"add `{closing}`, or quote the value if it is text",
            opened if at_end else place,
        )
    return (
        f"`,` or `{closing}` is missing before {_show(character)}",
        "",
        f"add `{closing}` or `,`, or quote the value if it is text",
        place,
    )


#: Words in a problem, what they mean, what to do, and whether to point at the begin.
_PROBLEMS = (
    (
        ("escape", "hexadecimal"),
        "an unknown escape in a quoted value",
        "write `\\\\` for a backslash, or use single quotes",
        False,
    ),
    (
        ("end of stream", "document separator", "document indicator"),
        "a quote is never closed",
        "close the quote",
        True,
    ),
    (
        ("could not find expected ':'",),
        "a line is neither a key nor an item",
        "write `key: value` or `- item`; indent text that goes on",
        True,
    ),
    (
        ("'-' indicator",),
        "a list and a mapping at the same indentation",
        f"begin the line with `-`, or {_INDENT}",
        False,
    ),
    (
        ("document start",),
        "text stands after the end of the document",
        "keep one document, without `...` or `%` lines in it",
        False,
    ),
)


def _diagnose_rest(
    problem: str, lines: list[str], place: Position, opened: Position | None
) -> Diagnosis:
    line, column = place
    before = lines[line][:column].rstrip()
    for words, message, advice, is_where_opened in _PROBLEMS:
        if any(word in problem for word in words):
            where = opened if is_where_opened and opened else place
            return message, "", advice, where
    if before.endswith(('"', "'", "]", "}")):
        advice = "quote the whole value; write a quote inside single quotes twice"
        return "text goes on after a value has ended", "", advice, place
    if "expected key" in problem or "block end" in problem:
        return "the indentation fits no line above", "", _INDENT, place
    words_only = problem.partition("\n")[0][:100]
    return f"invalid YAML: {words_only}", "", None, place


def _show(character: str) -> str:
    return quote(character) if character.strip() else "the end of the line"
