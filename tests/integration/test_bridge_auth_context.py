"""The auth context of a bridged peer is equal to grpcio's own, byte for byte."""

from __future__ import annotations

import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import grpc
import pytest
from support.bridge import (
    BridgedServer,
    bridged,
    eventually,
    listen,
    material,
    settings,
    tls_connect,
    tls_context,
    try_call,
)
from support.bridge_certs import (
    CLIENT_AUTH,
    Pair,
    authority,
    certificate,
)
from support.odd_certificates import (
    ALTERNATIVE_NAMES,
    RAW_NAMES,
    SUBJECTS,
    name_of_type,
    with_raw_names,
)

from grpcsecure.tls.bridge.ipc.refusal import RefusalKind
from grpcsecure.tls.bridge.parent.auth_context import (
    auth_context,
    peer_identities,
    peer_identity_key,
)


class Native:
    """A server with grpcio's own TLS and the same CA, which records its peers."""

    def __init__(self, ca, server, address="127.0.0.1:0"):
        self.seen = []
        self.server = grpc.server(ThreadPoolExecutor(2))

        def look(request, context):
            self.seen.append(
                (
                    context.auth_context(),
                    context.peer_identity_key(),
                    context.peer_identities(),
                    context.peer(),
                )
            )
            return request

        self.server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler(
                    "test.Echo",
                    {"Unary": grpc.unary_unary_rpc_method_handler(look)},
                ),
            )
        )
        self.credentials = grpc.ssl_server_credentials(
            [(server.key_pem, server.chain_pem)], ca.certificate_pem, True
        )
        self.anonymous = grpc.ssl_server_credentials(
            [(server.key_pem, server.chain_pem)]
        )
        self.port = self.server.add_secure_port("127.0.0.1:0", self.credentials)
        self.open_port = self.server.add_secure_port(address, self.anonymous)
        self.server.start()


class Servers(NamedTuple):
    """A CA, and the two servers to compare."""

    ca: Pair
    native: Native
    bridged: BridgedServer


@pytest.fixture(scope="module")
def servers(pair, ca):
    """Both engines with the same certificates."""
    native = Native(ca, pair)
    listeners = {
        "public": (
            settings("require_and_verify"),
            material(pair, client_ca=[ca]),
        ),
        "open": (settings("dont_request"), material(pair)),
    }
    with BridgedServer(listeners, host="thread") as server:
        yield Servers(ca, native, server)
    native.server.stop(0).wait()


def compare(servers, client):
    """Assert that both engines report `client` in the same way."""
    servers.native.seen.clear()
    servers.bridged.seen.clear()
    assert try_call(f"127.0.0.1:{servers.native.port}", servers.ca, client) is None
    assert try_call(servers.bridged.target(), servers.ca, client) is None
    [(expected, key, identities, _)] = servers.native.seen
    [(_, result)] = servers.bridged.seen
    properties = auth_context(result)
    assert list(properties.items()) == list(expected.items())
    assert peer_identity_key(properties) == key
    found = peer_identities(properties)
    assert (found and list(found)) == (identities and list(identities))


@pytest.mark.parametrize("subject", SUBJECTS)
def test_subject_is_formatted_as_by_grpcio(servers, subject):
    """The auth context has grpcio's bytes for any subject."""
    compare(servers, certificate(SUBJECTS[subject], issuer=servers.ca, key=subject))


@pytest.mark.parametrize("names", ALTERNATIVE_NAMES)
def test_alternative_names_are_those_of_grpcio(servers, names):
    """Each type of SAN has the properties, order and values of grpcio."""
    compare(
        servers,
        certificate("n", issuer=servers.ca, names=ALTERNATIVE_NAMES[names], key="san"),
    )


@pytest.mark.parametrize("raw", RAW_NAMES.values(), ids=RAW_NAMES)
def test_odd_alternative_names_are_those_of_grpcio(servers, raw):
    """Names that are not ASCII, and an empty list of names, are reported alike."""
    compare(servers, with_raw_names(servers.ca, raw))


