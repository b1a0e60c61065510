"""Tests with grpcurl, which uses grpc-go, against the example service."""

from __future__ import annotations

import re

import pytest
from support.interop_programs import ROOT, find_program, run

pytestmark = pytest.mark.interop

_PROTO = ("-import-path", ROOT / "examples", "-proto", "helloworld/helloworld.proto")

_TWO = '{"name": "Ada"} {"name": "Grace"}'

#: Method, requests, and the names that the replies greet.
_CALLS = [
    ("SayHello", '{"name": "Ada"}', ["Ada"]),
    ("SayHelloManyTimes", '{"name": "Ada", "times": 3}', ["Ada", "Ada", "Ada"]),
    ("SayHelloToAll", _TWO, ["Ada and Grace"]),
    ("Chat", _TWO, ["Ada", "Grace"]),
]


def grpcurl(endpoint, *arguments, options=(), identity=True):
    """Run grpcurl against `endpoint`, with a client certificate if that needs one."""
    flags = ["-cacert", endpoint.ca, "-max-time", "20"]
    if endpoint.mutual and identity:
        flags += ["-cert", endpoint.certificate, "-key", endpoint.key]
    return run(find_program("grpcurl"), *flags, *options, endpoint.address, *arguments)


@pytest.fixture(name="reflecting", params=[False, True], ids=["tls", "mtls"])
def _reflecting(request, serve):
    return serve(mutual=request.param, reflection=True)


def test_list_names_services(reflecting):
    """`grpcurl list` names the user's services and the built-in ones."""
    code, text = grpcurl(reflecting, "list")
    assert code == 0, text
    assert {"helloworld.Greeter", "grpc.health.v1.Health"} < set(text.split())


def test_describe_shows_methods(reflecting):
    """`grpcurl describe` shows all four methods with their streams."""
    code, text = grpcurl(reflecting, "describe", "helloworld.Greeter")
    assert code == 0, text
    assert re.findall(r"rpc (\w+) \( (stream)?.*\) returns \( (stream)?", text) == [
        ("Chat", "stream", "stream"),
        ("SayHello", "", ""),
        ("SayHelloManyTimes", "", "stream"),
        ("SayHelloToAll", "stream", ""),
    ]


def test_describe_shows_messages(reflecting):
    """`grpcurl describe` shows the fields of a message."""
    code, text = grpcurl(reflecting, "describe", "helloworld.HelloRequest")
    assert code == 0, text
    assert "string name = 1;" in text


@pytest.mark.parametrize(
    ("method", "requests", "greeted"), _CALLS, ids=[call[0] for call in _CALLS]
)
def test_calls_every_kind_of_method(endpoint, method, requests, greeted):
    """All four kinds of method work, over TLS and mutual TLS, in both runtimes."""
    code, text = grpcurl(
        endpoint,
        f"helloworld.Greeter/{method}",
        options=("-d", requests, *(() if endpoint.reflection else _PROTO)),
    )
    assert code == 0, text
    assert re.findall(r", (.*)! \((\w+) on public\)", text) == [
        (name, "verified" if endpoint.mutual else "anonymous") for name in greeted
    ]


def test_without_reflection_nothing_is_listed(serve):
    """A server whose config does not enable reflection does not list its services."""
    code, text = grpcurl(serve(mutual=False, reflection=False), "list")
    assert code != 0
    assert "does not support the reflection API" in text


def test_health_is_serving(reflecting):
    """The health of the server and of each service can be queried."""
    for service in ("", "helloworld.Greeter"):
        code, text = grpcurl(
            reflecting,
            "grpc.health.v1.Health/Check",
            options=("-d", f'{{"service": "{service}"}}'),
        )
        assert code == 0, text
        assert '"SERVING"' in text


def test_mutual_tls_refuses_client_without_certificate(serve):
    """A client without a certificate does not get past the handshake."""
    endpoint = serve(mutual=True, reflection=True)
    code, text = grpcurl(endpoint, "list", identity=False)
    assert code != 0
    assert "helloworld" not in text


def test_mutual_tls_refuses_certificate_of_another_ca(serve, unknown_ca):
    """A client with a certificate of an unknown CA is refused as well."""
    endpoint = serve(mutual=True, reflection=True)._replace(
        certificate=unknown_ca / "client.pem", key=unknown_ca / "client.key"
    )
    code, text = grpcurl(endpoint, "list")
    assert code != 0
    assert "helloworld" not in text
