"""What a finding means: the catalogue's text for a code or a name."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from grpcsecure.diagnostics.catalog import CATALOG
from grpcsecure.diagnostics.render.text import Style
from grpcsecure.diagnostics.suggest import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grpcsecure.diagnostics.model import Kind

__all__ = ["find_kind", "nearest_finding", "render_finding_text"]

_WIDTH = 80


def find_kind(name: str) -> Kind | None:
    """Return the finding with a code or a name, whatever its case; None without one."""
    wanted = name.casefold()
    for kind in CATALOG.values():
        if wanted in (kind.code.casefold(), kind.name.casefold()):
            return kind
    return None


def nearest_finding(name: str) -> str | None:
    """Return the code or name that was probably meant, or None."""
    codes = sorted(CATALOG)
    if name[:2].upper() == "GS" and name[2:].isascii() and name[2:].isdecimal():
        # One digit is no slip here, but another code: the nearest of its hundred.
        return min(codes, key=lambda code: _distance(code, int(name[2:][:9])))
    return nearest(name, [*(kind.name for kind in CATALOG.values()), *codes])


def _distance(code: str, number: int) -> tuple[int, int]:
    own = int(code[2:])
    return abs(own // 100 - number // 100), abs(own - number)


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
