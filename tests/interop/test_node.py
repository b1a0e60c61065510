"""Tests with a Node client, @grpc/grpc-js: an independent HTTP/2 and TLS stack."""

from __future__ import annotations

import json

import pytest
from support.interop_programs import ROOT, TOOLS, find_program, missing, run

pytestmark = pytest.mark.interop

_CLIENT = ROOT / "tests/interop/node/client.js"
_PROTO = ROOT / "examples/helloworld/helloworld.proto"
_MODULES = TOOLS / "node/node_modules"


def call(endpoint, *, identity):
    """Run the client, with or without its certificate; return its output."""
    node = find_program("node")
    if not _MODULES.exists():
        missing("@grpc/grpc-js")
    # Node warns about an IP address as server name (RFC 6066, section 3).
    address = endpoint.address.replace("127.0.0.1", "localhost")
    options = ["--ca", endpoint.ca]
    if identity:
        options += ["--cert", endpoint.certificate, "--key", endpoint.key]
    code, text = run(
        *(node, _CLIENT, address, _PROTO, *options), NODE_PATH=str(_MODULES)
    )
    assert code == 0, text
    return json.loads(text)


def greets(greeting, state):
    """Return the client's output if both calls succeed."""
    ada, grace = (f"{greeting}, {n}! ({state} on public)" for n in ("Ada", "Grace"))
    return {"unary": ada, "chat": [ada, grace]}


def test_tls(serve):
    """Unary and bidirectional calls work over TLS, with a threads server."""
    endpoint = serve(mutual=False, reflection=True)
    assert call(endpoint, identity=False) == greets("Hello", "anonymous")


def test_mutual_tls(serve):
    """Unary and bidirectional calls work over mutual TLS, with an asyncio server."""
    endpoint = serve(mutual=True, reflection=True)
    assert call(endpoint, identity=True) == greets("Hello", "verified")


def test_certificate_that_is_not_requested(serve):
    """A client may have a certificate that the server does not request."""
    endpoint = serve(mutual=False, reflection=True)
    assert call(endpoint, identity=True) == greets("Hello", "anonymous")


def test_mutual_tls_refuses_without_certificate(serve):
    """Without a certificate the call ends as UNAVAILABLE."""
    endpoint = serve(mutual=True, reflection=True)
    assert call(endpoint, identity=False)["code"] == "UNAVAILABLE"


def test_mutual_tls_refuses_certificate_of_another_ca(serve, unknown_ca):
    """With a certificate of an unknown CA the call ends as UNAVAILABLE, too."""
    endpoint = serve(mutual=True, reflection=True)._replace(
        certificate=unknown_ca / "client.pem", key=unknown_ca / "client.key"
    )
    assert call(endpoint, identity=True)["code"] == "UNAVAILABLE"
