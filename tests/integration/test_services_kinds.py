"""Calls of every kind to the example service, on every kind of listener."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub
from helloworld.helloworld_pb2_grpc import GreeterStub
from support.certificates import make_certificates
from support.process import write_config
from support.servers import failure, hello_request
from support.services import PATIENCE

import grpcsecure

#: The servicer, and the runtime in the config.
RUNTIMES = {
    "threads": ("helloworld.greeter:Greeter", "auto"),
    "asyncio": ("helloworld.greeter_aio:Greeter", "auto"),
    "plain methods on asyncio": ("helloworld.greeter:Greeter", "asyncio"),
}

HEALTH = "grpc.health.v1.Health"
REFLECTION = "grpc.reflection.v1alpha.ServerReflection"
REFLECTION_V1 = "grpc.reflection.v1.ServerReflection"
V1_FILE = "grpc/reflection/v1/reflection.proto"
GREETER = "helloworld.Greeter"

#: The listeners, and the peer state that a client with a certificate has on each.
STATES = {
    "tls": "anonymous",
    "mutual": "verified",
    "bridged": "verified",
    "plain": "anonymous",
    "socket": "anonymous",
    "mutual_socket": "verified",
    "mutual6": "verified",
}


def _listeners(certs, folder):
    tls = {
        "certificate": str(certs / "server.pem"),
        "private_key": str(certs / "server.key"),
        "client_certificate": "dont_request",
    }
    mutual = {
        **tls,
        "client_certificate": "require_and_verify",
        "client_ca": str(certs / "ca.pem"),
    }
    optional = {**mutual, "client_certificate": "request_and_verify"}
    return {
        "tls": {"address": "127.0.0.1:0", "tls": tls},
        "mutual": {"address": "127.0.0.1:0", "tls": mutual},
        "bridged": {"address": "localhost:0", "tls": optional},
        "plain": {"address": "127.0.0.1:0", "plaintext": True},
        "socket": {"address": f"unix:{folder}/plain", "plaintext": True},
        "mutual_socket": {"address": f"unix:{folder}/mutual", "tls": mutual},
        "mutual6": {"address": "[::1]:0", "tls": mutual},
        "probes": {
            "address": "127.0.0.1:0",
            "plaintext": True,
            "services": [HEALTH, REFLECTION],
        },
    }


class World:
    """A running server, and clients that all have a certificate."""

    def __init__(self, server, certs):
        self.server = server
        self._credentials = grpc.ssl_channel_credentials(
            (certs / "ca.pem").read_bytes(),
            (certs / "client.key").read_bytes(),
            (certs / "client.pem").read_bytes(),
        )

    @contextmanager
    def channel(self, listener):
        """A channel to a listener, with the client's certificate if it speaks TLS."""
        address = self.server.addresses[listener]
        settings = {each.name: each for each in self.server.config.listeners}[listener]
        # A unix socket has no host name that the certificate could be checked against.
        options = [("grpc.ssl_target_name_override", "localhost")]
        if settings.tls is None:
            channel = grpc.insecure_channel(address)
        else:
            channel = grpc.secure_channel(address, self._credentials, options)
        with channel:
            yield channel


@pytest.fixture(name="certs", scope="module")
def _certs(tmp_path_factory):
    """A folder with certificates of server and client."""
    return make_certificates(tmp_path_factory.mktemp("certs"))


@pytest.fixture(name="world", scope="module", params=list(RUNTIMES))
def _world(request, certs):
    """A server with all listeners, for each runtime."""
    servicer, runtime = RUNTIMES[request.param]
    paths = [*sys.path]
    with TemporaryDirectory() as folder:  # a unix socket's path has to be short
        config = write_config(
            Path(folder, "server.yaml"),
            servicer,
            listeners=_listeners(certs, folder),
            runtime=runtime,
            reflection=True,
        )
        with grpcsecure.load(config) as server:
            yield World(server, certs)
    sys.path[:] = paths


@pytest.fixture(name="listener", params=list(STATES))
def _listener(request):
    """The name of a listener that serves all services."""
    return request.param


@pytest.fixture(name="greeter")
def _greeter(world, listener):
    """A stub for the greeter on that listener."""
    with world.channel(listener) as channel:
        yield GreeterStub(channel)


def greeting(who, listener):
    """Return the greeting of the example service for `who`."""
    return f"Hello, {who}! ({STATES[listener]} on {listener})"


