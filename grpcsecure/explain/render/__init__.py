"""Renderers of explanations: one pure function per format, safe for untrusted text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from grpcsecure.explain.table import Table

__all__ = ["render_table"]


def render_table(
    format: str,  # noqa: A002 - the option's name
    table: Table,
    *,
    color: bool = False,
) -> str:
    """Return the table as `text`, `json`, `markdown` or `html`."""
    if format == "json":
        from grpcsecure.explain.render.explain_json import render_table_json

        return render_table_json(table)
    if format == "markdown":
        from grpcsecure.explain.render.markdown import render_table_markdown

        return render_table_markdown(table)
    if format == "html":
        from grpcsecure.explain.render.html import render_html

        return render_html(table)
    from grpcsecure.explain.render.table_text import render_table_text

    return render_table_text(table, color=color)
