"""Runs `unary_load.py` against a server, and parses its output."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from servers import environment

__all__ = ["Load", "load"]

_SCRIPT = Path(__file__).with_name("unary_load.py")


class Load(NamedTuple):
    """Result of a load: calls, calls per second, median latency in seconds."""

    calls: int
    rate: float
    latency: float


def load(
    address: str,
    ca: Path,
    shape: tuple[int, int],
    seconds: float,
    *,
    client: tuple[Path, Path] | None = None,
) -> Load:
    """Load a server with unary calls, from a separate process.

    Args:
        address: the server's address.
        ca: file of the server's CA.
        shape: connections, and streams on each.
        seconds: how long.
        client: files of the client's certificate and key.
    """
    command = [sys.executable, _SCRIPT, address, ca, *shape, seconds, *(client or ())]
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        check=True,
        env=environment(),
    )
    return Load(**json.loads(done.stdout))
