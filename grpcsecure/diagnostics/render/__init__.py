"""Renders reports as text: one function per format, all with the same signature.

A renderer is a pure function and raises for no text in a finding. Its result can be
written to any Unicode stream. Colours carry no information of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grpcsecure.diagnostics.findings import Report

__all__ = ["FORMATS", "render"]

#: The choices of `--format`, each with its renderer, which is imported on first use.
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
    """Return `reports` as one text in one of `FORMATS`.

    Raises:
        KeyError: the format does not exist.
    """
    from importlib import import_module

    module, _, name = _RENDERERS[format].partition(":")
    text: str = getattr(import_module(module), name)(reports, color=color)
    return text
