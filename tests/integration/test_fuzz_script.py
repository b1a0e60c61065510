"""The bridge fuzzer `scripts/fuzz_bridge.py`: it runs, and it reports faults."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from support.bridge import PATIENCE

SCRIPT = Path(__file__).parents[2] / "scripts" / "fuzz_bridge.py"


@contextmanager
def fuzzer(seconds):
    """Run the fuzzer for `seconds`, as a subprocess."""
    command = [sys.executable, SCRIPT, "--seconds", seconds, "--seed", "test"]
    with subprocess.Popen(
        list(map(str, command)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_short_run_finds_no_fault():
    """A short run finds no fault, and prints the seed that it used."""
    with fuzzer(2) as process:
        output, _ = process.communicate(timeout=4 * PATIENCE)
    assert process.returncode == 0, output
    assert "seed test: 0 faults" in output


def test_death_of_the_bridge_is_found():
    """A bridge that dies is reported as a fault, although it is restarted."""
    with fuzzer(2) as process:
        line = next(line for line in process.stdout if line.startswith("bridge: "))
        os.kill(int(line.split()[-1]), signal.SIGKILL)
        output, _ = process.communicate(timeout=4 * PATIENCE)
    assert process.returncode == 1, output
    assert "the bridge died" in output
