#!/usr/bin/env bash
# grpcio's servers do not heed grpc.keepalive_timeout_ms for a client that is silent.
#
# Expected (doc/keepalive.md of gRPC): the connection of a client that does not answer a
# keepalive ping within grpc.keepalive_timeout_ms is closed.
#
# Seen with grpcio 1.82.1 and 1.85.3: it stays open. A second option, which is not in
# channel_arg_names.h, decides: grpc.http2.ping_timeout_ms, by default a minute.
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

#: A ping after 200 ms without data, and half a second to answer it.
KEEPALIVE = [
    ("grpc.keepalive_time_ms", 200),
    ("grpc.keepalive_timeout_ms", 500),
    ("grpc.keepalive_permit_without_calls", 1),
]
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"


def is_closed(*options):
    """Whether a client that answers no ping is disconnected within five seconds."""
    server = grpc.server(futures.ThreadPoolExecutor(1), options=[*KEEPALIVE, *options])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as client:
            client.sendall(PREFACE)
            while client.recv(1000):
                pass
    except TimeoutError:
        return False
    finally:
        server.stop(0)
    return True


alone = is_closed()
both = is_closed(("grpc.http2.ping_timeout_ms", 500))
print(f"grpcio {grpc.__version__}")
print(f"with grpc.keepalive_timeout_ms alone: {'closed' if alone else 'open'}")
print(f"with grpc.http2.ping_timeout_ms too:  {'closed' if both else 'open'}")
sys.exit(alone or not both)
PYTHON

"$folder/venv/bin/python" "$folder/try.py"
