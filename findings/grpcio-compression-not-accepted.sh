#!/usr/bin/env bash
# grpcio's servers compress for clients that accept no compression.
#
# Expected (doc/compression.md of gRPC): a server does not use an algorithm that is not in
# the client's grpc-accept-encoding, and a client without this header accepts none.
#
# Seen with grpcio 1.82.1 and 1.85.3: a server with `compression=grpc.Compression.Gzip`
# (the option grpc.default_compression_algorithm) sends gzip to every client. With the
# option grpc.default_compression_level it heeds the header.
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
import struct
import sys
from concurrent import futures

import grpc

HEADERS = [
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/a.A/B"),
    (b":authority", b"localhost"),
    (b"te", b"trailers"),
    (b"content-type", b"application/grpc"),
]


def frame(kind, flags, stream, payload):
    size = struct.pack(">I", len(payload))[1:]
    return size + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def is_compressed(**settings):
    """Whether the response for a client without grpc-accept-encoding is compressed."""
    server = grpc.server(futures.ThreadPoolExecutor(1), **settings)
    handler = grpc.unary_unary_rpc_method_handler(lambda *_: b"x" * 5000)
    handlers = grpc.method_handlers_generic_handler("a.A", {"B": handler})
    server.add_generic_rpc_handlers([handlers])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    block = b"".join(
        b"\0" + bytes([len(n)]) + n + bytes([len(v)]) + v for n, v in HEADERS
    )
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b""))
        client.sendall(frame(1, 4, 1, block) + frame(0, 1, 1, bytes(5)))
        reader = client.makefile("rb")
        while True:
            head = reader.read(9)
            payload = reader.read(int.from_bytes(head[:3], "big"))
            if head[3] == 0:
                break
    server.stop(0)
    return payload[0] == 1


algorithm = is_compressed(compression=grpc.Compression.Gzip)
level = is_compressed(options=[("grpc.default_compression_level", 1)])
print(f"grpcio {grpc.__version__}, a client that accepts no compression:")
print(f"with compression=Gzip: {'compressed' if algorithm else 'not compressed'}")
print(f"with a level:          {'compressed' if level else 'not compressed'}")
sys.exit(not algorithm or level)
PYTHON

"$folder/venv/bin/python" "$folder/try.py"
