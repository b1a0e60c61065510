"""The command line as a process: run until it exits, or serving until a signal."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

ROOT = Path(__file__).parent.parent.parent

#: Seconds that a process may take to become ready, or to end.
PATIENCE = 60.0

COMMAND = (sys.executable, "-m", "grpcsecure")


def environment(**changes):
    """Return this environment without variables that grpcsecure or gRPC read."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("GRPCSECURE_", "NOTIFY_", "GRPC_"))
        and name not in ("NO_COLOR", "FORCE_COLOR")
    }
    return {**kept, **changes}


def pid_1():
    """Return a command that runs another one as PID 1; skip if that is not allowed."""
    command = ["unshare", "--user", "--map-root-user"]
    command += ["--pid", "--fork", "--kill-child"]
    if shutil.which("unshare") is not None:
        tried = subprocess.run([*command, "true"], capture_output=True, check=False)
        if tried.returncode == 0:
            return command
    return pytest.skip("PID namespaces cannot be created on this system")


def children(pid):
    """Return the processes that a process has started and not reaped yet."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    text = " ".join((task / "children").read_text() for task in tasks)
    return [int(child) for child in text.split()]


def run(*arguments, stdin="", cwd=None, **environ):
    """Run the command until it exits; return the result, with output as text."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment(**environ),
        timeout=PATIENCE,
        check=False,
    )


def run_program(module, *arguments):
    """Run a program of the tests, which must succeed; return its output."""
    done = subprocess.run(
        [sys.executable, module.__file__, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=280,  # before the timeout of the test, to get the output
        env=environment(),
        check=False,
    )
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    return done.stdout


def write_config(path, servicer, *, listeners=None, **server):
    """Write a config for one servicer, by default on a plaintext port."""
    config = {
        "version": 1,
        "services": [
            servicer if isinstance(servicer, dict) else {"servicer": servicer}
        ],
        "server": {
            "import_paths": [str(ROOT / "examples"), str(ROOT / "tests")],
            **server,
        },
        "listeners": listeners
        or {"public": {"address": "127.0.0.1:0", "plaintext": True}},
    }
    path.write_text(json.dumps(config, indent=2) + "\n")
    return path


class Served:
    """A running `grpcsecure serve`, with its output in files."""

    def __init__(
        self,
        folder,
        arguments,
        *,
        prefix=(),
        before=(),
        stdin="",
        cwd=None,
        program=COMMAND,
        pass_fds=(),
        **environ,
    ):
        self._folder = folder
        self.ready_file = folder / "ready.json"
        self._notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notified.bind(str(folder / "notify"))
        command = [*prefix, *program, *before, "serve", *map(str, arguments)]
        (folder / "stdin").write_text(stdin)
        with (
            (folder / "stdin").open() as given,
            (folder / "stdout").open("w") as stdout,
            (folder / "stderr").open("w") as stderr,
        ):
            self.process = subprocess.Popen(
                [*command, "--ready-file", str(self.ready_file)],
                stdin=given,
                stdout=stdout,
                stderr=stderr,
                cwd=cwd,
                pass_fds=pass_fds,
                env=environment(NOTIFY_SOCKET=str(folder / "notify"), **environ),
            )

    def close(self):
        """Kill the process if it still runs."""
        self.process.kill()
        self.process.wait(PATIENCE)
        self._notified.close()

    def next_notification(self):
        """Return the process's next notification to its service manager."""
        pid = os.pidfd_open(self.process.pid)
        try:
            ready, _, _ = select.select([self._notified, pid], [], [], PATIENCE)
        finally:
            os.close(pid)
        assert self._notified in ready, f"ended or silent: {self.stderr}"
        return self._notified.recv(4096).decode()

    @property
    def addresses(self):
        """The bound addresses, by listener, from the ready file."""
        return json.loads(self.ready_file.read_text())["addresses"]

    @property
    def stdout(self):
        """The text written to stdout so far."""
        return (self._folder / "stdout").read_text()

    @property
    def stderr(self):
        """The text written to stderr so far."""
        return (self._folder / "stderr").read_text()

    @property
    def child(self):
        """Its only child: the bridge, or the server itself behind a prefix."""
        (child,) = children(self.process.pid)
        return child

    def signal(self, number=signal.SIGTERM):
        """Send a signal."""
        self.process.send_signal(number)

    def wait(self):
        """Wait for the end; return the exit code."""
        return self.process.wait(PATIENCE)


@contextmanager
def starting(*arguments, **options):
    """Start `grpcsecure serve` with `arguments`; it is not ready yet."""
    with TemporaryDirectory() as folder:  # a unix socket's path has to be short
        served = Served(Path(folder), arguments, **options)
        try:
            yield served
        finally:
            served.close()


@contextmanager
def serving(*arguments, **options):
    """Start `grpcsecure serve` with `arguments`, and wait until it is ready."""
    with starting(*arguments, **options) as served:
        assert served.next_notification() == "READY=1"
        yield served
