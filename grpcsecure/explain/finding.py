"""The text of a finding in the catalogue."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from grpcsecure.diagnostics.render.text import Style

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grpcsecure.diagnostics.findings import Kind

__all__ = ["render_finding_text"]

_WIDTH = 80


def render_finding_text(kind: Kind, *, color: bool = False) -> str:
    """Return the long text of a finding."""
    return "\n".join(_lines(kind, Style(color=color))) + "\n"


def _lines(kind: Kind, style: Style) -> Iterator[str]:
    severity = kind.severity.value
    head = style.paint(severity, f"{severity}[{kind.code}]")
    yield f"{head} {style.paint('message', kind.name)}"
    if kind.production:
        yield "an error with `production: true`"
    for text in (kind.what, kind.why):
        yield ""
        yield from textwrap.wrap(text, _WIDTH, break_long_words=False)
    for title, example in (("wrong", kind.bad), ("right", kind.good)):
        if example:
            yield ""
            yield f"{title}:"
            yield from (f"  {line}".rstrip() for line in example.rstrip().split("\n"))