def test_unary(greeter, listener):
    """One request, one reply."""
    reply = greeter.SayHello(hello_request("Ada"), timeout=PATIENCE)
    assert reply.message == greeting("Ada", listener)


def test_response_stream(greeter, listener):
    """One request, many replies."""
    replies = greeter.SayHelloManyTimes(hello_request("Ada", times=3), timeout=PATIENCE)
    assert [reply.message for reply in replies] == [greeting("Ada", listener)] * 3


def test_request_stream(greeter, listener):
    """Many requests, one reply."""
    reply = greeter.SayHelloToAll(
        map(hello_request, ("Ada", "Grace")), timeout=PATIENCE
    )
    assert reply.message == greeting("Ada and Grace", listener)


def test_both_streams(greeter, listener):
    """Many requests, a reply to each of them."""
    replies = greeter.Chat(map(hello_request, ("Ada", "Grace")), timeout=PATIENCE)
    assert [reply.message for reply in replies] == [
        greeting(name, listener) for name in ("Ada", "Grace")
    ]


def test_addresses_are_real(world):
    """Port 0 is replaced by the real port, and each listener has its own address."""
    addresses = world.server.addresses
    assert list(addresses) == [*STATES, "probes"]
    assert len(set(addresses.values())) == len(addresses)
    assert not any(address.endswith(":0") for address in addresses.values())
    assert addresses["mutual6"].startswith("[::1]:")
    assert addresses["bridged"].startswith("localhost:")


def test_selected_services_only(world):
    """A listener with a `services` list serves no other service."""
    with world.channel("probes") as channel:
        call = lambda: GreeterStub(channel).SayHello(hello_request(), timeout=PATIENCE)  # noqa: E731
        assert failure(call)[0] is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(
    ("name", "services"),
    [
        ("tls", {GREETER, HEALTH, REFLECTION, REFLECTION_V1}),
        ("probes", {HEALTH, REFLECTION}),
    ],
)
def test_reflection_lists_the_services_of_the_listener(world, name, services):
    """Reflection lists exactly the services that its own listener serves."""
    with world.channel(name) as channel:
        (answer,) = ServerReflectionStub(channel).ServerReflectionInfo(
            iter([ServerReflectionRequest(list_services="")]), timeout=PATIENCE
        )
    listed = {service.name for service in answer.list_services_response.service}
    assert listed == services


@pytest.mark.parametrize(
    ("symbol", "file"),
    [
        (GREETER, "helloworld"),
        (f"{GREETER}.SayHello", "helloworld"),
        ("helloworld.HelloRequest.name", "helloworld"),
        (f"{HEALTH}.Watch", "health"),
        (f"{REFLECTION}.ServerReflectionInfo", "v1alpha/reflection"),
        (REFLECTION_V1, "v1/reflection"),
        (f"{REFLECTION_V1}.ServerReflectionInfo", "v1/reflection"),
        ("grpc.reflection.v1.ErrorResponse", "v1/reflection"),
        (f"{GREETER}.None", None),
        ("helloworld.None.SayHello", None),
        ("SayHello", None),
        ("", None),
    ],
)
def test_reflection_finds_symbols(world, symbol, file):
    """Methods are symbols like services, and v1 describes itself."""
    with world.channel("plain") as channel:
        (answer,) = ServerReflectionStub(channel).ServerReflectionInfo(
            iter([ServerReflectionRequest(file_containing_symbol=symbol)]),
            timeout=PATIENCE,
        )
    found = [
        FileDescriptorProto.FromString(each).name
        for each in answer.file_descriptor_response.file_descriptor_proto
    ]
    assert [name for name in found if file and f"{file}.proto" in name] == found[:1]
    is_missing = answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
    assert is_missing == (file is None)


def test_reflection_v1_can_be_built(world):
    """A client builds its own pool of the file of v1, found by its name."""
    with world.channel("plain") as channel:
        (answer,) = ServerReflectionStub(channel).ServerReflectionInfo(
            iter([ServerReflectionRequest(file_by_filename=V1_FILE)]),
            timeout=PATIENCE,
        )
    pool = DescriptorPool()
    for each in answer.file_descriptor_response.file_descriptor_proto:
        pool.Add(FileDescriptorProto.FromString(each))
    method = pool.FindServiceByName(REFLECTION_V1).methods[0]
    assert method.input_type.full_name == "grpc.reflection.v1.ServerReflectionRequest"
