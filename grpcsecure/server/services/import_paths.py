"""The directories where the servicers of a config are searched."""

from __future__ import annotations

import os
import pkgutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from grpcsecure.diagnostics.suggest import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["add_import_paths", "describe_search", "similar_module"]

#: The entries of `sys.path` that come from configs.
_added: set[str] = set()


def add_import_paths(paths: Iterable[Path]) -> None:
    """Make `paths`, then the current directory, importable after all of `sys.path`.

    Before it, a `secrets.py` of the user would take the place of the module that the
    standard library, or a package that this one imports later, means by that name.
    """
    wanted = [*map(str, paths), os.getcwd()]  # noqa: PTH109 - a string, as sys.path has
    own = [path for path in sys.path if path not in _added]
    new = [path for path in dict.fromkeys(wanted) if path not in own]
    old = [path for path in sys.path if path in _added and path not in new]
    _added.update(new)
    sys.path[:] = [*own, *new, *old]


def similar_module(name: str) -> str:
    """Return "did you mean …?" for a module beside the missing one, or ""."""
    parent, _, last = name.rpartition(".")
    package = sys.modules.get(parent)
    paths = list(getattr(package, "__path__", ())) if parent else _own_paths()
    meant = nearest(last, sorted({one.name for one in pkgutil.iter_modules(paths)}))
    if meant is None:
        return ""
    return f"did you mean `{f'{parent}.{meant}' if parent else meant}`?"


def describe_search() -> str | None:
    """Describe the directories of the config where modules are searched."""
    shown = [
        path if Path(path).is_dir() else f"{path} (does not exist)"
        for path in _own_paths()
    ]
    return (
        f"searched after the installed packages: {', '.join(shown)}" if shown else None
    )


def _own_paths() -> list[str]:
    return [path for path in sys.path if path in _added]
