"""Tests of removing the socket directories of dead servers, and no others."""

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

#: Creates a directory with a socket in it, prints its path, and waits to be killed.
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
    """A process that has a directory in use, and the directory's path."""
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
    """Kill a process, as the kernel does when it runs out of memory."""
    process.kill()
    process.wait()


def test_directory_of_a_dead_process_is_removed(holder, short):
    """Its sockets are removed as well; the new directory stays."""
    process, path = holder
    kill(process)
    assert names(path) == ["0.sock"]
    with UpstreamDirectory(str(short)) as directory:
        assert [entry.path for entry in os.scandir(short)] == [directory.path]
    assert names(short) == []


def test_directory_of_a_living_process_stays(holder, short):
    """Also if several servers start beside it."""
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


def test_locked_directory_stays_even_with_the_id_of_a_dead_process(holder, short):
    """Its process may run in another container, where ids have another meaning."""
    _, path = holder
    renamed = short / "grpcsecure-4194304-1-abc"
    Path(path).rename(renamed)
    UpstreamDirectory(str(short)).close()
    assert names(renamed) == ["0.sock"]


def test_directory_of_a_dead_process_whose_id_was_reused_is_removed(short):
    """Start times distinguish processes with the same id."""
    left = short / f"grpcsecure-{os.getpid()}-1-abc"
    left.mkdir(0o700)
    UpstreamDirectory(str(short)).close()
    assert not left.exists()


def test_own_directory_that_is_not_locked_yet_stays(short):
    """This process may be about to lock it."""
    fresh = short / f"{stale.name_prefix()}abc"
    fresh.mkdir(0o700)
    stale.remove_stale(str(short))
    assert fresh.exists()


def test_directory_that_is_removed_before_it_is_locked_is_created_again(
    monkeypatch, short
):
    """A server in another container may remove it at just that moment."""
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


class TestForeignEntries:
    """Other entries of a world-writable folder are not touched."""

    def test_other_names(self, short):
        """Directories with other names stay, and files with any name."""
        (short / "grpcsecure-x").mkdir(0o700)
        (short / "grpcsecure-4194304-1-x y").mkdir(0o700)
        (short / "grpcsecure-4194304-1-file").touch()
        before = names(short)
        UpstreamDirectory(str(short)).close()
        assert names(short) == before

    def test_links(self, short):
        """A link with a matching name is not followed."""
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
        """A directory that others can write to was not created by grpcsecure."""
        odd = short / "grpcsecure-4194304-1-abc"
        odd.mkdir()
        odd.chmod(0o770)
        UpstreamDirectory(str(short)).close()
        assert odd.exists()

    def test_files_and_links_inside(self, short):
        """Entries that are not sockets stay, and so does their directory."""
        odd = short / "grpcsecure-4194304-1-abc"
        odd.mkdir(0o700)
        (odd / "file").touch()
        (odd / "link").symlink_to(odd / "file")
        UpstreamDirectory(str(short)).close()
        assert names(odd) == ["file", "link"]

    def test_other_users(self, monkeypatch, short):
        """A directory of another user stays."""
        left = short / "grpcsecure-4194304-1-abc"
        left.mkdir(0o700)
        with monkeypatch.context() as patched:
            patched.setattr(os, "geteuid", lambda: os.getuid() + 1)
            stale.remove_stale(str(short))
        assert left.exists()
        stale.remove_stale(str(short))
        assert not left.exists()
