"""Finds variables in spellings of other tools, which are not replaced here.

`$VAR` is of the shell, `$(VAR)` of Kubernetes, `%VAR%` of Windows, `{{ … }}` of Helm,
Jinja and Ansible. Left in the value, they would be looked for as a path or a name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from grpcsecure.diagnostics.catalog import syntax_kinds as kinds
from grpcsecure.quoting import quote

if TYPE_CHECKING:
    from grpcsecure.diagnostics.findings import Finding, Span

__all__ = ["find_foreign"]

#: A dollar within a word, as in `pa$word`, is text.
_NAME = "[A-Za-z_][A-Za-z0-9_]*"
_SHELL = re.compile(rf"(?<![\w$])\$(?:({_NAME})|\(({_NAME})\))")
_TEMPLATE = re.compile(r"(?<!\$)\{\{")
_WINDOWS = re.compile(rf"%({_NAME})%")
_BRACES = re.compile(r"(?<![${])\{([A-Z_][A-Z0-9_]*)\}")


def find_foreign(text: str, span: Span, *, is_argument: bool) -> Finding | None:
    """Return the finding about the first such variable in a value, or None.

    An argument of a servicer may be any text, so there only the shell's spelling, the
    likeliest slip, is reported, as a warning.

    Args:
        text: the value as written, before `${VAR}` is replaced.
        span: its place.
        is_argument: whether it is an argument of a servicer.
    """
    if "$" in text:
        match = _SHELL.search(text.replace("$$", "\0\0"))
        if match is not None:
            return _report(match, span, is_argument=is_argument)
    if is_argument:
        return None
    if _TEMPLATE.search(text):
        return kinds.MALFORMED_VARIABLE(
            "a template `{{ … }}` is not rendered",
            span=span,
            help="render the file first, or write a variable: `${VAR}`",
        )
    for pattern in (_WINDOWS, _BRACES):
        match = pattern.search(text)
        if match is not None:
            return _report(match, span, is_argument=False)
    return None


def _report(match: re.Match[str], span: Span, *, is_argument: bool) -> Finding:
    name = next(group for group in match.groups() if group)[:40]
    kind = kinds.UNREPLACED_VARIABLE if is_argument else kinds.MALFORMED_VARIABLE
    text = f"; `${match[0][:41]}` is that text itself" if match[0][0] == "$" else ""
    return kind(
        "an argument has a variable without braces, which is not replaced"
        if is_argument
        else f"{quote(match[0])} is not replaced",
        span=span,
        label="a variable is written with `${` and `}`",
        help=f"write `${{{name}}}`{text}",
    )
