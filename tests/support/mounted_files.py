"""Files that are mounted and swapped as Kubernetes does it."""

from __future__ import annotations

import shutil
from itertools import count

__all__ = ["Volume", "overwrite", "rename_over", "replace_link"]

_NUMBERS = count()


class Volume:
    """A mounted Secret or ConfigMap, as kubelet's AtomicWriter makes it.

    Each top-level name is a link through `..data` to a folder that is replaced as a
    whole.
    """

    def __init__(self, folder, contents):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.swap(contents)
        for top in {name.partition("/")[0] for name in contents}:
            (folder / top).symlink_to(f"..data/{top}")

    def swap(self, contents):
        """Replace the contents of all files of the volume atomically."""
        data = self.folder / "..data"
        before = data.resolve() if data.is_symlink() else None
        fresh = self.folder / f"..2026_11_25_{next(_NUMBERS)}"
        for name, text in contents.items():
            path = fresh / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        replace_link(data, fresh.name)
        if before is not None:
            shutil.rmtree(before)


def replace_link(link, target):
    """Replace the target of a link atomically."""
    fresh = link.with_name(f"{link.name}_tmp")
    fresh.symlink_to(target)
    fresh.rename(link)


def rename_over(path, text):
    """Replace a file atomically: write a new one and rename it."""
    fresh = path.with_name(f".{path.name}.tmp")
    fresh.write_text(text)
    fresh.rename(path)


def overwrite(path, text):
    """Replace the contents of a file by as many characters, without emptying it.

    `Path.write_text` empties it; a process that is stopped then leaves a change that a
    watcher tries.
    """
    with path.open("r+") as stream:
        stream.write(text)
