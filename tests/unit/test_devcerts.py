"""Tests of certificates for development."""

from __future__ import annotations

import os
import stat
import subprocess
from datetime import datetime, timedelta, timezone

import pytest
from cryptography import x509
from support.certificates import key_text, make_certificates, make_specimens

from grpcsecure.devcerts import (
    DevFile,
    make_files,
    parse_client,
    parse_server,
    write_files,
)

NOW = datetime.now(timezone.utc)


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory):
    """A directory with all files, for all kinds of clients."""
    return make_certificates(
        tmp_path_factory.mktemp("dev") / "new" / "certs",
        servers=("localhost", "*.api.test", "10.0.0.7", "::1"),
        clients=(
            "spiffe:spiffe://corp.test/billing",
            "uri:https://ci.test/runner/7",
            "dns:billing.test",
            "email:ops@corp.test",
            "ip:10.0.0.8",
            "common_name:Alice",
            "organizational_unit:Ops",
        ),
        broken=True,
    )


def verify(folder, name, *options):
    """Return the output of `openssl verify` with its strictest options."""
    done = subprocess.run(
        [
            *("openssl", "verify", "-x509_strict", "-CAfile", folder / "ca.pem"),
            *(*options, folder / name),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("name", ["localhost", "x.api.test"])
def test_server_verifies_strictly_by_name(folder, name):
    """OpenSSL's strict mode accepts the server certificate for each of its names."""
    options = ("-purpose", "sslserver", "-verify_hostname", name)
    assert "server.pem: OK" in verify(folder, "server.pem", *options)


@pytest.mark.parametrize("address", ["10.0.0.7", "::1"])
def test_server_verifies_strictly_by_address(folder, address):
    """The server certificate verifies for each IP address in its SAN."""
    options = ("-purpose", "sslserver", "-verify_ip", address)
    assert "server.pem: OK" in verify(folder, "server.pem", *options)


@pytest.mark.parametrize("number", range(1, 8))
def test_clients_verify_strictly(folder, number):
    """Every kind of client verifies as a TLS client, and for no other purpose."""
    name = "client.pem" if number == 1 else f"client-{number}.pem"
    assert f"{name}: OK" in verify(folder, name, "-purpose", "sslclient")
    assert "unsuitable certificate purpose" in verify(
        folder, name, "-purpose", "sslserver"
    )


def test_authority_verifies_strictly(folder):
    """The CA itself has all extensions that a root should have."""
    assert "ca.pem: OK" in verify(folder, "ca.pem")


SHOWN = {
    "server": "DNS:localhost, DNS:*.api.test, IP Address:10.0.0.7, IP Address:0:0:0:0:0"
    ":0:0:1",
    "client": "URI:spiffe://corp.test/billing",
    "client-2": "URI:https://ci.test/runner/7",
    "client-3": "DNS:billing.test",
    "client-4": "email:ops@corp.test",
    "client-5": "IP Address:10.0.0.8",
    "client-6": "CN=Alice",
    "client-7": "OU=Ops",
}


@pytest.mark.parametrize(("name", "shown"), SHOWN.items())
def test_names_are_in_the_certificates(folder, name, shown):
    """OpenSSL shows the requested names."""
    # Without this, OpenSSL puts spaces around the signs of equality up to 3.1 only.
    command = ["openssl", "x509", "-noout", "-text", "-nameopt", "RFC2253", "-in"]
    text = subprocess.check_output([*command, folder / f"{name}.pem"], text=True)
    assert shown in text
    assert "CA:FALSE" in text
    assert "Digital Signature" in text


def test_certificates_are_short_lived(tmp_path):
    """A forgotten development certificate does no harm for long."""
    make_certificates(tmp_path, now=NOW, days=2)
    for name in ("ca", "server", "client"):
        loaded = x509.load_pem_x509_certificate((tmp_path / f"{name}.pem").read_bytes())
        assert loaded.not_valid_before_utc <= NOW - timedelta(minutes=59)
        assert abs(loaded.not_valid_after_utc - NOW - timedelta(days=2)) < timedelta(
            seconds=2
        )


def test_each_authority_has_a_unique_name(folder, tmp_path):
    """Certificates of two runs cannot be confused, in stores and in messages."""
    other = make_certificates(tmp_path)
    names = {
        x509.load_pem_x509_certificate((f / "ca.pem").read_bytes()).subject
        for f in (folder, other)
    }
    assert len(names) == 2
    assert "unable to get local issuer" in verify(other, folder / "client.pem")


def test_only_the_owner_may_read_keys(folder):
    """Keys have mode 0600 and certificates 0644."""
    modes = {
        path.suffix == ".key": stat.S_IMODE(path.stat().st_mode)
        for path in folder.rglob("*.*")
        if path.is_file()
    }
    assert modes == {True: 0o600, False: 0o644}
    assert len(list(folder.rglob("*.key"))) > 20


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_modes_do_not_depend_on_the_umask(tmp_path, umask):
    """Neither a lax nor a strict umask changes the file modes."""
    before = os.umask(umask)
    try:
        write_files(
            tmp_path, [DevFile("a.key", b"k"), DevFile("a.pem", b"c")], force=False
        )
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "a.pem").stat().st_mode) == 0o644


