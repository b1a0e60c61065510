"""The files that a running server depends on, and what is in them now.

A digest of contents is the truth about whether anything changed: times and events are
not. Judges nothing; that a file is missing or unreadable is a value like any other.
"""

from __future__ import annotations

import glob
import hashlib
import os
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from grpcsecure.watch.raw_file import UnreadableFile, read_raw

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Digest", "WatchSet", "digest", "expand", "is_glob", "listed"]

#: How the files end that count in a directory of certificates.
_SUFFIXES = (".pem", ".crt", ".cer")


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchSet:
    """What is watched; all paths are absolute.

    A pattern is a file, a directory of certificates, or a glob (`expand`).
    """

    files: tuple[Path, ...] = ()
    patterns: tuple[str, ...] = ()

    def joined(self, other: WatchSet) -> WatchSet:
        """Return what either of the two watches."""
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
        """Return the digest of what either watches; of what both do, this one's.

        So a file that was read after this digest was taken stays judged by it.
        """
        watch = self.watch.joined(other.watch)
        matches = {**other._by_pattern(), **self._by_pattern()}
        return Digest(
            watch=watch,
            matches=tuple(matches[pattern] for pattern in watch.patterns),
            states={**other.states, **self.states},
        )

    def changed_since(self, earlier: Digest) -> tuple[Path, ...]:
        """Return the files that came, went or changed since then, sorted."""
        paths = sorted({*self.states, *earlier.states})
        return tuple(
            path for path in paths if self.states.get(path) != earlier.states.get(path)
        )

    def _by_pattern(self) -> dict[str, tuple[Path, ...]]:
        return dict(zip(self.watch.patterns, self.matches, strict=True))


def digest(watch: WatchSet) -> Digest:
    """Read all files of `watch`, following links; never fails.

    Whoever goes on to read the files takes the digest first: what changes in between
    is then a difference from it, and not lost.
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
    # Mode and owner too: the checks judge them, and would judge anew after a chmod.
    return f"{hashlib.sha256(raw.data).hexdigest()} {raw.permissions:o} {raw.owner}"


def expand(pattern: str) -> tuple[Path, ...]:
    """Return the files that an absolute path or glob means now, sorted.

    A directory means the certificates right in it, hidden ones not; a glob never
    descends (`**` is `*`). A path without wildcards means itself, also while it is
    missing, and so does a directory that cannot be listed, of a glob too: whoever reads
    it finds out, and does not take what is in there for gone.
    """
    if os.path.isdir(pattern):
        return _certificates_in(pattern)
    if not is_glob(pattern):
        return (Path(pattern),)
    if "\0" in pattern:
        return ()
    found = glob.glob(pattern, recursive=False)
    files = (Path(path) for path in found if not os.path.isdir(path))
    return tuple(sorted({*files, *_unlisted(pattern)}))


def listed(pattern: str) -> Iterator[tuple[str, bool]]:
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


def _unlisted(pattern: str) -> Iterator[Path]:
    """Give what a glob would look into and cannot; `glob` passes over it in silence."""
    for directory, _ in listed(pattern):
        try:
            os.scandir(directory).close()
        except NotADirectoryError:
            continue
        except FileNotFoundError:
            # Not of what wildcards found, which may be a link to nothing.
            if pattern.startswith(f"{directory}/") and not is_glob(directory):
                yield Path(directory)
        except OSError:
            yield Path(directory)


def is_glob(pattern: str) -> bool:
    """Whether wildcards in it are meant: a file really called `a[1].pem` is itself."""
    return glob.has_magic(pattern) and not os.path.lexists(pattern)


def _certificates_in(directory: str) -> tuple[Path, ...]:
    try:
        with os.scandir(directory) as entries:
            found = [entry for entry in entries if _is_certificate(entry)]
    except OSError:
        return (Path(directory),)
    return tuple(sorted(Path(entry.path) for entry in found))


def _is_certificate(entry: os.DirEntry[str]) -> bool:
    name = entry.name
    if name.startswith(".") or not name.lower().endswith(_SUFFIXES):
        return False
    if entry.is_symlink():
        return not os.path.isdir(entry.path)
    return not entry.is_dir()
