"""Starts the two servers that the benchmarks compare, each in a separate process.

Both print a line `ready ADDRESS` once they serve.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["RUNTIMES", "Started", "describe_machine", "environment", "make", "started"]

#: The runtimes, with the greeter that each of them serves.
RUNTIMES = {"threads": "Greeter", "asyncio": "AsyncGreeter"}

_HERE = Path(__file__).parent

_CONFIG = """\
version: 1
services:
  - servicer: plain_greeter:{servicer}
server:
  runtime: {runtime}
listeners:
  public:
    address: 127.0.0.1:0
    tls:
      certificate: certs/server.pem
      private_key: certs/server.key
      client_certificate: dont_request
"""


class Started(NamedTuple):
    """A running server; `seconds` is the time from its start to its ready line."""

    process: subprocess.Popen[str]
    address: str
    seconds: float


def describe_machine() -> str:
    """Return a description of the machine and the versions."""
    cores = len(os.sched_getaffinity(0))
    return (
        f"{cores} cores, load {os.getloadavg()[0]:.1f},"
        f" Python {platform.python_version()}, grpcio {version('grpcio')}"
    )


def environment() -> dict[str, str]:
    """Return the environment of both servers: examples importable, modules compiled.

    pip compiles the modules that it installs. With a variable that forbids bytecode the
    benchmark would measure the compiler, to the disadvantage of the larger package.
    """
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    path = os.pathsep.join([str(_HERE.parent / "examples"), str(_HERE)])
    return {**kept, "PYTHONPATH": path}


def make(folder: Path, runtime: str) -> dict[str, list[str]]:
    """Create certificates and a config in `folder`; return both commands by name."""
    certs = folder / "certs"
    if not certs.exists():
        command = [sys.executable, "-m", "grpcsecure", "-q", "certs", "dev", str(certs)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    config = folder / f"{runtime}.yaml"
    config.write_text(_CONFIG.format(servicer=RUNTIMES[runtime], runtime=runtime))
    script = str(_HERE / "handwritten.py")
    return {
        "by hand": [sys.executable, script, str(certs), runtime],
        "grpcsecure": [sys.executable, "-m", "grpcsecure", "serve", str(config)],
    }


@contextmanager
def started(command: list[str]) -> Iterator[Started]:
    """Run a server while the block runs; it is killed at the end, not drained."""
    begin = time.perf_counter()
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(),
    )
    try:
        yield Started(process, _await_ready(process), time.perf_counter() - begin)
    finally:
        process.kill()
        process.communicate()


def _await_ready(process: subprocess.Popen[str]) -> str:
    """Return the address in the ready line."""
    said = []
    for line in process.stdout or ():
        if line.startswith("ready "):
            return line.split()[1]
        said.append(line)
    raise RuntimeError(f"the server ended: {''.join(said)}")
