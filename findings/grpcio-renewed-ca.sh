#!/usr/bin/env bash
# A client CA that was renewed with the same name and key, on a grpcio server.
#
# Expected: a file with the expired certificate of a CA and its renewal verifies the
# clients of that CA, in either order, as with OpenSSL. Or at least the order decides,
# however many other CAs are in the file.
#
# Seen with grpcio 1.85.3: the first of the two is taken, also if it has expired: every
# client is refused. With more than 16 CAs in the file the order of the file is not
# kept, and the renewal in front of the expired one does not always help.
#
# Ends with 1 if a release behaves in another way, with 2 if it cannot be tried.
set -euo pipefail

grpcio=${1:-1.85.3}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

python3 -m venv "$folder/venv" || exit 2
"$folder/venv/bin/pip" install --quiet "grpcio==$grpcio" cryptography==50.0.2 || exit 2

cat >"$folder/try.py" <<'PYTHON'
import random
import sys
from concurrent import futures
from datetime import datetime, timedelta, timezone

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

NOW, DAY = datetime.now(timezone.utc), timedelta(days=1)


def make(name, key, start, end, issuer=None, signer=None):
    """Return a certificate as PEM; without an issuer it is a CA."""
    subject, above = (
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, each)])
        for each in (name, issuer or name)
    )
    names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(above)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + start * DAY)
        .not_valid_after(NOW + end * DAY)
        .add_extension(x509.BasicConstraints(issuer is None, None), True)
        .add_extension(names, False)
    )
    made = builder.sign(signer or key, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM)


def key_text(key):
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def new_key():
    return ec.generate_private_key(ec.SECP256R1())


ca_key, client_key, server_key = new_key(), new_key(), new_key()
expired, renewed = make("ca", ca_key, -400, -1), make("ca", ca_key, -10, 30)
client = make("client", client_key, -1, 30, "ca", ca_key)
server = make("server", server_key, -1, 30)


class Echo(grpc.GenericRpcHandler):
    def service(self, details):
        return grpc.unary_unary_rpc_method_handler(lambda request, _: request)


def is_served(*cas):
    """Whether a server with these client CAs serves the client."""
    credentials = grpc.ssl_server_credentials(
        [(key_text(server_key), server)], b"".join(cas), True
    )
    own = grpc.ssl_channel_credentials(server, key_text(client_key), client)
    options = [("grpc.use_local_subchannel_pool", 1)]
    with futures.ThreadPoolExecutor(2) as pool:
        running = grpc.server(pool, handlers=[Echo()])
        port = running.add_secure_port("127.0.0.1:0", credentials)
        running.start()
        try:
            with grpc.secure_channel(f"localhost:{port}", own, options) as channel:
                channel.unary_unary("/a/b")(b"", timeout=10)
        except grpc.RpcError:
            return False
        finally:
            running.stop(0).wait()
    return True


first, last = is_served(renewed, expired), is_served(expired, renewed)
print(f"grpcio {grpc.__version__}")
print("renewal first:", "served" if first else "refused")
print("expired first:", "served" if last else "refused")
rest = [make(f"other {number}", new_key(), -1, 30) for number in range(60)]
random.seed(1)
refused = 0
for _ in range(20):
    random.shuffle(rest)
    one, two = sorted(random.sample(range(len(rest)), 2))
    refused += not is_served(
        *rest[:one], renewed, *rest[one:two], expired, *rest[two:]
    )
print(f"renewal first, among 60 other CAs: refused {refused} of 20 times")
sys.exit(not (first and not last and refused))
PYTHON

"$folder/venv/bin/python" "$folder/try.py" 2>"$folder/log" || {
  status=$?
  tail -n 3 "$folder/log" >&2
  exit "$status"
}
