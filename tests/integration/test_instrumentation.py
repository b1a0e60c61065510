"""Tracing that replaces `grpc.server` in a user's module takes hold of our servers."""

from __future__ import annotations

import json

import grpc
import pytest
from helloworld.helloworld_pb2 import HelloRequest
from helloworld.helloworld_pb2_grpc import GreeterStub
from support.bridge import eventually
from support.certificates import make_certificates
from support.process import serving, write_config

from grpcsecure.server.runtime import instrumentation

HELLO = "/helloworld.Greeter/SayHello"
MANY = "/helloworld.Greeter/SayHelloManyTimes"
DENIED = "/helloworld.Greeter/SayHelloToAll"

#: A servicer, and the runtime that serves it.
SERVICERS = {
    "threads": ("Greeter", "threads"),
    "asyncio": ("AioGreeter", "asyncio"),
    "plain methods in asyncio": ("PlainGreeter", "asyncio"),
}


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory):
    """A folder with certificates."""
    folder = tmp_path_factory.mktemp("traced")
    make_certificates(folder / "certs")
    return folder


def write(folder, servicer):
    """Write a config with a listener for each engine; return its path."""
    name, runtime = SERVICERS[servicer]
    tls = {
        "certificate": "certs/server.pem",
        "private_key": "certs/server.key",
        "client_certificate": "require_and_verify",
        "client_ca": "certs/ca.pem",
    }
    path = folder / "traced.yaml"
    write_config(
        path,
        f"support.traced:{name}",
        listeners={
            engine: {"address": "127.0.0.1:0", "tls": {**tls, "engine": engine}}
            for engine in ("grpc", "bridge")
        },
        runtime=runtime,
    )
    config = json.loads(path.read_text())
    config["identities"] = {"dev": {"spiffe": "spiffe://grpcsecure.test/client"}}
    config["authorization"] = {
        "rules": {"some": {"allow": ["dev"], "methods": [HELLO, MANY]}}
    }
    path.write_text(json.dumps(config))
    return path


def call(folder, address):
    """Make two allowed calls and a denied one."""
    certs = folder / "certs"
    credentials = grpc.ssl_channel_credentials(
        (certs / "ca.pem").read_bytes(),
        (certs / "client.key").read_bytes(),
        (certs / "client.pem").read_bytes(),
    )
    with grpc.secure_channel(address, credentials) as channel:
        stub = GreeterStub(channel)
        request = HelloRequest(name="Ada")
        assert "Ada" in stub.SayHello(request, timeout=30).message
        assert list(stub.SayHelloManyTimes(request, timeout=30))
        with pytest.raises(grpc.RpcError) as caught:
            stub.SayHelloToAll(iter([request]), timeout=30)
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize("servicer", SERVICERS)
def test_opentelemetry(folder, servicer):
    """Each call is a span with its method, status and client: denied calls, too."""
    file = folder / f"{servicer}.spans"
    path = write(folder, servicer)
    environ = {"TRACED_WITH": "opentelemetry", "TRACED_FILE": str(file)}
    with serving(path, **environ) as served:
        for engine in ("grpc", "bridge"):
            call(folder, served.addresses[engine])
        eventually(lambda: len(file.read_text().splitlines()) >= 6)
    spans = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(span["name"], span["rpc.grpc.status_code"]) for span in spans] == [
        (HELLO, 0),
        (MANY, 0),
        (DENIED, grpc.StatusCode.PERMISSION_DENIED.value[0]),
    ] * 2
    assert {span["net.peer.ip"] for span in spans} == {"127.0.0.1"}
    assert all(span["net.peer.port"].isdigit() for span in spans)


@pytest.mark.parametrize("servicer", ["threads", "asyncio"])
def test_sentry(folder, servicer):
    """Sentry traces unary calls."""
    file = folder / f"{servicer}.transactions"
    path = write(folder, servicer)
    environ = {"TRACED_WITH": "sentry", "TRACED_FILE": str(file)}
    with serving(path, **environ) as served:
        for engine in ("grpc", "bridge"):
            call(folder, served.addresses[engine])
        eventually(lambda: file.exists() and len(file.read_text().splitlines()) >= 2)
    names = [json.loads(line)["name"] for line in file.read_text().splitlines()]
    assert names.count(HELLO) == 2


class Added(grpc.ServerInterceptor):
    """An interceptor that a replaced `grpc.server` adds."""

    def intercept_service(self, continuation, handler_call_details):
        """Change nothing."""
        return continuation(handler_call_details)


def test_nothing_is_replaced():
    """The functions of grpcio itself are recognized, and used."""
    assert not instrumentation.is_instrumented(on_asyncio=False)
    assert not instrumentation.is_instrumented(on_asyncio=True)
    assert instrumentation.uninstrumented_server() is grpc.server
    own = Added()
    assert instrumentation.add_instrumentation([own], on_asyncio=False) == [own]


def test_a_replaced_function_is_asked(monkeypatch):
    """Where it puts its interceptor, ours has it; no server is made."""
    original, added, own = grpc.server, Added(), Added()

    def server(*arguments, interceptors=(), **named):
        return original(*arguments, interceptors=[*interceptors, added], **named)

    monkeypatch.setattr(grpc, "server", server)
    assert instrumentation.is_instrumented(on_asyncio=False)
    found = instrumentation.add_instrumentation([own], on_asyncio=False)
    assert found == [own, added]
    assert instrumentation.uninstrumented_server() is not server


@pytest.mark.parametrize("error", [None, ValueError("its own mistake")])
def test_a_replaced_function_that_cannot_be_asked(monkeypatch, caplog, error):
    """The server goes without, and the log says so."""

    def server(*_arguments, **_named):
        if error is not None:
            raise error

    monkeypatch.setattr(grpc, "server", server)
    assert instrumentation.add_instrumentation([], on_asyncio=False) == []
    (record,) = caplog.records
    assert record.getMessage() == "instrumentation.ignored"
    assert record.function == "grpc.server"
