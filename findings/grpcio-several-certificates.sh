#!/usr/bin/env bash
# A grpcio server with several key pairs presents a wildcard before the name itself.
#
# Expected: a client that asks for a name (SNI) gets the certificate with that name, if
# there is one, and otherwise one with a wildcard for it, as with nginx and Envoy.
#
# Seen with grpcio 1.82.1 and 1.85.3: it gets the first certificate in the list that
# matches in any way, so one with `*.shop.test` hides a later one with `api.shop.test`.
# A wildcard with two labels (`*.internal`) selects no certificate. Each client that asks
# for another name than those in the certificates puts a line on the server's standard
# error, with the name, also where there is one key pair.
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
import socket
import ssl
import sys
from concurrent import futures

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

NOW = datetime.datetime.now(datetime.timezone.utc)
DAY = datetime.timedelta(days=1)

#: The names in the certificates, in the order of the key pairs.
SEVERAL = ["first.test", "*.shop.test", "api.shop.test", "*.internal"]

#: What a client asks for, and the certificate that it gets.
SEEN = {
    None: "first.test",
    "first.test": "first.test",
    "web.shop.test": "*.shop.test",
    "api.shop.test": "*.shop.test",
    "a.internal": "first.test",
    "unknown.test": "first.test",
}


def key_pair(name):
    key = ec.generate_private_key(ec.SECP256R1())
    title = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(title)
        .issuer_name(title)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + DAY)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), False)
        .sign(key, hashes.SHA256())
    )
    return (
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        certificate.public_bytes(serialization.Encoding.PEM),
    )


def presented(port, name):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(("127.0.0.1", port)) as raw,
        context.wrap_socket(raw, server_hostname=name) as secure,
    ):
        der = secure.getpeercert(binary_form=True)
    subject = x509.load_der_x509_certificate(der).subject
    return subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value


server = grpc.server(futures.ThreadPoolExecutor(1))
credentials = grpc.ssl_server_credentials([key_pair(name) for name in SEVERAL])
port = server.add_secure_port("127.0.0.1:0", credentials)
server.start()
print(f"grpcio {grpc.__version__}")
shown = {name: presented(port, name) for name in SEEN}
for name, certificate in shown.items():
    print(f"{name or 'no name'}: {certificate}")
server.stop(None).wait()
sys.exit(shown != SEEN)
PYTHON

"$folder/venv/bin/python" "$folder/try.py" 2>"$folder/stderr"
grep --only-matching "No match found for server name: unknown.test" "$folder/stderr"
