"""The finding about a file that does not exist: where it was looked for, what is meant.

A suggested path exists, and holds what is wanted there.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from grpcsecure.diagnostics.catalog import file_kinds as kinds
from grpcsecure.diagnostics.suggest import nearest
from grpcsecure.tls.files import PemFile, read_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from grpcsecure.checking.key_files.file_uses import FileUse
    from grpcsecure.diagnostics.findings import Finding

__all__ = ["report_missing"]

#: Most names of a directory that are compared.
_MAX_NAMES = 1000


def report_missing(use: FileUse, is_wanted: Callable[[PemFile], object]) -> Finding:
    """Return the finding about a file that does not exist.

    Args:
        use: the file.
        is_wanted: whether the content of another file would do in its place.
    """
    written = use.shown.strip("`")
    found = next((p for p in _candidates(use, written) if _holds(p, is_wanted)), None)
    meant = None if found is None else _spell(found, use, written)
    base = f"; relative paths start at {use.base}"
    is_relative = use.base is not None and not Path(written).is_absolute()
    advice = "name an existing file; `grpcsecure certs dev` makes some for development"
    if is_wanted is PemFile.revocation_lists:
        advice = "name the file of a revocation list; CAs publish them"
    if written.startswith("~"):
        advice = "`~` is not expanded: write `${HOME}`, or the whole path"
    return use.report(
        kinds.MISSING_FILE,
        f"{use.shown} does not exist",
        label="no such file" if meant is None else f"did you mean `{meant}`?",
        notes=[f"looked for {use.path}{base if is_relative else ''}"],
        help=advice if meant is None or written.startswith("~") else f"write `{meant}`",
    )


def _holds(path: Path, is_wanted: Callable[[PemFile], object]) -> bool:
    if not path.is_file():
        return False
    content = read_files([path])[path]
    return isinstance(content, PemFile) and bool(is_wanted(content))


def _candidates(use: FileUse, written: str) -> Iterator[Path]:
    """Yield paths that may be meant, the likeliest first."""
    path, base = use.path, use.base
    if written.startswith("~"):
        yield Path(written).expanduser()
        return
    names = _names(path.parent)
    meant = nearest(path.name, names)
    if meant is not None:
        yield path.with_name(meant)
    # The same name with another ending: `.crt` for `.pem`.
    yield from (path.with_name(one) for one in names if Path(one).stem == path.stem)
    folder = nearest(path.parent.name, _names(path.parent.parent))
    if folder is not None:
        yield path.parent.parent / folder / path.name
    if base is None:
        return
    yield Path.cwd() / written  # a path from the current directory
    parts = Path(written).parts
    yield from (base.joinpath(*parts[start:]) for start in range(1, len(parts)))
    yield from (base / one / path.name for one in _names(base))


def _names(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in os.scandir(folder))[:_MAX_NAMES]
    except (OSError, ValueError):
        return []


def _spell(path: Path, use: FileUse, written: str) -> str:
    """Return a path in the way that the other one is written."""
    if written.startswith("~"):
        return "${HOME}" + written[1:]
    if "$" in written:
        before, slash, _ = written.rpartition("/")
        return f"{before}{slash}{path.name}"
    if use.base is None or Path(written).is_absolute():
        return str(path)
    return os.path.relpath(path, use.base)
