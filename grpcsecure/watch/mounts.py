"""File systems whose changes come without events: other machines make them.

inotify(7): "does not report events ... on network filesystems", nor for what a FUSE
server or a hypervisor's host changes.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["eventless", "parse_mounts"]

_MOUNTS = Path("/proc/self/mountinfo")

_EVENTLESS = frozenset(
    [
        *("9p", "drvfs", "prl_fs", "vboxsf", "virtiofs", "vmhgfs"),  # of the host
        *("afs", "cifs", "ncpfs", "nfs", "nfs4", "smb3", "smbfs"),  # of a server
        *("beegfs", "ceph", "gfs2", "gpfs", "lustre", "ocfs2"),  # of a cluster
        "fuse",  # of a program; `fuseblk` is a disk
    ]
)


def eventless(device: int) -> str | None:
    """Return the type of the file system on `device` (`st_dev`), if it has no events.

    None means that it has, or that nothing is known of it.
    """
    try:
        text = _MOUNTS.read_text(errors="surrogateescape")
    except OSError:
        return None
    kind = parse_mounts(text).get(f"{os.major(device)}:{os.minor(device)}", "")
    return kind if kind.partition(".")[0] in _EVENTLESS else None


def parse_mounts(text: str) -> dict[str, str]:
    """Return the type of the file system by its device, as proc(5) gives both."""
    types = {}
    for line in text.splitlines():
        mount, _, source = line.partition(" - ")
        if source:
            types[mount.split()[2]] = source.split()[0]
    return types
