"""`tls.ciphers` and `tls.groups`, as a client with OpenSSL negotiates them."""

from __future__ import annotations

import socket
from typing import NamedTuple

import pytest
from OpenSSL import SSL
from support.bridge import (
    BridgedServer,
    material,
    settings,
    try_call,
)

from grpcsecure.tls.openssl import _bindings as openssl

ECDSA = "ECDHE-ECDSA-AES256-GCM-SHA384"
CHACHA = "ECDHE-ECDSA-CHACHA20-POLY1305"
TLS13 = "TLS_AES_256_GCM_SHA384"

#: The lists of each listener.
LISTENERS = {
    "both": {"ciphers": (TLS13, ECDSA)},
    "tls12": {"ciphers": (CHACHA, ECDSA)},
    "tls13": {"ciphers": ("TLS_AES_128_GCM_SHA256",)},
    "groups": {"groups": ("P-384",)},
}


class Session(NamedTuple):
    """The version, cipher suite and group of a handshake."""

    version: str
    suite: str
    group: str


@pytest.fixture(name="server", scope="module")
def _server(pair):
    """A bridge with the listeners."""
    if not openssl.can_set_groups():
        pytest.skip("this cryptography cannot be given groups")
    served = {
        name: (settings("dont_request", **lists), material(pair))
        for name, lists in LISTENERS.items()
    }
    with BridgedServer(served, host="thread") as server:
        yield server


def shake(server, listener, *, version=SSL.TLS1_3_VERSION, suites=None, groups=None):
    """Make a handshake; return what was negotiated, None if it fails."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(version)
    context.set_alpn_protos([b"h2"])
    if suites:
        context.set_cipher_list(suites.encode())
    if groups:
        assert openssl.set_groups(context, groups)
    with socket.create_connection(("127.0.0.1", server.port(listener))) as raw:
        raw.settimeout(None)
        client = SSL.Connection(context, raw)
        client.set_tlsext_host_name(b"localhost")
        client.set_connect_state()
        try:
            client.do_handshake()
        except SSL.Error:
            return None
        return Session(
            client.get_protocol_version_name(),
            client.get_cipher_name(),
            client.get_group_name(),
        )


def test_suites_of_both_versions(server):
    """Each version has the suites of the list."""
    assert shake(server, "both")[:2] == ("TLSv1.3", TLS13)
    tls12 = SSL.TLS1_2_VERSION
    assert shake(server, "both", version=tls12)[:2] == ("TLSv1.2", ECDSA)
    assert shake(server, "both", version=tls12, suites=CHACHA) is None


def test_version_without_a_suite_is_not_offered(server):
    """With suites of TLS 1.2 alone, a client of TLS 1.3 gets TLS 1.2."""
    assert shake(server, "tls12").version == "TLSv1.2"
    tls12 = SSL.TLS1_2_VERSION
    assert shake(server, "tls12", version=tls12, suites=CHACHA).suite == CHACHA
    assert shake(server, "tls13").suite == "TLS_AES_128_GCM_SHA256"
    assert shake(server, "tls13", version=tls12) is None


def test_groups(server):
    """A group that is not in the list is not used, in either version."""
    for version in (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION):
        assert shake(server, "groups", version=version).group == "secp384r1"
        only = {"version": version, "groups": b"X25519:P-256"}
        assert shake(server, "groups", **only) is None


def test_grpcio_client_can_connect(server, ca):
    """Its clients have a suite and a group of each list but ChaCha20's."""
    for listener in LISTENERS:
        assert try_call(server.target(listener), ca) is None
