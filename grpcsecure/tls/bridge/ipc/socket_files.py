"""Removal of unix sockets and of the private directory that holds them."""

from __future__ import annotations

import os
from contextlib import suppress

__all__ = ["remove_directory", "remove_quietly"]


def remove_quietly(path: str) -> None:
    """Remove a socket's path if it is there."""
    with suppress(OSError):
        os.unlink(path)  # noqa: PTH108 - str in, str out


def remove_directory(path: str) -> None:
    """Remove a directory of sockets, and nothing that is not a socket."""
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
