"""Matching of a glob against directories, none of which is skipped in silence.

`glob` takes a directory that it cannot list for an empty one: the certificates in it
would be taken for deleted.
"""

from __future__ import annotations

import fnmatch
import glob
import os
from typing import TYPE_CHECKING

from grpcsecure.descriptor_reserve import RESERVE

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["GlobWalk"]


class GlobWalk:
    """One walk along an absolute glob; `**` is `*`, and `*` matches no hidden file.

    Attributes:
        found: the paths that match.
        listed: the directories whose names were matched, and whether against the last
            part of the glob.
        unlisted: those of them that cannot be listed, or that the glob names without
            wildcards and that are missing.
    """

    def __init__(self, pattern: str) -> None:
        self.listed: list[tuple[str, bool]] = []
        self.unlisted: list[str] = []
        parts = pattern.split("/")[1:]
        wild = [number for number, part in enumerate(parts) if glob.has_magic(part)]
        here = ["/"]
        for number, part in enumerate(parts):
            if number not in wild:
                here = [os.path.join(directory, part) for directory in here]
                continue
            is_literal = number == wild[0]
            if not is_literal:
                here = [path for path in here if os.path.lexists(path)]
            parent = "/" + "/".join(parts[:number])
            is_last = number == len(parts) - 1
            self.listed += [(each, is_last) for each in here or [parent]]
            here = [
                os.path.join(directory, name)
                for directory in here
                for name in self._names(directory, part, is_literal=is_literal)
            ]
        self.found = [path for path in here if os.path.lexists(path)]

    def _names(self, directory: str, part: str, *, is_literal: bool) -> Iterator[str]:
        try:
            names = RESERVE.call(lambda: os.listdir(directory))
        except NotADirectoryError:
            return
        except FileNotFoundError:
            # A directory that wildcards found may be a dangling link: skip that.
            if is_literal:
                self.unlisted.append(directory)
            return
        except OSError:
            self.unlisted.append(directory)
            return
        for name in fnmatch.filter(names, part):
            if not name.startswith(".") or part.startswith("."):
                yield name
