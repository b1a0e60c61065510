"""Files as Kubernetes and its like put them there, and swap them."""

from __future__ import annotations

import shutil
from itertools import count

__all__ = ["Volume", "rename_over", "replace_link"]

_NUMBERS = count()


class Volume:
    """A mounted Secret or ConfigMap, as kubelet's AtomicWriter makes it.

    Each top-level name is a link through `..data` to a folder that is swapped whole.
    """

    def __init__(self, folder, contents):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.swap(contents)
        for top in {name.partition("/")[0] for name in contents}:
            (folder / top).symlink_to(f"..data/{top}")

    def swap(self, contents):
        """Have the names of the volume mean other bytes, all at one moment."""
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
    """Have a link lead elsewhere, at one moment."""
    fresh = link.with_name(f"{link.name}_tmp")
    fresh.symlink_to(target)
    fresh.rename(link)


def rename_over(path, text):
    """Write a file as careful programs do."""
    fresh = path.with_name(f".{path.name}.tmp")
    fresh.write_text(text)
    fresh.rename(path)
