"""`grpcsecure certs dev`: the files it writes, its output, and its errors."""

from __future__ import annotations

import shlex
import stat
import subprocess
import sys

import pytest
import yaml
from support.certificates import key_text

from grpcsecure.cli.main import main
from grpcsecure.config.load import parse_config
from grpcsecure.config.source import Source
from grpcsecure.errors import ExitCode

FILES = {"ca.key", "ca.pem", "client.key", "client.pem", "server.key", "server.pem"}


@pytest.fixture(name="run")
def _run(tmp_path, monkeypatch, capfd):
    """A function that runs `certs dev` in a temporary folder.

    It returns the exit code, stdout and stderr.
    """
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        with pytest.raises(SystemExit) as caught:
            main(["certs", "dev", *arguments])
        captured = capfd.readouterr()
        return caught.value.code, captured.out, captured.err

    return run


def names(folder):
    """Return the names of the files in a folder."""
    return {path.name for path in folder.iterdir() if path.is_file()}


def test_files_are_written_and_reported(run, tmp_path):
    """The folder is created, keys have mode 0600, and stderr has one line about it.

    Stdout has the part that users paste into their config.
    """
    code, out, err = run("certs")
    assert code == ExitCode.OK
    assert names(tmp_path / "certs") == FILES
    for name in FILES:
        mode = stat.S_IMODE((tmp_path / "certs" / name).stat().st_mode)
        assert mode == (0o600 if name.endswith(".key") else 0o644)
    assert "certificate: certs/server.pem" in out
    assert err.startswith("wrote 6 files to certs")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "folder", ["certs", "my certs", "100%", "$HOME: x", 'a"b', "-x"]
)
def test_printed_config_works_as_pasted(run, tmp_path, folder):
    """For any folder name the printed lines are YAML with the paths of the files."""
    code, out, _ = run("--", folder)
    assert code == ExitCode.OK
    lines = out.partition("\n\n")[0]
    text = f"version: 1\nservices: [{{servicer: 'x:Y'}}]\nlisteners:\n{lines}\n"
    source = Source(name="x.yaml", directory=tmp_path, text=text)
    document = parse_config(source, profile=None, environ={}).document
    tls = document.config.listeners[0].tls
    assert tls.certificate == tmp_path / folder / "server.pem"
    assert tls.private_key == tmp_path / folder / "server.key"
    assert tls.client_ca == tmp_path / folder / "ca.pem"


def commands(out):
    """Return the client commands that were printed, as argument lists."""
    lines = out.partition("\n\n")[2].splitlines()
    return [shlex.split(line) for line in lines if not line.startswith("#")]


def test_printed_command_names_existing_files(run, tmp_path):
    """A command is printed for each client, with paths of files that exist."""
    _, out, _ = run("my certs", "--client", "dns:a.test", "--client", "email:b@c.test")
    first, second = commands(out)
    assert first[first.index("-cert") + 1] == "my certs/client.pem"
    assert second[second.index("-cert") + 1] == "my certs/client-2.pem"
    for command in (first, second):
        assert command[0] == "grpcurl"
        assert command[-2:] == ["localhost:8443", "list"]
        for option in ("-cacert", "-cert", "-key"):
            assert (tmp_path / command[command.index(option) + 1]).is_file()
    assert "# dns:a.test" in out


@pytest.mark.parametrize(
    ("servers", "target", "address"),
    [
        (["localhost"], ["localhost:8443"], "127.0.0.1:8443"),
        (["::1"], ["[::1]:8443"], "[::1]:8443"),
        (["api.test", "127.0.0.1"], ["127.0.0.1:8443"], "127.0.0.1:8443"),
        (["api.test"], ["-authority", "api.test", "127.0.0.1:8443"], "127.0.0.1:8443"),
    ],
)
def test_printed_command_dials_a_loopback_address(run, servers, target, address):
    """A server name that does not resolve is passed as `-authority`, not dialled.

    The printed config listens on the address that is dialled.
    """
    _, out, _ = run("certs", *(part for name in servers for part in ("--server", name)))
    (command,) = commands(out)
    assert command[-1 - len(target) : -1] == target
    assert yaml.safe_load(out.partition("\n\n")[0])["public"]["address"] == address


def test_broken_specimens_are_in_a_separate_folder(run, tmp_path):
    """The good files are the same, and `broken/` is beside them."""
    code, _, _ = run("certs", "--broken")
    assert code == ExitCode.OK
    assert names(tmp_path / "certs") == FILES
    broken = names(tmp_path / "certs" / "broken")
    assert {"client-expired.pem", "server-wrong-key.key", "ca-broken.pem"} <= broken


def test_nothing_is_overwritten_without_force(run, tmp_path):
    """A second run changes nothing and suggests --force, which replaces the files."""
    run("certs")
    before = (tmp_path / "certs/server.pem").read_bytes()
    code, out, err = run("certs")
    assert code == ExitCode.CANNOT
    assert out == ""
    assert err == (
        "error: `certs/ca.pem` exists already; nothing was written"
        " (--force replaces it)\n"
    )
    assert (tmp_path / "certs/server.pem").read_bytes() == before
    code, _, _ = run("certs", "--force")
    assert code == ExitCode.OK
    assert (tmp_path / "certs/server.pem").read_bytes() != before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--client", "billing.test"], "--client `billing.test`: expected KIND:VALUE"),
        (["--client", "dns:a b"], "--client `dns:a b`: expected a DNS name"),
        (["--server", "a b"], "--server `a b`: expected a DNS name or an IP address"),
        (["--days", "0"], "0 is not in the range"),
        (["--days", "9999"], "9999 is not in the range"),
    ],
)
def test_bad_argument_is_one_line_and_writes_nothing(run, tmp_path, arguments, words):
    """The message names the argument and the expected form."""
    code, out, err = run("certs", *arguments)
    assert code == ExitCode.CANNOT
    assert out == ""
    assert words in err
    assert "Traceback" not in err
    assert not (tmp_path / "certs").exists()


def test_folder_that_cannot_be_made_is_one_line(run, tmp_path):
    """The message names the folder and has the operating system's reason."""
    (tmp_path / "file").touch()
    code, _, err = run("file/certs")
    assert code == ExitCode.CANNOT
    assert err.startswith("error: cannot write to `file/certs`: not a directory")
    assert err.count("\n") == 1


def test_quiet_leaves_the_result(tmp_path):
    """`-q` silences stderr, not stdout; `python -m grpcsecure` runs the command."""
    done = subprocess.run(
        [sys.executable, "-m", "grpcsecure", "-q", "certs", "dev", tmp_path / "c"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert yaml.safe_load(done.stdout.partition("\n\n")[0])["public"]["tls"]


def test_no_key_is_printed(run, tmp_path):
    """Private keys go to their files and never to stdout or stderr."""
    _, out, err = run("certs", "--broken")
    assert not any(line in out + err for line in key_text(tmp_path))


def test_help_ends_with_examples_and_exit_codes(run):
    """The help of `certs dev` ends with examples and the list of exit codes."""
    code, out, _ = run("--help")
    assert code == ExitCode.OK
    assert out.index("Options:") < out.index("Examples:") < out.index("Exit codes:")
    assert out.rstrip().splitlines()[-1].strip().startswith("Exit codes: 0")
