"""Resources of processes, as counted by the kernel."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Usage", "cpu_seconds", "family", "usage"]

_TICKS = os.sysconf("SC_CLK_TCK")


class Usage(NamedTuple):
    """Resources of a server's processes at one moment."""

    #: Bytes of anonymous memory (PSS). Pages of libraries do not count: their share
    #: depends on the other processes of the machine.
    memory: int
    descriptors: int
    #: Connections in the server's registry; it reserves the name of each.
    registered: int
    #: Files in the directories of the server's unix sockets.
    files: int


def family(pid: int) -> list[int]:
    """Return `pid` and all its descendants."""
    found = [pid]
    for one in found:
        for task in Path(f"/proc/{one}/task").iterdir():
            with suppress(FileNotFoundError):  # the thread has ended meanwhile
                found += map(int, (task / "children").read_text().split())
    return found


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return user and system time of the processes so far, ended threads included."""
    return sum(_ticks(pid) for pid in pids) / _TICKS


def _ticks(pid: int) -> int:
    # proc(5): utime and stime are the 14th and 15th field; the second, in
    # parentheses, may hold anything.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def usage(pids: list[int]) -> Usage:
    """Return the resources of the processes; the first one is the server."""
    bound = _bound_names(pids[0])
    paths = [Path(name).parent for name in bound if name.startswith("/")]
    return Usage(
        memory=sum(map(_memory, pids)),
        descriptors=sum(len([*Path(f"/proc/{pid}/fd").iterdir()]) for pid in pids),
        registered=sum(name.startswith("@") for name in bound),
        files=sum(len(list(path.iterdir())) for path in set(paths)),
    )


def _memory(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss_Anon:"):
            return int(line.split()[1]) * 1024
    return 0


def _bound_names(pid: int) -> list[str]:
    """Return the names of the unix sockets that `pid` has open."""
    inodes = set()
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            inodes.add(str(path.readlink()).removeprefix("socket:[").rstrip("]"))
    # Num RefCount Protocol Flags Type St Inode Path
    rows = (line.split() for line in Path("/proc/net/unix").read_text().splitlines())
    return [row[7] for row in rows if len(row) > 7 and row[6] in inodes]  # noqa: PLR2004 - named rows only
