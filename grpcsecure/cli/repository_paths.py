"""Paths relative to the repository, as code hosts need them in annotations.

A job may run in a folder of the repository (`working-directory` in GitHub Actions), but
GitHub and code scanning place a finding by its path from the repository's top.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from grpcsecure.config.source import STDIN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from grpcsecure.diagnostics.findings import Finding, Report, Span

__all__ = ["relative_to_repository"]

#: The folder that GitHub Actions checks out into, also in a container.
_WORKSPACE = "GITHUB_WORKSPACE"


def relative_to_repository(report: Report, environ: Mapping[str, str]) -> Report:
    """Return the report with the names of files relative to their repository.

    That is the git repository of a file, or `$GITHUB_WORKSPACE` where the checkout has
    no `.git`. The name of a file outside both stays.
    """
    workspace = environ.get(_WORKSPACE)
    names: dict[str, str] = {}

    def rename(name: str) -> str:
        if name not in names:
            names[name] = _relative(name, Path(workspace) if workspace else None)
        return names[name]

    return _renamed(report, rename)


def _relative(name: str, workspace: Path | None) -> str:
    if name == STDIN:
        return name
    try:
        # The file itself may be a link, and is in the repository as one.
        folder = Path(name).absolute().parent.resolve()
        top = _find_top(folder, workspace.resolve() if workspace else None)
    except (OSError, RuntimeError, ValueError):  # no such folder, a loop, a NUL
        return name
    if top is None:
        return name
    return (folder / Path(name).name).relative_to(top).as_posix()


def _find_top(folder: Path, workspace: Path | None) -> Path | None:
    """Return the top of the repository of a folder; at most the workspace."""
    for parent in (folder, *folder.parents):
        if _has_git(parent) or parent == workspace:
            return parent
    return None


def _has_git(folder: Path) -> bool:
    """Whether a folder is a git working tree; `.git` is a file in a linked one."""
    git = folder / ".git"
    return git.is_file() or (git / "HEAD").is_file()


def _renamed(report: Report, rename: Callable[[str], str]) -> Report:
    def place(span: Span) -> Span:
        return span._replace(file=rename(span.file))

    def finding(one: Finding) -> Finding:
        return replace(
            one,
            span=None if one.span is None else place(one.span),
            secondary=tuple(
                label._replace(span=place(label.span)) for label in one.secondary
            ),
        )

    return replace(
        report,
        subject=rename(report.subject),
        findings=tuple(map(finding, report.findings)),
        sources={rename(file): text for file, text in report.sources.items()},
        argument_lines={
            rename(file): lines for file, lines in report.argument_lines.items()
        },
        cases=tuple(case._replace(span=place(case.span)) for case in report.cases),
    )
