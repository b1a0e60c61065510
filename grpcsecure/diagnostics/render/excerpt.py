"""Excerpts: source lines with a mark under each place of a finding.

Columns of a span count characters; columns of a terminal count cells. A tab takes up to
four cells, a wide character two, a combining character none, and an escaped character
the length of its escape.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, NamedTuple

from grpcsecure.diagnostics.render.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from grpcsecure.diagnostics.findings import Finding, Span
    from grpcsecure.diagnostics.render.sources import Sources
    from grpcsecure.diagnostics.render.text import Style

__all__ = ["gutter_width", "render_excerpt"]

_TAB = 4
#: Cells of a source line that are shown at most.
_SHOWN = 100
#: Cells that are shown before a span that is far to the right.
_BEFORE = 20


class _Mark(NamedTuple):
    """A label with the character that underlines its span, and its colour role."""

    span: Span
    text: str
    sign: str
    role: str


def gutter_width(finding: Finding) -> int:
    """Return the number of digits of the highest line number in the excerpt."""
    spans = [label.span for label in finding.secondary]
    spans += [finding.span] if finding.span is not None else []
    return max((len(str(span.line)) for span in spans), default=1)


def render_excerpt(finding: Finding, sources: Sources, style: Style) -> Iterator[str]:
    """Yield the lines from `-->` to the last mark, beginning with the primary file."""
    pad = " " * gutter_width(finding)
    arrow = "-->"
    for marks in _by_file(finding):
        span = marks[0].span
        where = f"{visible(span.file)}:{span.line}:{span.column}"
        yield f"{pad}{style.paint('frame', arrow)} {where}"
        arrow = ":::"
        if sources.line(span.file, span.line) is None and not any(
            mark.text for mark in marks
        ):
            continue
        yield f"{pad} {style.paint('frame', '|')}"
        yield from _lines(marks, sources, style, pad)


def _by_file(finding: Finding) -> list[list[_Mark]]:
    """Group the marks by file; the header of a group shows the place of its first."""
    role = finding.severity.value
    marks = [
        _Mark(span=label.span, text=label.text, sign="-", role="secondary")
        for label in finding.secondary
    ]
    if finding.span is not None:
        mark = _Mark(span=finding.span, text=finding.label, sign="^", role=role)
        marks.insert(0, mark)
    groups: dict[str, list[_Mark]] = {}
    for mark in marks:
        groups.setdefault(mark.span.file, []).append(mark)
    return list(groups.values())


def _lines(
    marks: Sequence[_Mark], sources: Sources, style: Style, pad: str
) -> Iterator[str]:
    """Yield each marked line of one file once, with its marks below it."""
    file = marks[0].span.file
    bar = style.paint("frame", "|")
    before = None
    for number in sorted({mark.span.line for mark in marks}):
        if before is not None and number > before + 1:
            yield f"{pad} {style.paint('frame', '⋮')}"
        before = number
        here = [mark for mark in marks if mark.span.line == number]
        line = _line(sources, file, number, focus=here[0].span)
        digits = style.paint("frame", f"{number:>{len(pad)}}")
        yield f"{digits} {bar} {line.text}".rstrip()
        for mark in here:
            indent, length = line.under(mark.span)
            text = f"{mark.sign * length} {visible(mark.text)}".rstrip()
            yield f"{pad} {bar} {' ' * indent}{style.paint(mark.role, text)}"


class _Line(NamedTuple):
    """The displayed part of a source line.

    `text` begins with an ellipsis of `lead` cells if the beginning was cut, followed by
    the characters from index `first` on; `offsets[i]` is the cell where the i-th of
    these begins. `offsets` is empty if the line is not shown and cannot have marks.
    """

    text: str
    first: int = 0
    lead: int = 0
    offsets: tuple[int, ...] = ()
    length: int = 0

    def under(self, span: Span) -> tuple[int, int]:
        """Return the start and the length, in cells, of the mark for `span`."""
        if not self.offsets:
            return 0, 1
        start = span.column - 1
        end = self.length if span.end_line > span.line else span.end_column - 1
        begin = self._cell(start)
        return self.lead + begin, max(self._cell(end) - begin, 1)

    def _cell(self, index: int) -> int:
        return self.offsets[min(max(index - self.first, 0), len(self.offsets) - 1)]


def _line(sources: Sources, file: str, number: int, *, focus: Span) -> _Line:
    line = sources.line(file, number)
    if line is None:
        return _Line(text="(source not available)")
    substitute = sources.substitute(file, number)
    if substitute is not None:
        return _Line(text=substitute)
    length = len(line.rstrip())
    start = min(max(focus.column - 1, 0), len(line))
    # Only the text near the span is measured: lines can be megabytes long.
    first = max(start - _SHOWN, 0)
    shown, offsets = _cells(line[first : start + _SHOWN])
    left, right = _window(offsets, start - first)
    lead = "…" if first + left > 0 else ""
    tail = "…" if first + right < len(line) else ""
    return _Line(
        text=lead + "".join(shown[left:right]) + tail,
        first=first + left,
        lead=len(lead),
        offsets=tuple(cell - offsets[left] for cell in offsets[left : right + 1]),
        length=length,
    )


def _window(offsets: Sequence[int], start: int) -> tuple[int, int]:
    """Return the range of characters to show.

    It begins at the start of the line, so that the indentation is visible, unless the
    span would then begin too far to the right: then it begins shortly before `start`.
    """
    count = len(offsets) - 1
    if offsets[-1] <= _SHOWN:
        return 0, count
    left = 0
    if offsets[start] > _SHOWN - _BEFORE:
        wanted = offsets[start] - _BEFORE
        left = next(i for i in range(count) if offsets[i + 1] > wanted)
    last = offsets[left] + _SHOWN
    right = next((i for i in range(left, count) if offsets[i + 1] > last), count)
    return left, right


def _cells(text: str) -> tuple[list[str], list[int]]:
    """Return each character as displayed, and the cells where they begin and end."""
    shown = []
    offsets = [0]
    for char in text:
        cell = offsets[-1]
        if char == "\t":
            piece = " " * (_TAB - cell % _TAB)
            width = len(piece)
        elif not char.isprintable():
            piece = visible(char)
            width = len(piece)
        else:
            piece, width = char, _width(char)
        shown.append(piece)
        offsets.append(cell + width)
    return shown, offsets


def _width(char: str) -> int:
    """Return the width of a printable character in cells (Unicode Annex 11)."""
    if char.isascii():
        return 1
    if unicodedata.category(char) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
