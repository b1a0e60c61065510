"""The audit file: whole lines after a full disk, and pipes that do not hold it up."""

from __future__ import annotations

import logging
import os
import resource
from contextlib import contextmanager

import pytest

from grpcsecure.server.rpc.audit import _Files

LINE = "x" * 100


@pytest.fixture(name="files")
def _files(caplog):
    """The writer of audit files."""
    caplog.set_level(logging.INFO, "grpcsecure.audit")
    files = _Files()
    yield files
    files.close()


@contextmanager
def full_after(size):
    """Let files grow to `size` bytes at most: a write beyond it is done in part."""
    _, hard = before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_part_of_a_line_is_taken_back(files, tmp_path):
    """After a full disk, the file has whole lines only."""
    path = tmp_path / "audit.log"
    assert files.append(path, LINE)
    with full_after(150):
        assert not files.append(path, LINE)
        assert not files.append(path, LINE)
    assert path.read_text() == f"{LINE}\n"
    assert files.append(path, LINE)
    assert path.read_text() == f"{LINE}\n" * 2


def test_part_that_stays_is_ended_first(files, tmp_path, monkeypatch):
    """If another process has written after it, the next line begins anew."""
    monkeypatch.setattr(_Files, "_take_back", lambda self, count: False)
    path = tmp_path / "audit.log"
    with full_after(50):
        assert not files.append(path, LINE)
    assert files.append(path, LINE)
    assert path.read_text() == f"{LINE[:50]}\n{LINE}\n"


def test_torn_line_of_an_earlier_process_is_ended_first(files, tmp_path):
    """A server that was killed, or an earlier version, may have left one."""
    path = tmp_path / "audit.log"
    path.write_text("torn")
    assert files.append(path, LINE)
    assert files.append(path, LINE)
    assert path.read_text() == f"torn\n{LINE}\n{LINE}\n"


class TestPipes:
    """An audit file that is a FIFO."""

    @pytest.fixture(name="pipe")
    def _pipe(self, tmp_path):
        path = tmp_path / "pipe"
        os.mkfifo(path)
        return path

    @pytest.fixture(name="reader")
    def _reader(self, pipe):
        """The descriptor of a process that reads the pipe, or does not."""
        descriptor = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        yield descriptor
        os.close(descriptor)

    def test_without_a_reader(self, files, pipe, caplog):
        """Nothing waits for one; its first line is a whole one."""
        assert not files.append(pipe, LINE)
        assert not files.append(pipe, LINE)
        [record] = caplog.records
        assert record.reason == "no process reads the pipe"
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        assert files.append(pipe, LINE)
        assert os.read(reader, 1000).decode() == f"{LINE}\n"
        os.close(reader)
        assert not files.append(pipe, LINE)

    @pytest.mark.parametrize("size", [100, 10_000])
    def test_reader_that_does_not_read(self, files, pipe, reader, caplog, size):
        """A full pipe is waited for once; all lines that are read are whole."""
        line = "y" * size
        count = 0
        while files.append(pipe, line):
            count += 1
        assert not files.append(pipe, line)
        [record] = caplog.records
        assert record.reason == "the process that reads the pipe is too slow"
        text = os.read(reader, 1 << 20)
        assert files.append(pipe, "next")
        lines = (text + os.read(reader, 1 << 20)).decode().split("\n")
        assert lines[:count] == [line] * count
        assert lines[-2:] == ["next", ""]
