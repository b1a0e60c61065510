"""The fuzzer itself: it runs, and it notices when something is wrong."""

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
    """Run the script for a few seconds."""
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


def test_nobody_notices_a_few_seconds_of_attacks():
    """A short run finds nothing, and says with which seed."""
    with fuzzer(2) as process:
        said, _ = process.communicate(timeout=4 * PATIENCE)
    assert process.returncode == 0, said
    assert "seed test: 0 faults" in said


def test_death_of_the_bridge_is_found():
    """A bridge that dies is a fault, although another one takes its place."""
    with fuzzer(2) as process:
        line = next(line for line in process.stdout if line.startswith("bridge: "))
        os.kill(int(line.split()[-1]), signal.SIGKILL)
        said, _ = process.communicate(timeout=4 * PATIENCE)
    assert process.returncode == 1, said
    assert "the bridge died" in said
