"""Reading of one regular file as a whole: its bytes, mode bits and owner."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from grpcsecure.descriptor_reserve import RESERVE

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["MAX_BYTES", "RawFile", "UnreadableFile", "read_raw"]

#: The most that is read of one file. A bundle of all public CAs has a quarter of a MiB,
#: a CRL of 80,000 revoked certificates about 4 MiB.
MAX_BYTES = 4 * 1024 * 1024


class UnreadableFile(NamedTuple):
    """A file that could not be read, and why, as the end of a message."""

    reason: str
    is_missing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RawFile:
    """The content of a file, its mode bits (`0o640`) and its owner (a uid)."""

    permissions: int
    owner: int
    data: bytes = field(repr=False)


def read_raw(path: Path) -> RawFile | UnreadableFile:
    """Read a regular file whole, unless it is larger than `MAX_BYTES`."""
    try:
        # Without O_NONBLOCK, opening a FIFO waits for a writer, perhaps for ever.
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = RESERVE.call(lambda: os.open(path, flags))
        try:
            return _read_open(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        return UnreadableFile(
            reason=(error.strerror or "it cannot be read").lower(),
            is_missing=error.errno in (errno.ENOENT, errno.ENOTDIR),
        )
    except ValueError:  # a NUL in the path
        return UnreadableFile(reason="no such file or directory", is_missing=True)


def _read_open(descriptor: int) -> RawFile | UnreadableFile:
    status = os.fstat(descriptor)
    mode = status.st_mode
    if not stat.S_ISREG(mode):
        what = "a directory" if stat.S_ISDIR(mode) else "not a regular file"
        return UnreadableFile(reason=f"it is {what}")
    with os.fdopen(descriptor, "rb", closefd=False) as stream:
        data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        return UnreadableFile(reason=f"it is larger than {MAX_BYTES >> 20} MiB")
    return RawFile(permissions=stat.S_IMODE(mode), owner=status.st_uid, data=data)
