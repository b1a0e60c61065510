#!/usr/bin/env bash
# A grpcio server ends TLS 1.3 connections of clients with long certificate chains.
#
# Expected: a client whose certificate is verified is served, whatever the size of its
# chain, up to the limit of a handshake message (100 KiB), and with TLS 1.3 as with 1.2.
#
# Seen with grpcio 1.85.3: with TLS 1.3, and from 8,433 bytes (leaf and chain, DER) up to
# some 65,250, the server completes the handshake and then closes the connection: it sends
# two session tickets, each with the whole chain, and they do not fit the buffer between
# TLS and the connection ("SSL_write failed with error SSL_ERROR_WANT_WRITE"). A longer
# chain fits no ticket: none is sent, and the client is served.
#
# Ends with 1 if a release behaves in another way, with 2 if it cannot be tried.
set -euo pipefail

grpcio=${1:-1.85.3}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

python3 -m venv "$folder/venv" || exit 2
"$folder/venv/bin/pip" install --quiet "grpcio==$grpcio" cryptography==46.0.0 || exit 2

cat >"$folder/try.py" <<'PYTHON'
import datetime
import sys
from concurrent import futures

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

NOW = datetime.datetime.now(datetime.timezone.utc)
DAY = datetime.timedelta(days=1)
KEY = ec.generate_private_key(ec.SECP256R1())
KEY_PEM = KEY.private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.NoEncryption(),
)
#: Bytes of leaf and chain, and whether TLS 1.3 serves the client.
SIZES = {8000: True, 9000: False, 60_000: False, 66_000: True, 90_000: True}


def certificate(name, *, is_ca=False, padding=0):
    title = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    root = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "root")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(title)
        .issuer_name(root)
        .public_key(KEY.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + DAY)
        .add_extension(x509.BasicConstraints(is_ca, None), critical=True)
    )
    if padding:
        oid = x509.ObjectIdentifier("1.2.3.4")
        comment = x509.UnrecognizedExtension(oid, b"\x04\0" + bytes(padding))
        builder = builder.add_extension(comment, critical=False)
    else:
        names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(KEY, hashes.SHA256())


def pem(*certificates):
    return b"".join(c.public_bytes(serialization.Encoding.PEM) for c in certificates)


def size(*certificates):
    return sum(len(c.public_bytes(serialization.Encoding.DER)) for c in certificates)


class Handler(grpc.GenericRpcHandler):
    def service(self, details):
        return grpc.unary_unary_rpc_method_handler(lambda request, context: request)


def call(port, chain):
    """Return None if a call succeeds, else the client's error."""
    credentials = grpc.ssl_channel_credentials(pem(root), KEY_PEM, chain)
    options = [
        ("grpc.ssl_target_name_override", "localhost"),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_retries", 0),
    ]
    with grpc.secure_channel(f"127.0.0.1:{port}", credentials, options) as channel:
        try:
            channel.unary_unary("/a.B/C")(b"hello", timeout=30)
        except grpc.RpcError as error:
            return error.details()
    return None


root = certificate("root", is_ca=True)
server = grpc.server(futures.ThreadPoolExecutor(1), handlers=[Handler()])
pair = [(KEY_PEM, pem(certificate("server")))]
port = server.add_secure_port(
    "127.0.0.1:0", grpc.ssl_server_credentials(pair, pem(root), True)
)
server.start()
print("grpcio", grpc.__version__)
wrong = []
for wanted, expected in SIZES.items():
    leaf = certificate("client")
    extra = certificate("comment", padding=wanted - size(leaf) - 350)
    error = call(port, pem(leaf, extra))
    print(f"{size(leaf, extra)} bytes: {error or 'served'}")
    wrong += [str(wanted)] if (error is None) != expected else []
server.stop(None).wait()
if wrong:
    sys.exit(f"not as it was: {', '.join(wrong)}")
PYTHON
GRPC_VERBOSITY=NONE "$folder/venv/bin/python" "$folder/try.py"
