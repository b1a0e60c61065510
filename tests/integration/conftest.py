"""Fixtures that many integration tests share: certificates, bridges and TLS clients."""

from __future__ import annotations

import pytest
from cryptography import x509
from support.bridge import HOSTS, RawPair
from support.bridge_certs import CLIENT_AUTH, authority, certificate
from support.mode_clients import (
    GoClient,
    GrpcGoClient,
    GrpcioClient,
    GrpcJavaClient,
    OpensslClient,
)


@pytest.fixture(scope="session")
def ca():
    """The CA that issues the server's and the clients' certificates."""
    return authority("test CA")


@pytest.fixture(scope="session")
def pair(ca):
    """The server's certificate and key."""
    return certificate("localhost", issuer=ca, names=[x509.DNSName("localhost")])


@pytest.fixture(scope="session")
def client(ca):
    """Certificate and key of a client that the CA vouches for."""
    return certificate("client", issuer=ca, extended=CLIENT_AUTH)


@pytest.fixture(scope="module", params=HOSTS)
def host(request):
    """Each kind of host that can run a bridge."""
    return request.param


@pytest.fixture
def raw(host, pair, ca, tmp_path):
    """A TLS client and the server's end of its connection, with a bridge in between."""
    with RawPair(ca, pair, tmp_path, host) as raw_pair:
        yield raw_pair


@pytest.fixture(scope="session")
def clients(tmp_path_factory):
    """A function that returns a client by name and creates it on the first request.

    If the client's program is not installed, the requesting test is skipped.
    """
    folder = tmp_path_factory.mktemp("clients")
    makers = {
        "grpcio": GrpcioClient,
        "openssl": lambda: OpensslClient(folder),
        "go": lambda: GoClient(folder),
        "grpc-go": lambda: GrpcGoClient(folder),
        "grpc-java": GrpcJavaClient,
    }
    made = {}

    def named(name):
        if name not in made:
            made[name] = makers[name]()
        return made[name]

    yield named
    for each in made.values():
        each.close()
