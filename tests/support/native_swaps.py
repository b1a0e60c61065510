"""A grpcio server that swaps its key material while it is flooded with connections.

`native_swaps.py FOLDER SWAPS` runs it, and exits with 0 if it has survived the swaps.
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))

import grpc

from grpcsecure.model.listener import TlsSettings
from grpcsecure.model.modes import ClientCertificateMode
from grpcsecure.tls.grpcio.server_credentials import NativeCredentials
from grpcsecure.tls.material import load_material

PATIENCE = 20.0
FLOODERS = 8

#: SO_LINGER of zero seconds: a close is a reset, and leaves no port in TIME_WAIT.
_RESET = struct.pack("ii", 1, 0)


def flood(port: int, server: int) -> None:
    """Open connections, one after the other, while the process `server` runs."""
    while os.getppid() == server:
        with (
            suppress(OSError),
            socket.create_connection(("127.0.0.1", port), PATIENCE) as client,
        ):
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


def serve(folder: Path, swaps: int) -> None:
    """Serve, and swap the material `swaps` times while connections flood in."""
    mode = ClientCertificateMode.REQUIRE_AND_VERIFY
    settings = TlsSettings(
        certificate=folder / "server.pem",
        private_key=folder / "server.key",
        client_certificate=mode,
        client_ca=folder / "ca.pem",
    )
    # Loaded before the flood, which may leave no descriptor for it.
    materials = [load_material(settings, generation=number) for number in range(2)]
    native = NativeCredentials(materials[0], mode)
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_secure_port("127.0.0.1:0", native.credentials)
    server.start()
    command = [sys.executable, __file__, "flood", str(port), str(os.getpid())]
    with ExitStack() as stack:
        for _ in range(FLOODERS):
            stack.callback(stack.enter_context(subprocess.Popen(command)).kill)
        pause = threading.Event()
        for number in range(swaps):
            native.replace(materials[number % 2])
            deadline = time.monotonic() + PATIENCE
            while native._served is not native._current:
                assert time.monotonic() < deadline, "no handshake took the material"
                pause.wait(0.001)
            pause.wait(0.01)  # time to serve the connections that waited meanwhile
    server.stop(0).wait()


if __name__ == "__main__":
    if sys.argv[1] == "flood":
        flood(*map(int, sys.argv[2:]))
    else:
        serve(Path(sys.argv[1]), int(sys.argv[2]))
