"""As PID 1 of a container: a small init passes signals on and reaps; a child serves."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.bridge import eventually
from support.process import (
    COMMAND,
    PATIENCE,
    children,
    environment,
    pid_1,
    run,
    serving,
    starting,
    write_config,
)
from support.servers import Connection, Conversation, hello_request

GATED = "support.services:Gated"

FORKS = '''
import os
import subprocess

from helloworld.helloworld_pb2 import HelloReply
from helloworld.helloworld_pb2_grpc import GreeterServicer


class Forks(GreeterServicer):
    """Starts processes: `code N`, one that exits with N; `orphan`, one of its own."""

    def SayHello(self, request, context):
        if request.name == "orphan":
            script = "sleep 0.01 & echo $!"
        else:
            script = f"exit {request.name}"
        done = subprocess.run(["sh", "-c", script], stdout=subprocess.PIPE, check=False)
        output = done.stdout.decode().strip()
        return HelloReply(message=f"{done.returncode} {output}".strip())
'''


def status(pid):
    """Return the fields of /proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":", 1) for line in lines)


def holds(pid, number):
    """Whether a process holds a signal back, so that none is lost."""
    return bool(int(status(pid)["SigBlk"], 16) & 1 << number - 1)


def init_of(server):
    """Wait until the init holds signals back; return it, as seen from outside.

    While it waits for a signal the mask does not show that, but then it has a child.
    `unshare` holds SIGTERM for a moment too, and SIGWINCH never.
    """
    eventually(lambda: children(server.process.pid))
    init = server.child
    eventually(lambda: holds(init, signal.SIGWINCH) or children(init))
    return init


def child_of(init):
    """Wait for the only child of the init; return it, as seen from outside."""
    eventually(lambda: children(init))
    (child,) = children(init)
    return child


@pytest.fixture(name="config")
def _config(tmp_path):
    return write_config(tmp_path / "server.yaml", GATED)


@pytest.fixture(name="own_group")
def _own_group():
    """Return a prefix that runs a command as PID 1 that leads a session."""
    return [*pid_1(), "setsid"]


def test_processes_of_a_servicer(tmp_path):
    """A subprocess of a servicer keeps its exit code; an orphan of it is reaped."""
    (tmp_path / "forks.py").write_text(FORKS)
    config = write_config(tmp_path / "server.yaml", "forks:Forks")
    with (
        serving(config, prefix=pid_1(), PYTHONPATH=str(tmp_path)) as server,
        Connection(server.addresses["public"]) as connection,
    ):
        init = server.child
        for code in (0, 3, 77):
            assert connection.greeter.SayHello(hello_request(str(code))).message == (
                str(code)
            )
        for _ in range(3):
            answer = connection.greeter.SayHello(hello_request("orphan"))
            assert answer.message.startswith("0 ")
        eventually(lambda: len(children(init)) == 1, what="every orphan is reaped")
        os.kill(init, signal.SIGTERM)
        assert server.wait() == 0


def test_only_the_child_has_threads_and_sockets(config):
    """The init has one thread and no descriptors but the standard streams."""
    with serving(config, prefix=pid_1()) as server:
        init = server.child
        assert status(init)["Threads"].strip() == "1"
        opened = {entry.name for entry in Path(f"/proc/{init}/fd").iterdir()}
        assert opened == {"0", "1", "2"}
        memory = int(status(init)["VmRSS"].split()[0])
        assert memory < int(status(child_of(init))["VmRSS"].split()[0]) / 2


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGKILL, 137), (signal.SIGSEGV, 139)]
)
def test_child_that_a_signal_ends(number, code, config):
    """Death of the child by signal N is the exit code 128 + N."""
    with serving(config, prefix=pid_1()) as server:
        os.kill(child_of(server.child), number)
        assert server.wait() == code


def test_exit_code_of_the_child(tmp_path):
    """The exit code and the output are those of the command."""
    done = subprocess.run(
        [*pid_1(), *COMMAND, "validate", str(tmp_path / "missing.yaml")],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=PATIENCE,
        check=False,
    )
    direct = run("validate", tmp_path / "missing.yaml")
    assert (done.returncode, done.stdout) == (direct.returncode, direct.stdout)
    assert (done.returncode, done.stderr) == (2, direct.stderr)


@pytest.mark.parametrize("moment", ["held", "forked", "unblocked", "ready"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_no_signal_is_lost(moment, number, config):
    """From the moment that the init holds signals, one ends or drains the server."""
    with starting(config, prefix=pid_1()) as server:
        init = init_of(server)
        child = None
        if moment != "held":
            child = child_of(init)
        if moment == "unblocked":
            eventually(lambda: not holds(child, number))
        if moment == "ready":
            assert server.next_notification() == "READY=1"
        os.kill(init, number)
        assert server.wait() in ((0,) if moment == "ready" else (0, 2))
        assert "Traceback" not in server.stderr


def test_hangup_during_the_start(config):
    """SIGHUP does not end a server that starts, and reloads one that has started."""
    with starting(config, prefix=pid_1()) as server:
        init = init_of(server)
        os.kill(init, signal.SIGHUP)
        assert server.next_notification() == "READY=1"
        os.kill(init, signal.SIGHUP)
        eventually(lambda: "reload.unchanged" in server.stderr)
        os.kill(init, signal.SIGTERM)
        assert server.wait() == 0


@contextmanager
def running_call(server):
    """A call that runs until the block ends; then the server can end."""
    with Connection(server.addresses["public"]) as connection:
        talk = Conversation(connection.greeter)
        assert talk("one") == "one"
        yield
        assert talk("two") == "two"
        assert talk.end() == []


def drains_once(server):
    """Wait for the drain; whether no second signal arrived."""
    eventually(lambda: "server.draining  reason=SIGINT" in server.stderr)
    return "server.cutting" not in server.stderr


def test_signal_to_the_group(config, own_group):
    """A signal to the process group of PID 1 reaches the server once."""
    with serving(config, prefix=own_group) as server:
        init = server.child
        assert os.getpgid(init) == init
        with running_call(server):
            os.killpg(init, signal.SIGINT)
            assert drains_once(server)
        assert server.wait() == 0
        assert "server.cutting" not in server.stderr


def test_terminal(config):
    """Of a terminal, Ctrl+C reaches the server once; Ctrl+Z does not stop it."""
    ours, theirs = pty.openpty()
    script = f'exec setsid --ctty "$@" <{os.ttyname(theirs)}'
    prefix = [*pid_1(), "sh", "-c", script, "sh"]
    try:
        with serving(config, prefix=prefix) as server:
            child = child_of(server.child)
            assert os.tcgetpgrp(ours) == os.getpgid(child) != os.getpgid(server.child)
            with running_call(server):
                os.write(ours, b"\x1a")
                os.write(ours, b"\x03")
                assert drains_once(server)
            assert server.wait() == 0
            assert "server.cutting" not in server.stderr
    finally:
        os.close(ours)
        os.close(theirs)
