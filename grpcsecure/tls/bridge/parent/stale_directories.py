"""Directories of sockets that dead servers left behind, told from those in use.

A directory is locked (flock(2)) by the process that made it, for as long as that lives
and however it ends; its name says who that is. Invariant: what is not ours, is in use,
or might be, stays.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
from contextlib import suppress

__all__ = ["claim", "name_prefix", "remove_stale"]

#: Who made it, by process id and start time: ids are used again.
_NAME = re.compile(r"grpcsecure-(\d+)-(\d+)-\w+")

#: The start time where the system does not tell, or there is no such process.
_UNKNOWN = "0"

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def name_prefix() -> str:
    """Return what the names of directories of this process begin with."""
    pid = os.getpid()
    return f"grpcsecure-{pid}-{_start_time(pid)}-"


def claim(path: str) -> int | None:
    """Lock a directory that was just made; return what holds the lock until it closes.

    Returns:
        A descriptor, or None if the directory has been removed in between, as one that
        nobody held.

    Raises:
        OSError: it cannot be opened.
    """
    try:
        descriptor = os.open(path, _OPEN)
    except FileNotFoundError:
        return None
    # A file system without locks has none that could be found free either.
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    with suppress(FileNotFoundError):
        if os.path.samestat(os.fstat(descriptor), os.lstat(path)):
            return descriptor
    os.close(descriptor)
    return None


def remove_stale(parent: str) -> None:
    """Remove the directories in `parent` whose processes are dead; never fails."""
    with suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            match = _NAME.fullmatch(entry.name)
            if match is not None and not _is_alive(int(match[1]), match[2]):
                with suppress(OSError):
                    _remove(entry.path)


def _is_alive(pid: int, started: str) -> bool:
    """Whether the process lives, as far as its id and start time tell.

    One of another container cannot be seen from here and counts as dead: what it holds
    is told by the lock.
    """
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return started == _UNKNOWN or _start_time(pid) in (started, _UNKNOWN)


def _start_time(pid: int) -> str:
    """Return when a process started, in ticks since the machine did (proc(5))."""
    try:
        # Through a descriptor: all files of the package are opened in one place.
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return _UNKNOWN
    try:
        text = os.read(descriptor, 4096)
    except OSError:  # it has ended since
        return _UNKNOWN
    finally:
        os.close(descriptor)
    # The second field, in parentheses, may hold anything; this is the 22nd.
    return text.rpartition(b")")[2].split()[19].decode()


def _remove(path: str) -> None:
    """Remove a directory of sockets if it is ours and nobody holds it.

    Raises:
        OSError: something of that is not so.
    """
    descriptor = os.open(path, _OPEN)
    try:
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) != stat.S_IRWXU:
            return
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for name in os.listdir(descriptor):  # noqa: PTH208 - of the one that is open
            inside = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            if stat.S_ISSOCK(inside.st_mode):
                os.unlink(name, dir_fd=descriptor)
        os.rmdir(path)  # noqa: PTH106 - str in, str out
    finally:
        os.close(descriptor)
