"""How `grpcsecure serve` stops: a signal starts a drain, a second one cuts calls."""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path

import grpc
import pytest
from support.process import PATIENCE, pid_1, serving, starting, write_config
from support.servers import (
    Connection,
    Conversation,
    failure,
    greeting_of,
    hello_request,
)

GATED = {
    "threads": "support.services:Gated",
    "asyncio": "support.services:GatedAio",
}

CUT = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


@pytest.mark.parametrize(
    ("runtime", "number"), [("threads", signal.SIGTERM), ("asyncio", signal.SIGINT)]
)
def test_running_calls_finish_and_new_ones_are_refused(runtime, number, tmp_path):
    """A unary call and a stream outlive the signal; a new call gets UNAVAILABLE."""
    config = write_config(tmp_path / "server.yaml", GATED[runtime])
    with (
        serving(config) as server,
        Connection(server.addresses["public"]) as first,
        Connection(server.addresses["public"]) as second,
    ):
        talk = Conversation(first.greeter)
        unary = first.greeter.SayHello.future(hello_request(), timeout=PATIENCE)
        assert talk("entered") == "entered"
        server.signal(number)
        second.wait_for_drain()
        assert (
            failure(lambda: greeting_of(second.greeter))[0]
            is grpc.StatusCode.UNAVAILABLE
        )
        assert talk("still here") == "still here"
        assert talk("open") == "open"
        assert unary.result().message == "done"
        assert talk.end() == []
        assert server.wait() == 0
        assert f"server.draining  reason={number.name}  grace=30s" in server.stderr


@pytest.mark.parametrize("runtime", ["threads", "asyncio"])
def test_deadline_cuts_with_exit_4(runtime, tmp_path):
    """Calls that run longer than `shutdown_grace` are cut, and the exit code is 4.

    The handler never returns, which must not keep the process alive.
    """
    config = write_config(
        tmp_path / "server.yaml", GATED[runtime], shutdown_grace="1ms"
    )
    with (
        serving(config) as server,
        Connection(server.addresses["public"]) as client,
    ):
        talk = Conversation(client.greeter)
        stuck = client.greeter.SayHello.future(hello_request("stuck"), timeout=PATIENCE)
        assert talk("entered") == "entered"
        server.signal()
        assert failure(stuck.result)[0] in CUT
        assert server.wait() == 4
        assert "warning: server.cutting  reason=grace is over" in server.stderr


@pytest.mark.parametrize("runtime", ["threads", "asyncio"])
def test_second_signal_cuts_with_exit_4(runtime, tmp_path):
    """A second signal cuts the calls at once, without waiting for the grace period."""
    config = write_config(tmp_path / "server.yaml", GATED[runtime], shutdown_grace="1h")
    with (
        serving(config) as server,
        Connection(server.addresses["public"]) as client,
    ):
        talk = Conversation(client.greeter)
        stuck = client.greeter.SayHello.future(hello_request("stuck"), timeout=PATIENCE)
        assert talk("entered") == "entered"
        server.signal(signal.SIGTERM)
        client.wait_for_drain()
        server.signal(signal.SIGINT)
        assert failure(stuck.result)[0] in CUT
        assert server.wait() == 4
        assert "warning: server.cutting  reason=second signal" in server.stderr


@pytest.mark.parametrize("runtime", ["threads", "asyncio"])
@pytest.mark.parametrize("ends_by", ["grace is over", "second signal"])
def test_method_that_outlives_its_call_is_cut_like_a_call(runtime, ends_by, tmp_path):
    """A method that never returns is cut too, even if its call was cancelled before."""
    patient = ends_by == "second signal"
    config = write_config(
        tmp_path / "server.yaml",
        GATED["threads"],
        runtime=runtime,
        shutdown_grace="1h" if patient else "1ms",
    )
    with (
        serving(config) as server,
        Connection(server.addresses["public"]) as client,
        Connection(server.addresses["public"]) as other,
    ):
        talk = Conversation(client.greeter)
        stuck = client.greeter.SayHello.future(hello_request("stuck"), timeout=PATIENCE)
        assert talk("entered") == "entered"
        stuck.cancel()
        talk.end()
        server.signal()
        if patient:
            other.wait_for_drain()
            server.signal()
        assert server.wait() == 4
        assert f"warning: server.cutting  reason={ends_by}" in server.stderr


def test_no_grace_at_all_is_exit_0_when_idle(tmp_path):
    """An idle server with a grace period of 0 has nothing to cut and exits with 0."""
    config = write_config(
        tmp_path / "server.yaml", GATED["threads"], shutdown_grace="0s"
    )
    codes = []
    # A busy machine may take longer than the half second that an idle server gets.
    while 0 not in codes and len(codes) < 4:
        with serving(config) as server:
            server.signal()
            codes.append(server.wait())
    assert codes[-1] == 0


def test_as_pid_1(tmp_path):
    """As process 1 of a container, where signals have no default action, it drains."""
    config = write_config(tmp_path / "server.yaml", GATED["threads"])
    with serving(config, prefix=pid_1()) as server:
        os.kill(server.child, signal.SIGTERM)
        assert server.wait() == 0
        assert "server.draining  reason=SIGTERM" in server.stderr


def test_as_pid_1_while_a_module_is_imported(tmp_path):
    """A signal ends `serve` also while the user's modules are being imported."""
    (tmp_path / "slow.py").write_text("import support.services as s\ns.Hangs()\n")
    config = write_config(tmp_path / "server.yaml", "slow:Slow")
    with starting(config, prefix=pid_1(), PYTHONPATH=str(tmp_path)) as server:
        assert server.next_notification() == "STATUS=hanging"
        os.kill(server.child, signal.SIGTERM)
        assert server.wait() == 2
        assert server.stderr.strip() == "interrupted"


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "tgkill"), reason="needs the tgkill of glibc 2.30"
)
def test_signal_delivered_to_another_thread(tmp_path):
    """A signal that the kernel delivers to another thread wakes the main thread.

    That also covers a signal that arrives just before the main thread begins to wait.
    """
    config = write_config(tmp_path / "server.yaml", GATED["threads"])
    with serving(config) as server:
        pid = server.process.pid
        threads = [int(path.name) for path in Path(f"/proc/{pid}/task").iterdir()]
        other = next(thread for thread in threads if thread != pid)
        assert ctypes.CDLL(None).tgkill(pid, other, signal.SIGTERM) == 0
        assert server.wait() == 0
        assert "server.draining  reason=SIGTERM" in server.stderr
