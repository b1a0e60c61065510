"""Detection of file systems that send no inotify events.

Their files are changed by another machine or process. inotify(7): "does not report
events ... on network filesystems", nor for changes made by a FUSE server or by a
hypervisor's host.
"""

from __future__ import annotations

import os
from pathlib import Path

from grpcsecure.descriptor_reserve import RESERVE

__all__ = ["eventless", "parse_mounts"]

_MOUNTS = Path("/proc/self/mountinfo")

_EVENTLESS = frozenset(
    [
        # Shared by the host of a virtual machine.
        *("9p", "drvfs", "prl_fs", "vboxsf", "virtiofs", "vmhgfs"),
        # Served by another machine.
        *("afs", "cifs", "ncpfs", "nfs", "nfs4", "smb3", "smbfs"),
        # Shared by a cluster.
        *("beegfs", "ceph", "gfs2", "gpfs", "lustre", "ocfs2"),
        # Served by a program. `fuseblk`, a local disk, sends events.
        "fuse",
    ]
)


def eventless(device: int) -> str | None:
    """Return the type of the file system on `device` (`st_dev`) if it sends no events.

    None means that it sends events, or that its type is unknown.
    """
    try:
        text = RESERVE.call(lambda: _MOUNTS.read_text(errors="surrogateescape"))
    except OSError:
        return None
    kind = parse_mounts(text).get(f"{os.major(device)}:{os.minor(device)}", "")
    return kind if kind.partition(".")[0] in _EVENTLESS else None


def parse_mounts(text: str) -> dict[str, str]:
    """Parse `/proc/self/mountinfo` (proc(5)): file system types by `major:minor`."""
    types = {}
    for line in text.splitlines():
        mount, _, source = line.partition(" - ")
        if source:
            types[mount.split()[2]] = source.split()[0]
    return types
