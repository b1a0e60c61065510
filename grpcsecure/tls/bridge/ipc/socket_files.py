"""Removal of unix sockets and of the private directory that contains them."""

from __future__ import annotations

import os
from contextlib import suppress

__all__ = ["remove_directory", "remove_quietly"]


def remove_quietly(path: str) -> None:
    """Remove the path of a socket if it exists."""
    with suppress(OSError):
        os.unlink(path)  # noqa: PTH108 - str in, str out


def remove_directory(path: str) -> None:
    """Remove a directory of sockets; keep it if it contains other files."""
    try:
        entries = [*os.scandir(path)]
    except OSError:
        return
    for entry in entries:
        if not entry.is_file(follow_symlinks=False) and not entry.is_dir(
            follow_symlinks=False
        ):
            remove_quietly(entry.path)
    with suppress(OSError):
        os.rmdir(path)  # noqa: PTH106 - str in, str out