def contents(folder):
    """Return every file below a directory with its bytes."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_nothing_is_overwritten(tmp_path):
    """If one file exists already, none is written."""
    (tmp_path / "client.key").write_text("mine")
    with pytest.raises(FileExistsError) as caught:
        make_certificates(tmp_path)
    assert caught.value.filename == str(tmp_path / "client.key")
    assert contents(tmp_path) == {tmp_path / "client.key": b"mine"}


def test_dangling_link_is_not_followed(tmp_path):
    """A dangling symlink counts as an existing file."""
    (tmp_path / "ca.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        make_certificates(tmp_path)
    assert not (tmp_path / "elsewhere").exists()


def test_force_replaces_every_file(tmp_path):
    """Old files are replaced, symlinks become files, other files stay."""
    make_certificates(tmp_path)
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "server.key").unlink()
    (tmp_path / "server.key").symlink_to(tmp_path / "mine.txt")
    before = contents(tmp_path)
    files = make_files(servers=[], clients=[], now=NOW, days=1)
    write_files(tmp_path, files, force=True)
    after = contents(tmp_path)
    assert {path.name for path in after if after[path] != before.get(path)} == {
        "ca.pem",
        "ca.key",
        "server.pem",
        "server.key",
    }
    assert not (tmp_path / "server.key").is_symlink()
    assert after[tmp_path / "mine.txt"] == b"mine"


@pytest.mark.parametrize("force", [False, True])
def test_failure_changes_nothing(tmp_path, force):
    """If the last file cannot be written, the first ones are not written either."""
    (tmp_path / "old.pem").write_text("old")
    (tmp_path / "file").touch()
    before = contents(tmp_path)
    files = [DevFile("new.pem", b"new"), DevFile("file/x.pem", b"x")]
    if force:
        files.insert(0, DevFile("old.pem", b"changed"))
    with pytest.raises(OSError, match="file"):
        write_files(tmp_path, files, force=force)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("force", [False, True])
def test_directory_in_place_of_a_file_is_refused(tmp_path, force):
    """The error names the target, and the other files stay as they were."""
    (tmp_path / "a.pem").write_text("old")
    (tmp_path / "b.key").mkdir()
    files = [DevFile("b.key", b"b")]
    if force:
        files.insert(0, DevFile("a.pem", b"changed"))
    with pytest.raises(IsADirectoryError) as caught:
        write_files(tmp_path, files, force=force)
    assert caught.value.filename == str(tmp_path / "b.key")
    assert names(tmp_path) == {"a.pem": b"old", "b.key": None}


class CallbackFile:
    """The last file to write; reading its bytes calls a function that interferes."""

    name = "last.pem"
    mode = 0o644

    def __init__(self, callback):
        self._callback = callback

    @property
    def data(self):
        """The bytes of the file."""
        self._callback()
        return b"last"


def names(folder):
    """Return all paths in a directory, including hidden ones, with their bytes."""
    return {
        path.name: None if path.is_dir() else path.read_bytes()
        for path in folder.iterdir()
    }


def test_failure_halfway_puts_the_old_files_back(tmp_path):
    """If a file cannot be renamed, the files before it are restored."""
    (tmp_path / "a.pem").write_text("old a")
    (tmp_path / "b.pem").symlink_to("a.pem")
    staged = tmp_path / f".c.pem.{os.getpid()}.new"
    (tmp_path / "c.pem").write_text("old c")
    files = [DevFile(f"{name}.pem", b"changed") for name in ("a", "new", "b", "c")]
    with pytest.raises(FileNotFoundError) as caught:
        write_files(tmp_path, [*files, CallbackFile(staged.unlink)], force=True)
    assert caught.value.filename == str(tmp_path / "c.pem")
    assert names(tmp_path) == {"a.pem": b"old a", "b.pem": b"old a", "c.pem": b"old c"}
    assert (tmp_path / "b.pem").is_symlink()


def test_directory_that_appears_meanwhile_is_unchanged(tmp_path):
    """A directory that appears during the write is neither moved nor replaced."""
    (tmp_path / "a.pem").write_text("old")
    last = CallbackFile((tmp_path / "last.pem").mkdir)
    with pytest.raises(IsADirectoryError):
        write_files(tmp_path, [DevFile("a.pem", b"changed"), last], force=True)
    assert names(tmp_path) == {"a.pem": b"old", "last.pem": None}


def test_force_leaves_no_temporary_files(tmp_path):
    """Neither old files nor temporary ones are left."""
    for data in (b"one", b"two"):
        write_files(tmp_path, [DevFile("a.pem", data)], force=True)
        assert names(tmp_path) == {"a.pem": data}


def test_target_that_appears_meanwhile_undoes_all(tmp_path):
    """If a target appears after the check, no written file is left."""
    files = [DevFile("a.pem", b"a"), DevFile("b.pem", b"b"), DevFile("b.pem", b"again")]
    with pytest.raises(FileExistsError):
        write_files(tmp_path, files, force=False)
    assert contents(tmp_path) == {}


def test_existing_temporary_file_is_unchanged(tmp_path):
    """An existing file with a temporary name is an error; it is not removed."""
    mine = tmp_path / f".a.pem.{os.getpid()}.new"
    mine.write_text("mine")
    with pytest.raises(FileExistsError):
        write_files(tmp_path, [DevFile("a.pem", b"a")], force=False)
    assert contents(tmp_path) == {mine: b"mine"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "spiffe",
        "spiffe:",
        "spiffe:https://corp.test/x",
        "nonsense:x",
        "dns:a b",
        "dns:-a.test",
        "dns:" + "a" * 64,
        "dns:" + ".".join(["abc"] * 80),
        "dns:bücher.test",
        "email:nobody",
        "email:a b@c.test",
        "ip:10.0.0",
        "uri:no-scheme",
        "uri:https://a b",
        "common_name:" + "a" * 65,
        "common_name:" + "é" * 33,
        "common_name:a\nb",
        "organizational_unit:" + "a" * 65,
    ],
)
def test_invalid_client_name_is_refused(text):
    """A typing mistake does not issue a certificate with another name."""
    with pytest.raises(ValueError, match=r"expected|does not appear"):
        parse_client(text)


@pytest.mark.parametrize("text", ["", "a b", "http://x", "a..b", "*", "10.0.0.256:1"])
def test_invalid_server_name_is_refused(text):
    """Only DNS names and IP addresses can be dialled."""
    with pytest.raises(ValueError, match="expected"):
        parse_server(text)


@pytest.mark.parametrize(
    "text", ["spiffe:spiffe://corp.test/" + "x" * 80, "ip:fe80::1%" + "é" * 40]
)
def test_long_value_is_not_used_as_common_name(text):
    """A common name has at most 64 bytes; a longer name is only in the SAN."""
    client = parse_client(text)
    assert client.subject == "client"
    assert len(client.names) == 1


@pytest.mark.parametrize("kind", ["common_name", "organizational_unit"])
def test_longest_accepted_name_can_be_issued(kind):
    """The limit is that of the certificate: bytes, not characters."""
    client = parse_client(f"{kind}:" + "é" * 32)
    assert make_files(servers=[], clients=[client], now=NOW, days=1)


def test_repr_shows_no_key(tmp_path):
    """The reprs of a credential and of a file to write do not show the key."""
    files = make_files(servers=[], clients=[], now=NOW, days=1, broken=True)
    write_files(tmp_path, files, force=False)
    assert not any(line in repr(files) for line in key_text(tmp_path))


def test_specimens_have_the_rows_of_the_table(tmp_path):
    """Each kind of client in the table of modes exists, and a revoked one."""
    names = {path.stem for path in make_specimens(tmp_path).rglob("client*.pem")}
    assert names == {"client"} | {
        f"client-{row}"
        for row in (
            "any-eku",
            "expired",
            "intermediate",
            "issuer-no-ca",
            "no-chain",
            "no-eku",
            "no-signature",
            "not-yet-valid",
            "other-ca",
            "revoked",
            "self-signed",
            "server-eku",
            "wrong-key",
        )
    }
