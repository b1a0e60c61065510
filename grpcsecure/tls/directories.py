"""Where a change of a watched file can be seen: the directories on the way to it.

Opening a file looks up one name after another, through every link. Whatever makes the
same path mean other bytes touches one of those names (`..data` of a Kubernetes volume,
a link of a link, a renamed parent), so each directory is watched for its names.
"""

from __future__ import annotations

import glob
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from grpcsecure.frozen import frozen
from grpcsecure.tls.watched import expand, is_glob

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grpcsecure.tls.watched import WatchSet

__all__ = ["Interest", "directories"]

#: As many links as Linux follows in one path.
_MAX_LINKS = 40


@frozen
class Interest:
    """What matters in a directory: these names, or all of them (None).

    With `contents`, it matters what is written to them; without, only that a name
    comes, goes, or means another thing.
    """

    names: frozenset[str] | None
    contents: bool

    def joined(self, other: Interest) -> Interest:
        """Return what matters to either."""
        names = None
        if self.names is not None and other.names is not None:
            names = self.names | other.names
        return Interest(names=names, contents=self.contents or other.contents)


def directories(watch: WatchSet) -> dict[Path, Interest]:
    """Return every real directory in which a change of `watch` can show; never fails.

    Where a path leads to nothing, the last one is where the missing name would appear.
    """
    found: dict[str, Interest] = {}
    for directory, interest in _lookups_of(watch):
        before = found.get(directory)
        found[directory] = interest if before is None else before.joined(interest)
    return {Path(directory): interest for directory, interest in found.items()}


def _lookups_of(watch: WatchSet) -> Iterator[tuple[str, Interest]]:
    for path in watch.files:
        yield from _lookups(str(path))
    for pattern in watch.patterns:
        for directory, contents in _listed(pattern):
            yield from _lookups(directory)
            if os.path.isdir(directory):
                everything = Interest(names=None, contents=contents)
                yield os.path.realpath(directory), everything
        for path in expand(pattern):
            yield from _lookups(str(path))


def _listed(pattern: str) -> Iterator[tuple[str, bool]]:
    """Give the directories that are listed for a pattern; are their files its own?"""
    if os.path.isdir(pattern):
        yield pattern, True
    elif is_glob(pattern) and "\0" not in pattern:
        parts = pattern.split("/")
        for length in range(1, len(parts)):
            if glob.has_magic(parts[length]):
                parent = "/".join(parts[:length]) or "/"
                is_last = length == len(parts) - 1
                for directory in glob.glob(parent) or [parent]:
                    yield directory, is_last


def _lookups(path: str) -> Iterator[tuple[str, Interest]]:
    """Give each real directory that the kernel looks into for `path`, and the name."""
    here = "/"
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
        target, kind = _what_is(entry)
        yield here, Interest(names=frozenset({name}), contents=kind == stat.S_IFREG)
        if kind == stat.S_IFDIR:
            here = entry
        elif kind == stat.S_IFLNK and links < _MAX_LINKS:
            links += 1
            here = "/" if target.startswith("/") else here
            ahead += target.split("/")[::-1]
        else:
            return


def _what_is(entry: str) -> tuple[str, int]:
    """Return where a link leads, and the type of what is there (0: nothing)."""
    try:
        kind = stat.S_IFMT(os.lstat(entry).st_mode)
        return (os.readlink(entry) if kind == stat.S_IFLNK else ""), kind
    except (OSError, ValueError):
        return "", 0
