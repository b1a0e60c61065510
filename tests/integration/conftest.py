"""Clients of other TLS libraries, made once for all tests that need them."""

from __future__ import annotations

import pytest
from support.mode_clients import GoClient, GrpcioClient, OpensslClient


@pytest.fixture(scope="session")
def clients(tmp_path_factory):
    """A function that returns a client by its name, made when first asked for.

    One whose program is not installed skips the test that asks for it.
    """
    folder = tmp_path_factory.mktemp("clients")
    makers = {
        "grpcio": GrpcioClient,
        "openssl": lambda: OpensslClient(folder),
        "go": lambda: GoClient(folder),
    }
    made = {}

    def client(name):
        if name not in made:
            made[name] = makers[name]()
        return made[name]

    yield client
    for each in made.values():
        each.close()
