"""Suggestions for paths that do not exist: files beside them with similar names."""

from __future__ import annotations

import os

from grpcsecure.diagnostics.suggest import nearest

__all__ = ["find_nearby"]

#: Most names of a directory that are compared.
_MAX_NAMES = 1000


def find_nearby(name: str) -> str | None:
    """Return the path of the file that `name` most likely means, or None.

    It is in the same directory, and is written as `name` is.
    """
    folder, last = os.path.split(name)
    try:
        with os.scandir(folder or ".") as entries:
            names = sorted(one.name for one in entries if one.is_file())
    except (OSError, ValueError):
        return None
    meant = nearest(last, names[:_MAX_NAMES])
    return None if meant is None else os.path.join(folder, meant)  # noqa: PTH118 - spelled as `name` is
