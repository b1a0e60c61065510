"""Reports as text: one function per format, all with the same signature.

A renderer is pure, never raises, whatever the strings in a finding are, and its text
can be written to any stream that knows Unicode. Colour only decorates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grpcsecure.diagnostics.model import Report

__all__ = ["FORMATS", "render"]

#: Format to renderer, which is imported when it is used. The choices of `--format`.
_RENDERERS = {
    "full": "grpcsecure.diagnostics.render.full:render_full",
    "concise": "grpcsecure.diagnostics.render.concise:render_concise",
    "json": "grpcsecure.diagnostics.render.json:render_json",
    "sarif": "grpcsecure.diagnostics.render.sarif:render_sarif",
    "github": "grpcsecure.diagnostics.render.github:render_github",
    "junit": "grpcsecure.diagnostics.render.junit:render_junit",
}

FORMATS = tuple(_RENDERERS)


def render(
    format: str,  # noqa: A002 - the option's name
    reports: Sequence[Report],
    *,
    color: bool = False,
) -> str:
    """Return `reports` in one of `FORMATS`: several reports are one output.

    Raises:
        KeyError: no such format.
    """
    from importlib import import_module

    module, _, name = _RENDERERS[format].partition(":")
    text: str = getattr(import_module(module), name)(reports, color=color)
    return text
