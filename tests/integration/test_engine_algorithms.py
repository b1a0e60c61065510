"""Both engines accept the same key exchange groups and ciphers, and choose the same.

The engine `grpc` is the measure: what gRPC core accepts, the bridge accepts too, and no
more. The client is OpenSSL as cryptography has it, which knows the hybrid groups.
"""

from __future__ import annotations

import json
import socket
from itertools import permutations

import pytest
from OpenSSL import SSL
from support.matrix_certs import make_matrix_certificates
from support.services import PATIENCE

import grpcsecure
from grpcsecure.tls.openssl import _bindings as openssl

CLASSIC_GROUPS = ["X25519", "P-256", "P-384", "P-521"]
SERVED_GROUPS = ["X25519MLKEM768", *CLASSIC_GROUPS]
REFUSED_GROUPS = [
    *("X448", "SecP256r1MLKEM768", "SecP384r1MLKEM1024"),
    *("MLKEM512", "MLKEM768", "MLKEM1024"),
    *("ffdhe2048", "ffdhe3072", "ffdhe4096", "ffdhe6144", "ffdhe8192"),
    *("brainpoolP256r1tls13", "brainpoolP384r1tls13", "brainpoolP512r1tls13"),
]
SERVED_CIPHERS = ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"]
REFUSED_CIPHERS = [
    *("ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES128-CCM"),
    *("ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384"),
    *("ECDHE-RSA-AES128-GCM-SHA256", "AES128-GCM-SHA256"),
]
VERSIONS = {"TLSv1.2": SSL.TLS1_2_VERSION, "TLSv1.3": SSL.TLS1_3_VERSION}

needs_groups = pytest.mark.skipif(
    not openssl.can_set_groups(), reason="this cryptography cannot set groups"
)


@pytest.fixture(scope="module")
def ports(tmp_path_factory):
    """The port of a listener of each engine, with the same certificate."""
    folder = tmp_path_factory.mktemp("algorithms")
    make_matrix_certificates().write_server_files(folder)
    tls = {
        "certificate": "server.pem",
        "private_key": "server.key",
        "client_certificate": "dont_request",
    }
    config = {
        "version": 1,
        "services": [{"servicer": "support.recording_peers:PeerRecorder"}],
        "server": {"shutdown_grace": "1s"},
        "listeners": {
            engine: {"address": "127.0.0.1:0", "tls": {**tls, "engine": engine}}
            for engine in ("grpc", "bridge")
        },
    }
    path = folder / "engines.yaml"
    path.write_text(json.dumps(config))
    with grpcsecure.load(path) as server:
        yield {
            engine: int(address.rpartition(":")[2])
            for engine, address in server.addresses.items()
        }


def negotiated(port, *, version="TLSv1.3", groups=None, ciphers=None):
    """Return the group and cipher of a handshake, or None if it is refused."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(VERSIONS[version])
    context.set_max_proto_version(VERSIONS[version])
    context.set_alpn_protos([b"h2"])
    context.set_cipher_list(f"{ciphers or 'ALL'}:@SECLEVEL=0".encode())
    if groups and not openssl.set_groups(context, groups.encode()):
        pytest.skip(f"this OpenSSL has no {groups}")
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as raw:
        raw.setblocking(True)  # with a timeout, pyOpenSSL raises WantReadError
        connection = SSL.Connection(context, raw)
        connection.set_connect_state()
        try:
            connection.do_handshake()
        except SSL.Error:
            return None
        return connection.get_group_name(), connection.get_cipher_name()


@needs_groups
@pytest.mark.parametrize("group", [*SERVED_GROUPS, *REFUSED_GROUPS])
def test_engines_accept_the_same_groups(ports, group):
    """A client that offers one group is served by both engines, or by neither."""
    grpc, bridge = (negotiated(ports[each], groups=group) for each in ports)
    assert grpc == bridge
    assert (grpc is not None) == (group in SERVED_GROUPS)


@needs_groups
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("pair", [*permutations(SERVED_GROUPS, 2)], ids=":".join)
def test_engines_choose_the_same_group(ports, pair, version):
    """Of two groups that a client offers, both engines choose the same one."""
    groups = ":".join(pair)
    if version == "TLSv1.2":  # OpenSSL's client needs the curve of the certificate
        groups += ":P-256" if "P-256" not in pair else ""
    grpc, bridge = (
        negotiated(ports[each], groups=groups, version=version) for each in ports
    )
    assert grpc is not None
    assert grpc == bridge


@pytest.mark.parametrize("version", VERSIONS)
def test_engines_choose_the_same_for_a_client_with_every_algorithm(ports, version):
    """A client with OpenSSL's defaults gets the same group and cipher from both."""
    grpc, bridge = (negotiated(ports[each], version=version) for each in ports)
    assert grpc is not None
    assert grpc == bridge


@pytest.mark.parametrize("cipher", [*SERVED_CIPHERS, *REFUSED_CIPHERS])
def test_engines_accept_the_same_ciphers(ports, cipher):
    """A TLS 1.2 client with one cipher is served by both engines, or by neither."""
    grpc, bridge = (
        negotiated(ports[each], version="TLSv1.2", ciphers=cipher) for each in ports
    )
    assert grpc == bridge
    assert (grpc is not None) == (cipher in SERVED_CIPHERS)