@pytest.mark.parametrize("raw", [b"\x30\x03\x82\x05a", b"\x30\x03\x82\x01"], ids=repr)
def test_malformed_names_are_refused_by_both(servers, raw):
    """A client with malformed names is refused by both engines."""
    client = with_raw_names(servers.ca, raw)
    assert try_call(f"127.0.0.1:{servers.native.port}", servers.ca, client)
    assert try_call(servers.bridged.target(), servers.ca, client)
    assert servers.bridged.observer.refusal(kind=RefusalKind.BAD_CERTIFICATE)


def test_name_of_a_type_that_x520_does_not_allow_is_refused(servers):
    """A subject that BoringSSL accepts but OpenSSL cannot parse is refused."""
    client = certificate(name_of_type("VisibleString", "x"), issuer=servers.ca, key="v")
    assert try_call(servers.bridged.target(), servers.ca, client)
    assert servers.bridged.observer.refusal(reason="a malformed certificate")


def test_chain_is_reported_without_the_leaf(servers):
    """The chain property has only the certificates that the client sent after it."""
    middle = authority("middle", issuer=servers.ca)
    client = certificate(
        "c",
        issuer=middle,
        extended=CLIENT_AUTH,
        send=(middle.certificate, servers.ca.certificate),
    )
    compare(servers, client)


def test_anonymous_peer_is_that_of_grpcio(servers):
    """Without a certificate the properties are equal, and there is no identity."""
    servers.native.seen.clear()
    servers.bridged.seen.clear()
    assert try_call(f"127.0.0.1:{servers.native.open_port}", servers.ca) is None
    assert try_call(servers.bridged.target("open"), servers.ca) is None
    [(expected, key, identities, _)] = servers.native.seen
    [(_, result)] = servers.bridged.seen
    assert list(auth_context(result).items()) == list(expected.items())
    assert key is peer_identity_key(auth_context(result)) is None
    assert identities is peer_identities(auth_context(result)) is None


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "dual", "unix"])
def test_peer_address_is_formatted_as_by_grpcio(servers, pair, tmp_path, address):
    """peer() has the client's real address in gRPC's format; ports are not compared."""
    if address == "unix":
        sock = listen(str(tmp_path / "b.sock"), socket.AF_UNIX)
        native_at = f"unix:{tmp_path / 'n.sock'}"
        bridged_at = f"unix:{tmp_path / 'b.sock'}"
    elif address == "127.0.0.1":
        sock = listen()
        native_at = "127.0.0.1:0"
    else:
        sock = listen(("::1" if address == "::1" else "::", 0), socket.AF_INET6)
        native_at = f"[{'::1' if address == '::1' else '::'}]:0"
    dial = {"127.0.0.1": "127.0.0.1", "::1": "[::1]", "dual": "127.0.0.1"}
    native = Native(servers.ca, pair, native_at)
    if address != "unix":
        native_at = f"{dial[address]}:{native.open_port}"
        bridged_at = f"{dial[address]}:{sock.getsockname()[1]}"
    with bridged(pair, host="thread", sockets={"public": sock}) as server:
        assert try_call(native_at, servers.ca) is None
        assert try_call(bridged_at, servers.ca) is None
    native.server.stop(0).wait()

    def without_port(text):
        return text if address == "unix" else text.rpartition(":")[0]

    assert without_port(server.seen[0][1].address) == without_port(native.seen[0][3])


def test_parameters_of_the_connection_are_reported(servers, tmp_path):
    """The TLS version, group and SNI host name are those of the handshake."""
    context = tls_context(servers.ca, version=ssl.TLSVersion.TLSv1_2)
    context.set_ecdh_curve("prime256v1")
    eventually(lambda: not servers.bridged.bridge.peers, what="no other connection")
    with tls_connect(servers.bridged.port("open"), context):
        eventually(lambda: len(servers.bridged.bridge.peers))
        [(_, result)] = servers.bridged.bridge.peers.connections()
    assert (result.tls_version, result.group, result.server_name) == (
        "TLSv1.2",
        "prime256v1",
        "localhost",
    )
    assert not result.resumed
