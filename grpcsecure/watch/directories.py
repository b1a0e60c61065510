"""The directories to watch for changes of a file: every one on the way to it.

Opening a file looks up one name after another and follows every symbolic link. A change
that makes the same path lead to other bytes touches one of those names (`..data` of a
Kubernetes volume, a link to a link, a renamed parent). So every directory on the way is
watched for its names.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from grpcsecure.watch.digest import expand, listed

if TYPE_CHECKING:
    from grpcsecure.watch.digest import WatchSet

__all__ = ["Interest", "directories"]

#: The number of symbolic links that Linux follows in one path.
_MAX_LINKS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Interest:
    """The names to watch in a directory; None means all of them.

    With `contents`, writes to the files matter as well; without, only that a name
    appears, disappears or is replaced.
    """

    names: frozenset[str] | None
    contents: bool

    def joined(self, other: Interest) -> Interest:
        """Return the union of both interests."""
        names = None
        if self.names is not None and other.names is not None:
            names = self.names | other.names
        return Interest(names=names, contents=self.contents or other.contents)


def directories(watch: WatchSet) -> dict[Path, Interest]:
    """Return every real directory where a change of `watch` can be seen; never fails.

    For a path that does not exist, the last directory is the one in which the missing
    name would appear.
    """
    survey = _Survey()
    for path in watch.files:
        survey.follow(str(path))
    for pattern in watch.patterns:
        for directory, contents in listed(pattern):
            survey.list(directory, contents=contents)
        for path in expand(pattern):
            survey.follow(str(path))
    return survey.result()


class _Survey:
    """Collects the lookups of many paths, and walks to each parent only once."""

    def __init__(self) -> None:
        self._names: dict[str, set[str]] = {}
        self._listed: set[str] = set()
        self._contents: set[str] = set()
        self._reached: dict[str, str | None] = {"": "/"}

    def follow(self, path: str) -> None:
        """Record all lookups of an absolute path."""
        parent, _, name = path.rpartition("/")
        if parent not in self._reached:
            self._reached[parent] = self._walk("/", parent)
        here = self._reached[parent]
        if here is not None:
            self._walk(here, name)

    def list(self, path: str, *, contents: bool) -> None:
        """Record the lookups of a directory, and that all of its names matter."""
        reached = self._walk("/", path)
        if reached is not None:
            self._names.setdefault(reached, set())
            self._listed.add(reached)
            if contents:
                self._contents.add(reached)

    def result(self) -> dict[Path, Interest]:
        return {
            Path(directory): Interest(
                names=None if directory in self._listed else frozenset(names),
                contents=directory in self._contents,
            )
            for directory, names in self._names.items()
        }

    def _walk(self, here: str, path: str) -> str | None:
        """Look up names as the kernel does; return the real directory of the last."""
        ahead = path.split("/")[::-1]
        links = 0
        while ahead:
            name = ahead.pop()
            if name in ("", "."):
                continue
            if name == "..":
                here = os.path.dirname(here)
                continue
            entry = os.path.join(here, name)
            target, kind = _link_and_type(entry)
            self._names.setdefault(here, set()).add(name)
            if kind == stat.S_IFDIR:
                here = entry
            elif kind == stat.S_IFLNK and links < _MAX_LINKS:
                links += 1
                here = "/" if target.startswith("/") else here
                ahead += target.split("/")[::-1]
            else:
                if kind == stat.S_IFREG:
                    self._contents.add(here)
                return None
        return here


def _link_and_type(entry: str) -> tuple[str, int]:
    """Return the target, if it is a link, and the file type (0 if it is missing)."""
    try:
        kind = stat.S_IFMT(os.lstat(entry).st_mode)
        return (os.readlink(entry) if kind == stat.S_IFLNK else ""), kind
    except (OSError, ValueError):
        return "", 0
