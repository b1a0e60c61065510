"""Tests of the detection of file systems that send no inotify events."""

from __future__ import annotations

import os

from grpcsecure.watch import mounts

TEXT = r"""36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw
40 35 0:41 / /certs rw,relatime shared:5 - nfs4 server:/certs rw,vers=4.2
41 35 0:42 / /with\040blank rw - fuse.sshfs host: rw
no line at all
"""


def test_mounts_are_known_by_device():
    """The optional fields before the dash may be missing (proc(5))."""
    assert mounts.parse_mounts(TEXT) == {
        "98:0": "ext3",
        "0:41": "nfs4",
        "0:42": "fuse.sshfs",
    }


def test_network_and_programs_send_no_events(tmp_path, monkeypatch):
    """A disk sends events; of a device that is not mounted the type is unknown."""
    path = tmp_path / "mountinfo"
    path.write_text(TEXT)
    monkeypatch.setattr(mounts, "_MOUNTS", path)
    devices = [os.makedev(0, 41), os.makedev(0, 42), os.makedev(98, 0), 7]
    assert [mounts.eventless(each) for each in devices] == [
        "nfs4",
        "fuse.sshfs",
        None,
        None,
    ]


def test_without_proc_no_type_is_known(tmp_path, monkeypatch):
    """The result is None, not an error; the files are polled anyway."""
    monkeypatch.setattr(mounts, "_MOUNTS", tmp_path / "missing")
    assert mounts.eventless(os.makedev(0, 41)) is None


def test_real_mounts_are_parsed(tmp_path):
    """The folder of this test is on one of them, and that one sends events."""
    status = tmp_path.stat().st_dev
    known = mounts.parse_mounts(mounts._MOUNTS.read_text())
    assert f"{os.major(status)}:{os.minor(status)}" in known
    assert mounts.eventless(status) is None
