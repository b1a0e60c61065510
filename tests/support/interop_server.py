"""`grpcsecure serve` as a user runs it: a separate process that notifies readiness."""

from __future__ import annotations

import json
import os
import selectors
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["serving"]

#: Seconds that a server may take to become ready, and to stop.
_PATIENCE = 60.0


@contextmanager
def serving(config: Path) -> Iterator[dict[str, str]]:
    """Serve `config` while the block runs; yield the address of each listener."""
    with (
        TemporaryDirectory() as folder,  # a unix socket's path has to be short
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified,
    ):
        notify, ready_file = Path(folder, "notify"), Path(folder, "ready.json")
        notified.bind(str(notify))
        command = [sys.executable, "-m", "grpcsecure", "-q", "serve", str(config)]
        with subprocess.Popen(
            [*command, "--ready-file", str(ready_file)],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "NOTIFY_SOCKET": str(notify)},
        ) as process:
            try:
                _await_ready(process, notified)
                yield json.loads(ready_file.read_text())["addresses"]
                process.terminate()
                assert process.wait(_PATIENCE) == 0
            finally:
                process.kill()


def _await_ready(process: subprocess.Popen[bytes], notified: socket.socket) -> None:
    """Wait for READY=1 (sd_notify(3)), or fail with the server's output."""
    deadline = time.monotonic() + _PATIENCE
    output = b""
    with selectors.DefaultSelector() as selector:
        selector.register(notified, selectors.EVENT_READ)
        selector.register(process.stderr, selectors.EVENT_READ)
        while events := selector.select(max(0.0, deadline - time.monotonic())):
            ready = {key.fileobj for key, _ in events}
            if notified in ready and notified.recv(4096) == b"READY=1":
                return
            if process.stderr in ready:
                chunk = os.read(process.stderr.fileno(), 65536)
                assert chunk, f"the server ended: {output.decode()}"
                output += chunk
    raise AssertionError(f"the server does not become ready: {output.decode()}")
