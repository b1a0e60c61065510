"""Removal of socket directories that dead servers left behind.

The process that creates a directory locks it (flock(2)) until the process ends, for any
reason; the directory's name contains its id. Invariant: a directory of another user, or
one that is in use or may be, is not removed.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
from contextlib import suppress

__all__ = ["claim", "name_prefix", "remove_stale"]

#: A directory's name contains the id and the start time of the process that created it:
#: ids are reused.
_NAME = re.compile(r"grpcsecure-(\d+)-(\d+)-\w+")

#: The start time if the system does not report it, or if there is no such process.
_UNKNOWN = "0"

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def name_prefix() -> str:
    """Return the prefix of the names of this process's directories."""
    pid = os.getpid()
    return f"grpcsecure-{pid}-{_start_time(pid)}-"


def claim(path: str) -> int | None:
    """Lock a directory that was just created.

    Returns:
        A descriptor that keeps the lock until it is closed, or None if the directory
        has been removed in between, because it was not locked yet.

    Raises:
        OSError: it cannot be opened.
    """
    try:
        descriptor = os.open(path, _OPEN)
    except FileNotFoundError:
        return None
    # On a file system without locks, `remove_stale` cannot get a lock either, and
    # removes nothing.
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
    """Whether the process is alive, judging by its id and start time.

    A process of another container is not visible and counts as dead: only the lock
    protects its directory.
    """
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return started == _UNKNOWN or _start_time(pid) in (started, _UNKNOWN)


def _start_time(pid: int) -> str:
    """Return when a process started, in ticks since the system did (proc(5))."""
    try:
        # With os.open: an architecture test allows `open` only in one module.
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return _UNKNOWN
    try:
        text = os.read(descriptor, 4096)
    except OSError:  # it has ended since
        return _UNKNOWN
    finally:
        os.close(descriptor)
    # The second field, in parentheses, may contain any text; this is the 22nd field.
    return text.rpartition(b")")[2].split()[19].decode()


def _remove(path: str) -> None:
    """Remove a directory of sockets if this user owns it and no process has locked it.

    Raises:
        OSError: the directory is locked, or cannot be opened or removed.
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
