"""Directories of sockets: what a dead server leaves is removed, and nothing else."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from grpcsecure.tls.bridge.parent import stale_directories as stale
from grpcsecure.tls.bridge.parent import upstream_directory as inner
from grpcsecure.tls.bridge.parent.upstream_directory import UpstreamDirectory

#: Makes a directory with a socket in it, says where, and waits to be killed.
_HOLDER = """if True:
    import socket, sys
    from grpcsecure.tls.bridge.parent.upstream_directory import UpstreamDirectory
    directory = UpstreamDirectory(sys.argv[1])
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(directory.socket_path(0))
    print(directory.path, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(name="holder")
def _holder(short):
    """A process that holds a directory, and the path of that."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(short)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        yield process, process.stdout.readline().strip()
        process.kill()


@pytest.fixture(name="short")
def _short(tmp_path_factory):
    """A folder with a path that is short enough for sockets."""
    return tmp_path_factory.mktemp("s")


def names(folder):
    """Return the names in a folder."""
    return sorted(path.name for path in Path(folder).iterdir())


def kill(process):
    """End a process as the kernel does when memory is short."""
    process.kill()
    process.wait()


def test_directory_of_a_dead_process_is_removed(holder, short):
    """With its sockets; the new one stays."""
    process, path = holder
    kill(process)
    assert names(path) == ["0.sock"]
    with UpstreamDirectory(str(short)) as directory:
        assert [entry.path for entry in os.scandir(short)] == [directory.path]
    assert names(short) == []


def test_directory_of_a_living_process_stays(holder, short):
    """However many servers start beside it."""
    _, path = holder
    with (
        UpstreamDirectory(str(short)) as first,
        UpstreamDirectory(str(short)) as second,
    ):
        assert {entry.path for entry in os.scandir(short)} == {
            path,
            first.path,
            second.path,
        }
    assert names(path) == ["0.sock"]


def test_directory_in_use_stays_whatever_its_name_says(holder, short):
    """In another container an id means another process: the lock says more."""
    _, path = holder
    renamed = short / "grpcsecure-4194304-1-abc"
    Path(path).rename(renamed)
    UpstreamDirectory(str(short)).close()
    assert names(renamed) == ["0.sock"]


def test_number_of_a_dead_process_that_is_used_again_is_another_one(short):
    """Start times tell them apart."""
    left = short / f"grpcsecure-{os.getpid()}-1-abc"
    left.mkdir(0o700)
    UpstreamDirectory(str(short)).close()
    assert not left.exists()


def test_own_directory_that_nobody_has_locked_yet_stays(short):
    """One that this process is about to lock is not taken for a dead one's."""
    fresh = short / f"{stale.name_prefix()}abc"
    fresh.mkdir(0o700)
    stale.remove_stale(str(short))
    assert fresh.exists()


def test_directory_that_is_removed_before_it_is_locked_is_made_anew(monkeypatch, short):
    """Another container may tidy up in just that moment."""
    removed = []

    def remove_and_claim(path):
        if not removed:
            Path(path).rmdir()
            removed.append(path)
        return stale.claim(path)

    monkeypatch.setattr(inner, "claim", remove_and_claim)
    with UpstreamDirectory(str(short)) as directory:
        assert Path(directory.path).is_dir()
        assert directory.path != removed[0]


class TestWhatIsNotOurs:
    """Nothing else in a directory that everybody may write to is touched."""

    def test_other_names(self, short):
        """Neither directories of others nor files, whatever they are called."""
        (short / "grpcsecure-x").mkdir(0o700)
        (short / "grpcsecure-4194304-1-x y").mkdir(0o700)
        (short / "grpcsecure-4194304-1-file").touch()
        before = names(short)
        UpstreamDirectory(str(short)).close()
        assert names(short) == before

    def test_links(self, short):
        """A link with such a name leads nowhere."""
        target = short / "target"
        target.mkdir(0o700)
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(target / "0.sock"))
        link = short / "grpcsecure-4194304-1-abc"
        link.symlink_to(target)
        UpstreamDirectory(str(short)).close()
        assert link.is_symlink()
        assert names(target) == ["0.sock"]

    def test_modes(self, short):
        """Others could write there: we do not make such."""
        odd = short / "grpcsecure-4194304-1-abc"
        odd.mkdir()
        odd.chmod(0o770)
        UpstreamDirectory(str(short)).close()
        assert odd.exists()

    def test_files_and_links_inside(self, short):
        """What is no socket stays, and so does the directory around it."""
        odd = short / "grpcsecure-4194304-1-abc"
        odd.mkdir(0o700)
        (odd / "file").touch()
        (odd / "link").symlink_to(odd / "file")
        UpstreamDirectory(str(short)).close()
        assert names(odd) == ["file", "link"]

    def test_other_users(self, monkeypatch, short):
        """What belongs to somebody else is theirs."""
        left = short / "grpcsecure-4194304-1-abc"
        left.mkdir(0o700)
        with monkeypatch.context() as patched:
            patched.setattr(os, "geteuid", lambda: os.getuid() + 1)
            stale.remove_stale(str(short))
        assert left.exists()
        stale.remove_stale(str(short))
        assert not left.exists()
