#!/usr/bin/env bash
# Metadata keys that a grpcio server does not pass on to Python.
#
# Expected: the handler of a call sees every metadata key that a client sent, as often as
# it was sent, but for those that HTTP/2 and the gRPC protocol use for a call.
#
# Seen with grpcio 1.82.1 and 1.85.3: gRPC core also removes keys of load balancing,
# tracing and Envoy (`grpc-trace-bin`, `x-envoy-peer-metadata`, …) without a word, and
# passes on the last value only of `x-forwarded-for`, `traceparent` and others, although
# a client may send them several times. A number loses its leading zeros.
#
# Ends with 1 if a release behaves in another way, with 2 if it cannot be tried.
set -euo pipefail

grpcio=${1:-1.85.3}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

python3 -m venv "$folder/venv" || exit 2
"$folder/venv/bin/pip" install --quiet "grpcio==$grpcio" h2==4.3.0 || exit 2

cat >"$folder/try.py" <<'PYTHON'
import socket
import sys
from concurrent import futures

import grpc
import h2.config
import h2.connection
import h2.events

#: Each with a value that is valid for it; the binary ones are base64.
REMOVED = {
    "endpoint-load-metrics-bin": "AQIDBAUGBwgJ",
    "grpc-accept-encoding": "identity",
    "grpc-encoding": "identity",
    "grpc-internal-encoding-request": "identity",
    "grpc-message": "a",
    "grpc-server-stats-bin": "AQIDBAUGBwgJ",
    "grpc-status": "0",
    "grpc-tags-bin": "AQIDBAUGBwgJ",
    "grpc-timeout": "9S",
    "grpc-trace-bin": "AQIDBAUGBwgJ",
    "lb-cost-bin": "AQIDBAUGBwgJ",
    "x-envoy-peer-metadata": "a",
}
LAST_ONLY = ("lb-token", "traceparent", "x-forwarded-for", "x-forwarded-host")
NUMBERS = ("grpc-previous-rpc-attempts", "grpc-retry-pushback-ms")
ALL = ("grpc-other", "tracestate", "x-forwarded-proto", "x-other")

seen = []


class Handler(grpc.GenericRpcHandler):
    def service(self, details):
        seen.append([(key, value) for key, value in details.invocation_metadata])


def call(port, *headers):
    seen.clear()
    config = h2.config.H2Configuration(header_encoding="utf-8")
    connection = h2.connection.H2Connection(config)
    with socket.create_connection(("127.0.0.1", port), 30) as sock:
        connection.initiate_connection()
        pseudo = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", "/a.B/C"),
            (":authority", "localhost"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
        ]
        connection.send_headers(1, [*pseudo, *headers])
        connection.send_data(1, b"\0\0\0\0\0", end_stream=True)
        sock.sendall(connection.data_to_send())
        while data := sock.recv(65536):
            events = connection.receive_data(data)
            if any(isinstance(one, h2.events.StreamEnded) for one in events):
                break
            sock.sendall(connection.data_to_send())
    return seen[0]


server = grpc.server(futures.ThreadPoolExecutor(1), handlers=[Handler()])
port = server.add_insecure_port("127.0.0.1:0")
server.start()
print("grpcio", grpc.__version__)
wrong = []
for key, value in REMOVED.items():
    got = call(port, (key, value))
    print(f"{key}: {value} -> {got}")
    wrong += [key] if got else []
for key in (*LAST_ONLY, *ALL):
    got = call(port, (key, "a"), (key, "b"))
    print(f"{key}: a, {key}: b -> {got}")
    every = [(key, "a"), (key, "b")]
    wrong += [key] if got != (every[1:] if key in LAST_ONLY else every) else []
for key in NUMBERS:
    got = call(port, (key, "007"))
    print(f"{key}: 007 -> {got}")
    wrong += [key] if got != [(key, "7")] else []
server.stop(None).wait()
if wrong:
    sys.exit(f"not as it was: {', '.join(wrong)}")
PYTHON
"$folder/venv/bin/python" "$folder/try.py"
