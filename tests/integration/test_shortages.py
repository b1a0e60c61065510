"""What a system lacks is an error for the reader, and not a bug of grpcsecure."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.process import (
    COMMAND,
    PATIENCE,
    environment,
    run,
    serving,
    write_config,
)
from support.reloading import Site

#: A user that runs nothing else.
OTHER_USER = 54321

#: Forbids memory that is writable and executable, as systemd can (Linux 6.3).
FORBID = """if True:
    import ctypes, os, sys
    if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0):
        sys.exit(77)
    os.execvp(sys.argv[1], sys.argv[1:])
    """


def run_after(shell, *arguments):
    """Run the command after a line of shell; return exit code, stdout and stderr."""
    done = subprocess.run(
        ["sh", "-c", f'{shell}; exec "$@"', "sh", *COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=PATIENCE,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(name="config")
def _config(tmp_path):
    return write_config(tmp_path / "server.yaml", "support.services:Gated")


@pytest.mark.parametrize(
    ("command", "code"), [("serve", 3), ("validate", 2), ("explain --list", 2)]
)
def test_deleted_working_directory(command, code, config, tmp_path):
    """A working directory that was deleted is named."""
    folder = tmp_path / "gone"
    folder.mkdir()
    assert run_after(f"cd {folder}; rmdir {folder}", *command.split(), config) == (
        code,
        "",
        "error: the working directory has been deleted: change to another one\n",
    )


def test_few_descriptors(config):
    """Without descriptors `serve` does not start, and gRPC does not abort it."""
    assert run_after("ulimit -n 20", "serve", config) == (
        3,
        "",
        (
            "error: too many open files: the limit is 20; raise it (`ulimit -n`,"
            " `LimitNOFILE=` in a unit)\n"
        ),
    )
    assert run_after("ulimit -n 20", "validate", config)[0] == 0


def test_few_threads(config):
    """Without threads `serve` does not start, and does not wait for gRPC's."""
    other = ["setpriv", f"--reuid={OTHER_USER}", "--clear-groups"]
    if os.geteuid() != 0 or None in map(shutil.which, ("setpriv", "prlimit")):
        pytest.skip("another user is needed, who has no processes")
    probe = [*other, sys.executable, "-c", "import grpcsecure.cli.serve"]
    if subprocess.run(probe, capture_output=True, check=False).returncode != 0:
        pytest.skip("another user cannot run this Python")
    limit = f'set -- prlimit --nproc=4 {" ".join(other)} "$@"'
    assert run_after(limit, "serve", config) == (
        3,
        "",
        (
            "error: no further thread or process can be started: raise the limit"
            " (`ulimit -u`, `TasksMax=` in a unit, the pids limit of a container)\n"
        ),
    )


def test_forbidden_memory(tmp_path):
    """`MemoryDenyWriteExecute=` is named where cffi's callbacks do not work."""
    site = Site(tmp_path, "bridge")
    done = subprocess.run(
        [sys.executable, "-c", FORBID, *COMMAND, "serve", str(site.path)],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=PATIENCE,
        check=False,
    )
    if done.returncode == 77:
        pytest.skip("the kernel cannot forbid it")
    assert (done.returncode, done.stderr) == (
        3,
        (
            "error: memory that is writable and executable is forbidden here, and cffi,"
            " which pyOpenSSL uses, needs it: remove `MemoryDenyWriteExecute=` from the"
            " unit\n"
        ),
    )


def test_closed_streams(config):
    """Closed standard streams are the null device: no socket takes their numbers."""
    prefix = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]
    with serving(config, prefix=prefix) as server:
        for number in range(3):
            opened = Path(f"/proc/{server.process.pid}/fd/{number}").readlink()
            assert opened == Path(os.devnull)
        server.signal()
        assert server.wait() == 0


@pytest.mark.parametrize("command", ["validate", "explain --list", "schema"])
def test_closed_streams_of_other_commands(command, config):
    """The exit code is the same without standard streams."""
    arguments = command.split() + [config] * (command != "schema")
    assert run_after("exec <&- >&- 2>&-", *arguments) == (0, "", "")
    assert run(*arguments).returncode == 0


@pytest.mark.parametrize("command", ["validate", "explain --list", "schema"])
def test_full_disk(command, config):
    """A result that cannot be written is an error, with the reason."""
    arguments = command.split() + [config] * (command != "schema")
    code, _, stderr = run_after("exec >/dev/full", *arguments)
    assert (code, stderr.splitlines()[-1]) == (
        2,
        "error: cannot write the result: No space left on device",
    )
