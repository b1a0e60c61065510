"""Clients whose certificates TLS serves and `cryptography` does not parse."""

from __future__ import annotations

import grpc
import pytest
from cryptography import x509
from helloworld.helloworld_pb2 import HelloRequest
from helloworld.helloworld_pb2_grpc import GreeterStub
from support.bridge_certs import CLIENT_AUTH, authority, certificate
from support.process import run
from support.resigned_certificates import KINDS, SUBJECT, resigned, resigned_client
from support.services import PATIENCE

import grpcsecure
from grpcsecure.tls.certificate import subject_public_key_info
from grpcsecure.tls.digests import spell_digest

pytestmark = pytest.mark.usefixtures("examples_importable")

ENGINES = ("grpc", "bridge")


def config_of(folder, client):
    """Write and return a config whose rules match by name, certificate and key."""
    listeners = "".join(
        f"""  {engine}:
    address: 127.0.0.1:0
    tls: {{certificate: server.pem, private_key: server.key, client_ca: ca.pem,
          client_certificate: require_and_verify, engine: {engine}}}
"""
        for engine in ENGINES
    )
    key = spell_digest(subject_public_key_info(client.der))
    path = folder / "server.yaml"
    path.write_text(
        "version: 1\n"
        "services: [{servicer: helloworld.greeter:Greeter}]\n"
        f"listeners:\n{listeners}"
        f"""identities:
  named: {{dns: device.test}}
  pinned: {{fingerprint: "{spell_digest(client.der)}"}}
  keyed: {{public_key: "{key}"}}
authorization:
  rules:
    {{named: {{allow: [named], methods: ["*/SayHello"]}},
     pinned: {{allow: [pinned], methods: ["*/SayHelloManyTimes"]}},
     keyed: {{allow: [keyed], methods: ["/grpc.health.v1.Health/Check"]}}}}
"""
    )
    return path


@pytest.fixture(name="folder")
def _folder(tmp_path):
    """A folder with a server's certificate and a CA; the CA is returned as well."""
    ca = authority("test CA")
    server = certificate("localhost", issuer=ca, names=None)
    (tmp_path / "server.pem").write_bytes(server.certificate_pem)
    (tmp_path / "server.key").write_bytes(server.key_pem)
    (tmp_path / "server.key").chmod(0o600)
    (tmp_path / "ca.pem").write_bytes(ca.certificate_pem)
    return tmp_path, ca


def connect(address, ca, client):
    """Return a channel of a client to a server of the CA."""
    credentials = grpc.ssl_channel_credentials(
        ca.certificate_pem, client.key_pem, client.certificate_pem
    )
    options = [("grpc.ssl_target_name_override", "localhost")]
    return grpc.secure_channel(address, credentials, options)


@pytest.mark.parametrize("kind", KINDS)
def test_client_is_known_by_name_certificate_and_key(folder, kind):
    """On both engines; `explain` gives the same answer."""
    path, ca = folder
    client = resigned_client(ca, kind)
    (path / "client.pem").write_bytes(client.certificate_pem)
    config = config_of(path, client)
    with grpcsecure.load(config) as server:
        for engine in ENGINES:
            with connect(server.addresses[engine], ca, client) as channel:
                greeter, request = GreeterStub(channel), HelloRequest(name="x")
                assert greeter.SayHello(request, timeout=PATIENCE)
                assert [*greeter.SayHelloManyTimes(request, timeout=PATIENCE)]
                check = channel.unary_unary("/grpc.health.v1.Health/Check")
                assert check(b"", timeout=PATIENCE)
    explained = run(
        *("explain", config, "--method", "/helloworld.Greeter/SayHello"),
        *("--cert", path / "client.pem"),
        PYTHONPATH="examples",
    )
    assert explained.returncode == 0, explained
    assert explained.stdout.count("ALLOW") == len(ENGINES)


@pytest.mark.parametrize("kind", KINDS[:2])
def test_such_a_ca_hides_no_other_ca(folder, kind):
    """Clients of the CA after it in the file are served, on both engines."""
    path, ca = folder
    odd_pair = authority(SUBJECT)
    odd = resigned(odd_pair, odd_pair, kind)
    (path / "ca.pem").write_bytes(odd.certificate_pem + ca.certificate_pem)
    client = certificate("client", issuer=ca, extended=CLIENT_AUTH)
    config = config_of(path, resigned_client(ca, kind))
    config.write_text(config.read_text().partition("identities:")[0])
    found = run("validate", "--no-services", config)
    assert found.returncode == 0, found
    with grpcsecure.load(config) as server:
        for engine in ENGINES:
            with connect(server.addresses[engine], ca, client) as channel:
                request = HelloRequest(name="x")
                assert GreeterStub(channel).SayHello(request, timeout=PATIENCE)


@pytest.mark.parametrize("kind", KINDS)
def test_such_a_server_certificate_is_served(folder, kind):
    """On both engines, with another such certificate in its chain."""
    path, ca = folder
    issuer = certificate("issuing CA", issuer=ca, is_ca=True, usage=None)
    sent = resigned(issuer, ca, "default criticality")
    pair = certificate(SUBJECT, issuer=issuer, names=[x509.DNSName("localhost")])
    odd = resigned(pair, issuer, kind)
    (path / "server.pem").write_bytes(odd.certificate_pem + sent.certificate_pem)
    (path / "server.key").write_bytes(odd.key_pem)
    client = resigned_client(ca, kind)
    config = config_of(path, client)
    found = run("validate", "--no-services", config)
    assert found.returncode == 0, found
    with grpcsecure.load(config) as server:
        for engine in ENGINES:
            with connect(server.addresses[engine], ca, client) as channel:
                request = HelloRequest(name="x")
                assert GreeterStub(channel).SayHello(request, timeout=PATIENCE)
