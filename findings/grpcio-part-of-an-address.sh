#!/usr/bin/env bash
# A grpcio server that listens on a part of the address that it was given.
#
# Expected: add_insecure_port and add_secure_port raise if the port is taken, as they do
# for 127.0.0.1.
#
# Seen with grpcio 1.82.1 and 1.85.3: if another process has 127.0.0.1:PORT,
# `localhost:PORT` is bound to ::1 alone; if another has [::1]:PORT, `0.0.0.0:PORT` and
# `[::]:PORT` are bound to IPv4 alone. The port is returned as if all had been bound, and
# clients that connect to the other address reach the other process.
#
# Ends with 1 if a release behaves in another way, with 2 if it cannot be tried.
set -euo pipefail

grpcio=${1:-1.85.3}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

python3 -m venv "$folder/venv" || exit 2
"$folder/venv/bin/pip" install --quiet "grpcio==$grpcio" || exit 2

cat >"$folder/try.py" <<'PYTHON'
import socket
import sys
from concurrent import futures

import grpc


def take(host):
    """Listen on one address of one family, on a free port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, 0), family=family)
    except OSError as error:
        print(f"{host}: {error}")
        sys.exit(2)  # no IPv6


def bind(host, port):
    """Return what gRPC says about an address, and free it again."""
    server = grpc.server(futures.ThreadPoolExecutor(1))
    try:
        answer = server.add_insecure_port(f"{host}:{port}")
    except RuntimeError:
        answer = "an error"
    server.start()
    server.stop(0).wait()
    return "the port" if answer == port else answer


failed = False
for host, taken, expected in (
    ("127.0.0.1", "127.0.0.1", "an error"),
    ("localhost", "127.0.0.1", "the port"),
    ("0.0.0.0", "::1", "the port"),
    ("[::]", "::1", "the port"),
):
    with take(taken) as other:
        answer = bind(host, other.getsockname()[1])
    print(f"grpcio {grpc.__version__}: {host}, with {taken} taken: {answer}")
    failed |= answer != expected
sys.exit(failed)
PYTHON
"$folder/venv/bin/python" "$folder/try.py" 2>/dev/null
