"""Notifications of `grpcsecure serve` to its service manager: reloads, the watchdog."""

from __future__ import annotations

import json
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.bridge import eventually
from support.process import serving, write_config
from support.servers import (
    Connection,
    assemble,
    custom,
    greeting_of,
    plaintext,
)
from support.services import reply

from grpcsecure.server.runtime.asyncio import LoopRuntime

STARTED = "STATUS=serving, generation 1"
RELOADING = "RELOADING=1\nMONOTONIC_USEC="


def microseconds():
    """Return the time that systemd compares."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def receive(server, wanted):
    """Return the next notification that begins with `wanted`."""
    while not (notification := server.next_notification()).startswith(wanted):
        continue
    return notification


def test_reload_that_the_manager_begins(tmp_path):
    """`Type=notify-reload`: after SIGHUP a reload begins and ends, in that order."""
    config = write_config(tmp_path / "server.yaml", "support.services:Gated")
    with serving(config) as server:
        assert server.next_notification() == STARTED
        for _ in range(2):
            sent = microseconds()
            server.signal(signal.SIGHUP)
            begun = 0
            while begun < sent:  # one of the start may have begun before
                begun = int(receive(server, RELOADING).removeprefix(RELOADING))
            assert server.next_notification() == f"READY=1\n{STARTED}, reload unchanged"
        server.signal()
        receive(server, "STOPPING=1")
        assert server.next_notification() == "STATUS=draining (SIGTERM)"
        assert server.wait() == 0


def test_reload_of_a_changed_file(tmp_path):
    """A reload that the server begins is reported too, applied or rejected."""
    config = write_config(tmp_path / "server.yaml", "support.services:Gated")
    written = json.loads(config.read_text())
    with serving(config) as server:
        config.write_text("version: 2\n")
        receive(server, RELOADING)
        receive(server, f"READY=1\n{STARTED}, reload rejected: GS")
        written["authorization"] = {"default": "deny"}
        config.write_text(json.dumps(written))
        receive(server, RELOADING)
        receive(server, "READY=1\nSTATUS=serving, generation 2, reload applied")


@pytest.mark.parametrize("servicer", ["Gated", "GatedAio"])
def test_watchdog(servicer, tmp_path):
    """`WatchdogSec`: the watchdog is fed again and again, on both runtimes."""
    config = write_config(tmp_path / "server.yaml", f"support.services:{servicer}")
    with serving(config, WATCHDOG_USEC="100000") as server:
        assert server.next_notification() == STARTED
        for _ in range(3):
            assert server.next_notification() == "WATCHDOG=1"


def test_blocked_event_loop(tmp_path):
    """The watchdog is not fed while a coroutine blocks the event loop."""
    entered, gate = threading.Event(), threading.Event()

    async def block(_request, _context):
        entered.set()
        gate.wait()
        return reply("done")

    runtime = LoopRuntime(assemble(custom(SayHello=block), listeners=[plaintext()]))
    addresses = runtime.start()
    try:
        with (
            Connection(addresses["public"]) as connection,
            ThreadPoolExecutor(1) as pool,
        ):
            assert runtime.has_pulse()
            call = pool.submit(greeting_of, connection.greeter)
            assert entered.wait(30)
            runtime.has_pulse()
            assert not runtime.has_pulse()
            gate.set()
            call.result()
            eventually(runtime.has_pulse)
    finally:
        gate.set()
        runtime.stop(0)
