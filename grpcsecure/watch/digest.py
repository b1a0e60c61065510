"""The set of files that a running server depends on, and a digest of their contents.

Only the digest decides whether anything changed; modification times and events do not.
A missing or unreadable file is a value like any other, not an error.
"""

from __future__ import annotations

import glob
import hashlib
import os
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from grpcsecure.descriptor_reserve import RESERVE
from grpcsecure.watch.glob_walk import GlobWalk
from grpcsecure.watch.raw_file import UnreadableFile, read_raw

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Digest", "WatchSet", "digest", "expand", "is_glob", "listed"]

#: The file name endings that count in a directory of certificates.
_SUFFIXES = (".pem", ".crt", ".cer")


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchSet:
    """The files to watch; all paths are absolute.

    A pattern is a file, a directory of certificates, or a glob (`expand`).
    """

    files: tuple[Path, ...] = ()
    patterns: tuple[str, ...] = ()

    def joined(self, other: WatchSet) -> WatchSet:
        """Return the union of both sets."""
        return WatchSet(
            files=tuple(dict.fromkeys(self.files + other.files)),
            patterns=tuple(dict.fromkeys(self.patterns + other.patterns)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """The content of all files of a watch set at one moment; compared with `==`."""

    watch: WatchSet
    matches: tuple[tuple[Path, ...], ...] = field(repr=False)
    states: Mapping[Path, str] = field(repr=False)

    def joined(self, other: Digest) -> Digest:
        """Return the union of both digests; for a file in both, this one's state.

        So a file that was read after this digest was taken is still compared with it.
        """
        watch = self.watch.joined(other.watch)
        matches = {**other._by_pattern(), **self._by_pattern()}
        return Digest(
            watch=watch,
            matches=tuple(matches[pattern] for pattern in watch.patterns),
            states={**other.states, **self.states},
        )

    def changed_since(self, earlier: Digest) -> tuple[Path, ...]:
        """Return the files that were added, removed or changed since then, sorted."""
        paths = sorted({*self.states, *earlier.states})
        return tuple(
            path for path in paths if self.states.get(path) != earlier.states.get(path)
        )

    def _by_pattern(self) -> dict[str, tuple[Path, ...]]:
        return dict(zip(self.watch.patterns, self.matches, strict=True))


def digest(watch: WatchSet) -> Digest:
    """Read all files of `watch`, following links; never fails.

    Callers that go on to read the files must take the digest first: a change in
    between then differs from the digest and is not lost.
    """
    matches = tuple(expand(pattern) for pattern in watch.patterns)
    paths = dict.fromkeys(chain(watch.files, *matches))
    return Digest(
        watch=watch, matches=matches, states={path: _state(path) for path in paths}
    )


def _state(path: Path) -> str:
    raw = read_raw(path)
    if isinstance(raw, UnreadableFile):
        return raw.reason
    # With mode and owner: checks depend on them, and must run again after a chmod.
    return f"{hashlib.sha256(raw.data).hexdigest()} {raw.permissions:o} {raw.owner}"


def expand(pattern: str) -> tuple[Path, ...]:
    """Return the files that an absolute path or glob stands for now, sorted.

    A directory stands for the certificates directly in it, without hidden ones; a glob
    never descends (`**` is `*`). A path without wildcards stands for itself, even if it
    is missing. So does a directory that cannot be listed, also one of a glob: reading
    it then fails, instead of its files being taken for deleted.
    """
    if os.path.isdir(pattern):
        return _certificates_in(pattern)
    if not is_glob(pattern):
        return (Path(pattern),)
    if "\0" in pattern:
        return ()
    walk = GlobWalk(pattern)
    files = (Path(path) for path in walk.found if not os.path.isdir(path))
    return tuple(sorted({*files, *map(Path, walk.unlisted)}))


def listed(pattern: str) -> Iterator[tuple[str, bool]]:
    """Yield the directories listed for a pattern, and whether they hold its files."""
    if os.path.isdir(pattern):
        yield pattern, True
    elif is_glob(pattern) and "\0" not in pattern:
        yield from GlobWalk(pattern).listed


def is_glob(pattern: str) -> bool:
    """Whether a pattern has wildcards; an existing file `a[1].pem` is not a glob."""
    return glob.has_magic(pattern) and not os.path.lexists(pattern)


def _certificates_in(directory: str) -> tuple[Path, ...]:
    try:
        return RESERVE.call(lambda: _scan(directory))
    except OSError:
        return (Path(directory),)


def _scan(directory: str) -> tuple[Path, ...]:
    with os.scandir(directory) as entries:
        return tuple(sorted(Path(e.path) for e in entries if _is_certificate(e)))


def _is_certificate(entry: os.DirEntry[str]) -> bool:
    name = entry.name
    if name.startswith(".") or not name.lower().endswith(_SUFFIXES):
        return False
    if entry.is_symlink():
        return not os.path.isdir(entry.path)
    return not entry.is_dir()
