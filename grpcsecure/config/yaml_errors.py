"""Turns a YAML syntax error into a finding with its place and its likely cause.

Recognises the problem by the text of the parser's error and by the lines of the source.
Covers PyYAML's two parsers, whose texts differ. Never repeats more than one character
of the file, since the line may be part of a private key.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from grpcsecure.config.characters import ODD_SPACE
from grpcsecure.diagnostics.catalog import syntax_kinds as kinds
from grpcsecure.diagnostics.findings import Label, Span
from grpcsecure.diagnostics.lines import split_lines
from grpcsecure.quoting import quote

if TYPE_CHECKING:
    from grpcsecure.config.source import Source
    from grpcsecure.diagnostics.findings import Finding

__all__ = ["explain_syntax"]

#: Line and column, both from 0, as PyYAML counts them.
Position = tuple[int, int]

_QUOTE_STARTS = (
    "quote values that begin with `[`, `{`, `*`, `&`, `!`, `%`, `@` or `` ` ``"
)
_QUOTE_VARIABLE = "quote `${…}` inside `{…}` and `[…]`"
_UNCLOSED_QUOTE = "a quote is never closed"
_INDENT = "indent it like the keys that belong with it"


def explain_syntax(
    source: Source,
    *,
    problem: str,
    place: Position | None = None,
    opened: Position | None = None,
) -> Finding:
    """Return the finding for a parser's `problem` at `place`.

    Args:
        source: the text that was parsed.
        problem: the error text of PyYAML or libyaml.
        place: where the parser failed.
        opened: where the construct began that the parser was reading.
    """
    lines = split_lines(source.text)
    place, at_end = _clip(lines, place or opened or (0, 0))
    opened = _clip(lines, opened)[0] if opened else None
    pasted = _find_pasted(lines, place[0])
    if pasted is not None:
        return kinds.PASTED_KEY(
            "the config has PEM text in it; the paths of files are expected",
            span=_span(source, pasted),
            label="the text is not shown",
            notes=["if it is a private key that others may have seen, replace it"],
            help="save the text in a file, and write its path",
        )
    message, label, advice, where = (
        _find_tab(problem, lines, place)
        or _find_slip(lines, place, opened)
        or _diagnose(problem, lines, place, opened, at_end=at_end)
    )
    brackets = [opened] if opened and "',' or" in problem and where != opened else []
    return kinds.INVALID_YAML(
        message,
        span=_span(source, where),
        label=label,
        secondary=[Label(span=_span(source, at), text="opens here") for at in brackets],
        help=advice,
    )


def _span(source: Source, place: Position) -> Span:
    line, column = place
    return Span(source.name, line + 1, column + 1, line + 1, column + 2)


def _find_pasted(lines: list[str], last: int) -> Position | None:
    """Return the start of the PEM block that contains the line `last`, or None."""
    for number in range(last, -1, -1):
        begin = lines[number].rfind("-----BEGIN")
        if number < last and lines[number].rfind("-----END") > begin:
            return None
        if begin >= 0:
            return number, begin
    return None


#: Message, label, help and place of a finding.
Diagnosis = tuple[str, str, str | None, Position]


def _clip(lines: list[str], place: Position) -> tuple[Position, bool]:
    """Move a place past the end of the text to the end; also return if it was there."""
    line, column = place
    last = len(lines) - 1
    while last > 0 and not lines[last].strip():
        last -= 1
    if line > last or (line == last and column >= len(lines[last].rstrip())):
        return (last, len(lines[last].rstrip())), True
    return (line, column), False


def _find_tab(problem: str, lines: list[str], place: Position) -> Diagnosis | None:
    line, column = place
    if "\t" in lines[line][:1] + lines[line][column : column + 1] or (
        "tab character" in problem
    ):
        return (
            "a tab is used for indentation",
            "YAML allows spaces only",
            "indent with spaces",
            place,
        )
    return None


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
        return _diagnose_colon(lines, place)
    if "',' or" in problem or "node content" in problem:
        return _diagnose_flow(lines, place, opened, at_end=at_end)
    return _diagnose_rest(problem, lines, place, opened)


#: Slips that make a line something else than the key or item that it looks like: the
#: pattern, with a group at the place, then message and help.
_SLIPS = (
    (
        re.compile(r"(?=.*(\{\{)).*\{\{[-% ]?.*\}\}"),
        "a template `{{ … }}` is not rendered",
        "render the file first, or write a variable: `${VAR}`",
    ),
    (
        re.compile(r"\s*(\{%)"),
        "a template `{% … %}` is not rendered",
        "render the file first",
    ),
    (
        re.compile(rf"[ ]*({ODD_SPACE})|.*?[:\-]({ODD_SPACE})"),
        "a space that is not U+0020 is used as one",
        "write an ordinary space; it may come from a web page or a word processor",
    ),
    (
        re.compile(r"[ ]*(?:- +)*[A-Za-z_][\w-]*(:)[^\s/:]"),
        "a space is missing after a `:`",
        "write a space between the `:` and the value",
    ),
    (
        re.compile(r"\s*(//)"),
        "a comment begins with `//`",
        "begin comments with `#`",
    ),
    (
        re.compile(r"[ ]*(-)[A-Za-z_]+: "),
        "a space is missing after a `-`",
        "write a space between the `-` and the key",
    ),
    (
        re.compile(r"[ ]*[A-Za-z_][\w-]* *(=) *[^=\s]"),
        "a `=` in place of a `:`",
        "write `key: value`",
    ),
)


def _find_slip(
    lines: list[str], place: Position, opened: Position | None
) -> Diagnosis | None:
    """Return the diagnosis of a line that is not what it looks like, or None.

    The parser fails at it, or at the line after it, or at the end of what it began.
    """
    before = [number for number in range(place[0]) if lines[number].strip()][-1:]
    numbers = dict.fromkeys([*before, place[0], *([opened[0]] if opened else [])])
    for number in numbers:
        for pattern, message, advice in _SLIPS:
            match = pattern.match(lines[number])
            if match is not None:
                column = max(
                    match.start(group) for group in range(1, pattern.groups + 1)
                )
                return message, "", advice, (number, column)
    return None


def _diagnose_name(
    lines: list[str], place: Position, opened: Position | None
) -> Diagnosis:
    """Diagnose an alias or an anchor without a name: `*.example`, `&& x`."""
    line, column = opened or place
    sign = lines[line][column : column + 1]
    what = "alias" if sign == "*" else "anchor"
    return (
        f"{_show(sign)} begins an {what}, but no name follows",
        "",
        _QUOTE_STARTS,
        (line, column),
    )


def _diagnose_colon(lines: list[str], place: Position) -> Diagnosis:
    before = lines[place[0]][: place[1]]
    if ": " in before or before.lstrip().startswith("---"):
        return (
            "a second `: ` in one line",
            "a value cannot be a mapping here",
            "quote the value if the `:` is part of it",
            place,
        )
    above = [line for line in lines[: place[0]] if line.strip()][-1:]
    if above and ": " in above[0] and _indent(above[0]) < _indent(before):
        return (
            "a key is indented further than the one above, which has a value",
            "",
            "indent it like the line above",
            (place[0], _indent(before)),
        )
    return (
        "a key begins before the value above it ends",
        "",
        f"{_INDENT}, and give a key above it either a value or keys of its own",
        place,
    )


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


_CLOSING = {"[": "]", "{": "}"}


def _find_unquoted(lines: list[str], place: Position) -> Diagnosis | None:
    """Return the diagnosis of a value that needs quotes because of its bracket."""
    line, column = place
    before, character = lines[line][:column], lines[line][column : column + 1]
    if character == "{" and before.endswith("$"):
        start = (line, column - 1)
        return "a `${` without quotes inside brackets", "", _QUOTE_VARIABLE, start
    if character == ":" and before.rstrip().endswith("["):
        advice = 'quote the value, as in "[::]:8443"'
        return "a value that begins with `[` is a list", "", advice, place
    return None


def _diagnose_flow(
    lines: list[str], place: Position, opened: Position | None, *, at_end: bool
) -> Diagnosis:
    line, column = place
    character = lines[line][column : column + 1]
    unquoted = _find_unquoted(lines, place)
    if unquoted is not None:
        return unquoted
    if opened is not None and opened[0] < line:
        if lines[opened[0]].count('"') % 2:
            where = (opened[0], lines[opened[0]].rindex('"'))
            return _UNCLOSED_QUOTE, "", "close the quote", where
        # A key that is not further to the right belongs to the block around.
        is_outside = _indent(lines[line]) <= _indent(lines[opened[0]])
        at_end = at_end or (character == ":" and is_outside)
    bracket = lines[opened[0]][opened[1] : opened[1] + 1] if opened else ""
    closing = _CLOSING.get(bracket)
    if closing is None or opened is None:
        message = f"a value is missing before {_show(character)}"
        return message, "", _QUOTE_STARTS, place
    advice = f"add `{closing}`, or quote the value if it is text"
    if at_end:
        label = f"`{closing}` would close it"
        return f"`{bracket}` is never closed", label, advice, opened
    if character in ("]", "}"):
        message = f"`{bracket}` is closed by `{character}`"
        return message, f"`{closing}` is expected", advice, place
    message = f"`,` or `{closing}` is missing before {_show(character)}"
    return message, "", f"add `,` or {advice.removeprefix('add ')}", place


#: Texts in the parser's problem, the message, the help, and whether to point at the
#: beginning of the construct.
_PROBLEMS = (
    (
        ("escape", "hex"),
        "an unknown escape in a quoted value",
        "write `\\\\` for a backslash, or use single quotes",
        False,
    ),
    (
        ("end of stream", "document separator", "document indicator"),
        _UNCLOSED_QUOTE,
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
        ("block collection",),
        "a list and a mapping at the same indentation",
        f"begin the line with `-`, or {_INDENT}",
        False,
    ),
    (
        ("line break",),
        "text follows `|` or `>` on the same line",
        "begin the text on the next line, indented",
        False,
    ),
    (
        ("keys are not allowed", "entries are not allowed"),
        "a list or a key begins where a value is expected",
        "begin it on the next line, or quote the value",
        False,
    ),
    (
        ("tag",),
        "a value begins with `!`, which begins a tag",
        "quote the value; tags are not used in configs",
        True,
    ),
    (
        ("directive",),
        "a line begins with `%`, which is an instruction to the parser",
        "remove the line, or quote the value",
        True,
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
        return "text follows the end of a value", "", advice, place
    if lines[line][column : column + 1] == ":":
        return "a key is missing before `:`", "", "write a name before the `:`", place
    if "document start" in problem and column == 0:
        advice = "keep one document, without `...` or `%` lines in it"
        return "text follows the end of the document", "", advice, place
    if any(word in problem for word in ("expected key", "block end", "document start")):
        return "the indentation matches no line above", "", _INDENT, place
    words_only = problem.partition("\n")[0][:100]
    return f"invalid YAML: {words_only}", "", None, place


def _show(character: str) -> str:
    if character == "`":
        return "a backtick"
    return quote(character) if character.strip() else "the end of the line"
