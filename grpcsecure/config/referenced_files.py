"""The files that the text of a config refers to: included ones, and `${file:PATH}`.

Reads each file once, and remembers what it had, so that a change since then is noticed.
Files that values of the config name (certificates, keys) are read elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from grpcsecure.config.source import read_regular_file

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FileValues", "ReferencedFile", "ReferencedFiles"]


class FileValues(Enum):
    """Which values of `${file:PATH}` are read; the others are unknown."""

    ALL = "all"
    #: All, but those of arguments of servicers may be missing: only creating a servicer
    #: needs them.
    ARGUMENTS_IF_THERE = "arguments if there"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class ReferencedFile:
    """A file as it was read: at most `limit + 1` bytes, or why it could not be."""

    path: Path
    limit: int
    content: bytes | str = field(repr=False)

    def has_changed(self) -> bool:
        """Whether the file has another content now."""
        return read_regular_file(self.path, self.limit) != self.content


class ReferencedFiles:
    """Reads the files of one config, each of them once."""

    def __init__(self, values: FileValues = FileValues.ALL) -> None:
        self.values = values
        #: The number of references to values that were not read.
        self.unread = 0
        self._read: dict[tuple[Path, int], ReferencedFile] = {}

    def read(self, path: Path, limit: int) -> bytes | str:
        """Return at most `limit + 1` bytes, or the reason why the file has none."""
        key = (path, limit)
        if key not in self._read:
            content = read_regular_file(path, limit)
            self._read[key] = ReferencedFile(path, limit, content)
        return self._read[key].content

    @property
    def files(self) -> tuple[ReferencedFile, ...]:
        """All files that were read, or could not be."""
        return tuple(self._read.values())
