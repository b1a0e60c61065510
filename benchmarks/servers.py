"""Starts the two servers that the benchmarks compare, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "certificates",
    "grpcsecure_command",
    "handwritten_command",
    "running",
    "write_config",
]

HERE = Path(__file__).parent
ROOT = HERE.parent

_ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join([str(ROOT / "examples"), str(HERE)]),
}


def certificates(folder: Path) -> Path:
    """Make development certificates below `folder`."""
    certs = folder / "certs"
    command = [sys.executable, "-m", "grpcsecure", "-q", "certs", "dev", str(certs)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return certs


def write_config(folder: Path, *, runtime: str, mtls: bool) -> Path:
    """Write a config with one listener that serves what the handwritten script does."""
    mode = (
        "require_and_verify\n      client_ca: certs/ca.pem" if mtls else "dont_request"
    )
    servicer = "AsyncGreeter" if runtime == "asyncio" else "Greeter"
    path = folder / f"{runtime}.yaml"
    path.write_text(
        f"""\
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
      client_certificate: {mode}
"""
    )
    return path


def handwritten_command(certs: Path, *, runtime: str, mtls: bool) -> list[str]:
    """Return the command that starts the plain grpcio script."""
    flags = ["--asyncio"] * (runtime == "asyncio") + ["--mtls"] * mtls
    return [sys.executable, str(HERE / "handwritten.py"), str(certs), *flags]


def grpcsecure_command(config: Path, ready_file: Path) -> list[str]:
    """Return the command that serves `config`; it writes the ready file."""
    return [
        sys.executable,
        "-m",
        "grpcsecure",
        "-q",
        "serve",
        str(config),
        "--ready-file",
        str(ready_file),
    ]


@contextmanager
def running(
    command: list[str], *, ready_line: bool
) -> Iterator[tuple[subprocess.Popen[str], float]]:
    """Run a server; yield its process and the seconds from start to its first line."""
    begin = time.perf_counter()
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=_ENVIRONMENT,
    ) as process:
        try:
            stream = process.stdout if ready_line else process.stderr
            assert stream is not None  # noqa: S101 - both are pipes
            process.first_line = stream.readline()  # type: ignore[attr-defined]
            yield process, time.perf_counter() - begin
        finally:
            process.terminate()
            process.communicate()
