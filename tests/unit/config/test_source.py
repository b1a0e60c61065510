"""Tests of reading the text of a config from all kinds of files."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.configs import brief

from grpcsecure.config import source as source_module
from grpcsecure.config.source import MAX_BYTES, Source, decode_source, read_source
from grpcsecure.diagnostics.catalog import syntax_kinds as syntax
from grpcsecure.diagnostics.catalog import tool_kinds as tool
from grpcsecure.diagnostics.findings import Finding


def test_file_is_read_with_its_name_and_directory(tmp_path):
    """The name is kept as given; the directory is absolute."""
    path = tmp_path / "a.yaml"
    path.write_text("version: 1\n")
    assert read_source(str(path)) == Source(str(path), tmp_path, "version: 1\n")


def test_relative_name_gives_an_absolute_directory(tmp_path, monkeypatch):
    """Paths in the config stay valid if the process changes its directory later."""
    (tmp_path / "a.yaml").write_text("x")
    monkeypatch.chdir(tmp_path)
    assert read_source("a.yaml") == Source("a.yaml", tmp_path, "x")


def test_directory_of_a_symlink_is_that_of_the_link(tmp_path):
    """In a Kubernetes mount, relative paths mean the files beside the symlink."""
    (tmp_path / "..data").mkdir()
    (tmp_path / "..data" / "a.yaml").write_text("x")
    (tmp_path / "a.yaml").symlink_to("..data/a.yaml")
    found = read_source(str(tmp_path / "a.yaml"))
    assert isinstance(found, Source)
    assert found.directory == tmp_path


@pytest.mark.parametrize("stdin", [b"x: 1", lambda limit: b"x: 1"[:limit]])
def test_dash_is_standard_input(stdin):
    """The base of relative paths is then the current directory."""
    assert read_source("-", stdin=stdin) == Source("<stdin>", Path.cwd(), "x: 1")


def test_byte_order_mark_is_removed(tmp_path):
    """Editors on Windows begin UTF-8 files with a byte order mark."""
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbfversion: 1")
    found = read_source(str(path))
    assert isinstance(found, Source)
    assert found.text == "version: 1"


def _refused(name: str) -> str:
    found = read_source(name)
    assert isinstance(found, Finding)
    assert found.kind is tool.UNREADABLE_CONFIG
    assert found.span is None
    return found.message.replace(name, "NAME")


def test_missing_file_is_a_finding(tmp_path):
    """A wrong name does not raise an exception."""
    name = str(tmp_path / "no.yaml")
    assert _refused(name)[-27:] == ": no such file or directory"


def test_directory_is_a_finding(tmp_path):
    """Passing the config's directory is a common mistake."""
    assert _refused(str(tmp_path)).endswith(": it is a directory")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_forbidden_file_is_a_finding(tmp_path):
    """The finding names the permissions as the reason."""
    path = tmp_path / "a.yaml"
    path.touch(mode=0)
    assert _refused(str(path)).endswith(": permission denied")


def test_name_with_a_nul_is_a_finding():
    """A NUL in a name would raise a ValueError in the system calls."""
    found = read_source("a\0b")
    assert brief([found]) == ["GS001 cannot read `a\\x00b`: no such file or directory"]


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/tty"])
def test_device_is_a_finding_and_never_read(device):
    """Reading `/dev/zero` would never end, and reading a terminal would wait."""
    reason = _refused(device)
    assert "not a regular file" in reason or "no such device" in reason


def test_socket_is_a_finding(tmp_path):
    """A socket cannot be opened as a file."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        assert _refused(str(tmp_path / "s")).startswith("cannot read ")


def test_pipe_is_read_to_its_end(tmp_path):
    """`serve <(envsubst < config.yaml)` passes the path of a pipe."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_text, args=("x" * 200_000,))
    writer.start()
    found = read_source(str(path))
    writer.join()
    assert isinstance(found, Source)
    assert found.text == "x" * 200_000


def test_silent_pipe_is_a_finding(tmp_path, monkeypatch):
    """A FIFO without a writer does not hang the command."""
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr(source_module, "PIPE_PATIENCE", 0.05)
    assert _refused(str(tmp_path / "pipe")).endswith("the pipe sent nothing for 0.05 s")


def test_endless_pipe_is_read_up_to_the_limit(tmp_path):
    """A pipe never fills more memory than the limit."""
    path = tmp_path / "pipe"
    os.mkfifo(path)

    def write() -> None:
        with contextlib.suppress(BrokenPipeError), path.open("wb", 0) as stream:
            while True:
                stream.write(b" " * 65536)

    writer = threading.Thread(target=write)
    writer.start()
    found = read_source(str(path))
    writer.join()
    assert isinstance(found, Finding)
    assert found.kind is syntax.OVERSIZED_CONFIG


def test_huge_file_is_refused_without_reading_it(tmp_path):
    """A file of 100 MiB is one finding and takes 8 MiB of memory."""
    path = tmp_path / "big.yaml"
    with path.open("wb") as stream:
        stream.truncate(100 * 1024 * 1024)
    found = read_source(str(path))
    assert isinstance(found, Finding)
    assert found.kind is syntax.OVERSIZED_CONFIG


def test_largest_file_is_read(tmp_path):
    """A file of exactly the size limit is accepted."""
    path = tmp_path / "a.yaml"
    path.write_bytes(b"#" * MAX_BYTES)
    assert isinstance(read_source(str(path)), Source)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"a: 1\nb: \xff", "2:4 GS123 `f` is not UTF-8 text"),
        ("é: ä\nö: ".encode() + b"\xe4", "2:4 GS123 `f` is not UTF-8 text"),
        (b"\xef\xbb\xbfa\xc3", "1:2 GS123 `f` is not UTF-8 text"),
        ("a: 1".encode("utf-16"), "1:1 GS123 `f` is not UTF-8 text"),
        (b"\x7fELF\x02\x80", "1:6 GS123 `f` is not UTF-8 text"),
        (b"\xed\xa0\x80", "1:1 GS123 `f` is not UTF-8 text"),
    ],
)
def test_invalid_utf8_is_a_finding_at_its_place(data, expected):
    """Line and column count characters, as in all findings."""
    found = decode_source(data, name="f", directory=Path("/"))
    assert brief([found]) == [expected]


def test_utf16_is_named():
    """The help names UTF-16 as the likely encoding."""
    found = decode_source("a: 1".encode("utf-16"), name="f", directory=Path("/"))
    assert isinstance(found, Finding)
    assert "UTF-16" in (found.help or "")


@given(st.binary(max_size=60))
def test_any_bytes_are_a_source_or_a_finding(data):
    """Reading arbitrary bytes raises nothing."""
    found = decode_source(data, name="f", directory=Path("/"))
    if isinstance(found, Source):
        assert found.text.encode() == data.removeprefix(b"\xef\xbb\xbf")


def test_text_is_in_no_repr():
    """A config may hold secrets, and reprs end up in logs."""
    assert "secret" not in repr(Source("f", Path("/"), "secret"))
