"""A bridged peer looks like a native one: compared with grpcio, byte for byte."""

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
    """grpcio's own TLS, with the same CA, telling what its servicers see."""

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


class World(NamedTuple):
    """A CA, and the two servers to compare."""

    ca: Pair
    native: Native
    bridged: BridgedServer


@pytest.fixture(scope="module")
def world(pair, ca):
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
        yield World(ca, native, server)
    native.server.stop(0).wait()


def compare(world, client):
    """Assert that both engines show `client` in the same way."""
    world.native.seen.clear()
    world.bridged.seen.clear()
    assert try_call(f"127.0.0.1:{world.native.port}", world.ca, client) is None
    assert try_call(world.bridged.target(), world.ca, client) is None
    [(expected, key, identities, _)] = world.native.seen
    [(_, facts)] = world.bridged.seen
    properties = auth_context(facts)
    assert list(properties.items()) == list(expected.items())
    assert peer_identity_key(properties) == key
    found = peer_identities(properties)
    assert (found and list(found)) == (identities and list(identities))


@pytest.mark.parametrize("subject", SUBJECTS)
def test_subject_is_rendered_as_grpcio_does(world, subject):
    """Whatever is in a subject, auth_context has grpcio's bytes for it."""
    compare(world, certificate(SUBJECTS[subject], issuer=world.ca, key=subject))


@pytest.mark.parametrize("names", ALTERNATIVE_NAMES)
def test_alternative_names_are_those_of_grpcio(world, names):
    """Every kind of SAN gives the properties, order and values that grpcio gives."""
    compare(
        world,
        certificate("n", issuer=world.ca, names=ALTERNATIVE_NAMES[names], key="san"),
    )


@pytest.mark.parametrize("raw", RAW_NAMES.values(), ids=RAW_NAMES)
def test_odd_alternative_names_are_those_of_grpcio(world, raw):
    """Names that are not ASCII, and no names at all, are shown as grpcio does."""
    compare(world, with_raw_names(world.ca, raw))


@pytest.mark.parametrize("raw", [b"\x30\x03\x82\x05a", b"\x30\x03\x82\x01"], ids=repr)
def test_names_that_do_not_parse_are_refused_by_both(world, raw):
    """A certificate with broken names opens no connection, natively or bridged."""
    client = with_raw_names(world.ca, raw)
    assert try_call(f"127.0.0.1:{world.native.port}", world.ca, client)
    assert try_call(world.bridged.target(), world.ca, client)
    assert world.bridged.observer.refusal(kind=RefusalKind.BAD_CERTIFICATE)


def test_name_of_a_type_that_x520_does_not_allow_is_refused(world):
    """Where OpenSSL does not read a subject that BoringSSL does, nobody gets in."""
    client = certificate(name_of_type("VisibleString", "x"), issuer=world.ca, key="v")
    assert try_call(world.bridged.target(), world.ca, client)
    assert world.bridged.observer.refusal(reason="a malformed certificate")


def test_chain_is_reported_without_the_leaf(world):
    """The chain property has the further certificates a client sent, and only them."""
    middle = authority("middle", issuer=world.ca)
    client = certificate(
        "c",
        issuer=middle,
        extended=CLIENT_AUTH,
        send=(middle.certificate, world.ca.certificate),
    )
    compare(world, client)


def test_anonymous_peer_is_that_of_grpcio(world):
    """Without a certificate there are the same properties and no identity."""
    world.native.seen.clear()
    world.bridged.seen.clear()
    assert try_call(f"127.0.0.1:{world.native.open_port}", world.ca) is None
    assert try_call(world.bridged.target("open"), world.ca) is None
    [(expected, key, identities, _)] = world.native.seen
    [(_, facts)] = world.bridged.seen
    assert list(auth_context(facts).items()) == list(expected.items())
    assert key is peer_identity_key(auth_context(facts)) is None
    assert identities is peer_identities(auth_context(facts)) is None


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "dual", "unix"])
def test_peer_address_is_spelled_as_grpcio_does(world, pair, tmp_path, address):
    """peer() has the client's real address in gRPC's spelling, but for its port."""
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
    native = Native(world.ca, pair, native_at)
    if address != "unix":
        native_at = f"{dial[address]}:{native.open_port}"
        bridged_at = f"{dial[address]}:{sock.getsockname()[1]}"
    with bridged(pair, host="thread", sockets={"public": sock}) as server:
        assert try_call(native_at, world.ca) is None
        assert try_call(bridged_at, world.ca) is None
    native.server.stop(0).wait()

    def without_port(text):
        return text if address == "unix" else text.rpartition(":")[0]

    assert without_port(server.seen[0][1].address) == without_port(native.seen[0][3])


def test_tls_1_2_and_the_name_asked_for_are_reported(world, tmp_path):
    """The TLS version, group and SNI of a connection are those it was made with."""
    context = tls_context(world.ca, version=ssl.TLSVersion.TLSv1_2)
    context.set_ecdh_curve("prime256v1")
    with tls_connect(world.bridged.port("open"), context):
        eventually(lambda: len(world.bridged.bridge.peers))
        [(_, facts)] = world.bridged.bridge.peers.connections()
    assert (facts.tls_version, facts.group, facts.server_name) == (
        "TLSv1.2",
        "prime256v1",
        "localhost",
    )
    assert not facts.resumed
