"""Tests of reading files of key material."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest

from grpcsecure.model.peer import Certificate
from grpcsecure.tls.files import FileForm, PemFile, read_files
from grpcsecure.tls.pem import BrokenBlock
from grpcsecure.watch.raw_file import MAX_BYTES, UnreadableFile


def read(path):
    """Read one file."""
    return read_files([path])[path]


def test_certificates_and_key_of_one_file_are_found(certificates, tmp_path):
    """A certificate and its key may share a file, in either order."""
    path = tmp_path / "both.pem"
    path.write_bytes(
        (certificates / "server.key").read_bytes()
        + (certificates / "server.pem").read_bytes()
    )
    path.chmod(0o640)
    content = read(path)
    assert isinstance(content, PemFile)
    assert content.permissions == 0o640
    (certificate,) = content.certificates()
    assert isinstance(certificate, Certificate)
    assert content.key().label == "PRIVATE KEY"


def test_certificate_that_cannot_be_parsed_is_a_broken_block(tmp_path):
    """Valid base64 does not make a block a certificate."""
    path = tmp_path / "x.pem"
    path.write_text("-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n")
    assert read(path).certificates() == (
        BrokenBlock(
            line=1, label="CERTIFICATE", problem="it is not an X.509 certificate"
        ),
    )


@pytest.mark.parametrize(
    ("data", "form"),
    [
        (b"", FileForm.EMPTY),
        (b" \n\t\n", FileForm.EMPTY),
        (b"\x30\x82\x01\x00", FileForm.DER),
        (b"hello", FileForm.OTHER),
        (b"-----BEGIN X-----\n", FileForm.PEM),
    ],
)
def test_form_is_detected_from_the_bytes(tmp_path, data, form):
    """The form of a file decides which finding its operator gets."""
    (tmp_path / "x").write_bytes(data)
    assert read(tmp_path / "x").form is form


def test_missing_file_is_distinguished_from_an_unreadable_one(tmp_path):
    """A path through a file counts as missing; a loop of links as unreadable."""
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    assert read(tmp_path / "none").is_missing
    assert read(tmp_path / "file" / "x").is_missing
    assert read(tmp_path / "dangling\0").is_missing
    assert not read(tmp_path / "loop").is_missing
    assert read(tmp_path) == UnreadableFile(reason="it is a directory")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_file_without_permission_is_unreadable(tmp_path):
    """The reason is the system's error text."""
    path = tmp_path / "x"
    path.touch(0o000)
    assert read(path) == UnreadableFile(reason="permission denied")


def test_pipes_and_devices_do_not_block(tmp_path):
    """Only a regular file is read: opening a FIFO would wait for ever."""
    os.mkfifo(tmp_path / "fifo")
    assert read(tmp_path / "fifo") == UnreadableFile(reason="it is not a regular file")


def test_large_file_is_refused(tmp_path):
    """Memory is bounded for any file."""
    with (tmp_path / "x").open("wb") as stream:
        stream.truncate(MAX_BYTES + 1)
    assert read(tmp_path / "x") == UnreadableFile(reason="it is larger than 4 MiB")


def opened_in(folder):
    """Return the files of a folder that this process has open."""
    links = []
    for descriptor in Path("/proc/self/fd").iterdir():
        # Closed meanwhile: another thread's, or the one of `iterdir` itself.
        with suppress(FileNotFoundError):
            links.append(descriptor.readlink())
    return [link for link in links if link.is_relative_to(folder)]


def test_no_descriptor_is_left_open(tmp_path):
    """Reading leaks no descriptor, even when it fails."""
    paths = [tmp_path / name for name in ("small", "large", "fifo", "none")]
    paths[0].write_bytes(b"x")
    with paths[1].open("wb") as stream:
        assert opened_in(tmp_path) == [paths[1]]
        stream.truncate(MAX_BYTES + 1)
    os.mkfifo(paths[2])
    read_files([tmp_path, *paths])
    assert opened_in(tmp_path) == []


def test_repr_shows_nothing_of_a_key(certificates):
    """So the content of a key file may be logged."""
    content = read(certificates / "server.key")
    lines = (certificates / "server.key").read_text().splitlines()[1:-1]
    assert not any(line in repr((content, content.key())) for line in lines)
