"""A client in Node, with @grpc/grpc-js: HTTP/2 and TLS that share no code with ours."""

from __future__ import annotations

import json

import pytest
from support.interop_programs import ROOT, TOOLS, find_program, missing, run

pytestmark = pytest.mark.interop

_CLIENT = ROOT / "tests/interop/node/client.js"
_PROTO = ROOT / "examples/helloworld/helloworld.proto"
_MODULES = TOOLS / "node/node_modules"


def call(endpoint, *, identity):
    """Run the client, with or without its certificate; return what it printed."""
    node = find_program("node")
    if not _MODULES.exists():
        missing("@grpc/grpc-js")
    # By name: Node warns of an IP address as server name (RFC 6066, section 3).
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
    """Return what the client prints when both calls succeed."""
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


def test_certificate_nobody_asked_for(serve):
    """A client may offer a certificate to a server that does not ask for one."""
    endpoint = serve(mutual=False, reflection=True)
    assert call(endpoint, identity=True) == greets("Hello", "anonymous")


def test_mutual_tls_refuses_without_certificate(serve):
    """Without a certificate the call ends as UNAVAILABLE."""
    endpoint = serve(mutual=True, reflection=True)
    assert call(endpoint, identity=False)["code"] == "UNAVAILABLE"


def test_mutual_tls_refuses_certificate_of_another_ca(serve, stranger):
    """With a certificate that somebody else signed it ends so, too."""
    endpoint = serve(mutual=True, reflection=True)._replace(
        certificate=stranger / "client.pem", key=stranger / "client.key"
    )
    assert call(endpoint, identity=True)["code"] == "UNAVAILABLE"
