"""Identities, rules and policy tests, from the config file to calls on a server."""

from __future__ import annotations

import sys

import grpc
import pytest
from helloworld.helloworld_pb2_grpc import GreeterStub
from support.certificates import make_certificates
from support.process import ROOT
from support.servers import greeting_of

import grpcsecure

CONFIG = f"""\
version: 1
services: [{{servicer: 'helloworld.greeter:Greeter'}}]
server: {{import_paths: ['{ROOT / "examples"}']}}
listeners:
  field:
    address: 127.0.0.1:0
    tls:
      certificate: certs/server.pem
      private_key: certs/server.key
      client_certificate: request_but_dont_verify
identities:
  units: {{certificates: registered}}
authorization:
  rules:
    units: {{allow: [units], methods: ["/helloworld.Greeter/*"]}}
    health: {{allow: [anyone], methods: ["/grpc.health.v1.Health/*"]}}
  tests:
    - as: {{certificates: registered}}
      call: /helloworld.Greeter/SayHello
      expect: EXPECTED
"""


@pytest.fixture(name="folder")
def _folder(tmp_path, monkeypatch):
    """A folder with certificates of two clients, one of which is registered."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    make_certificates(tmp_path / "certs", clients=("dns:one", "dns:two"))
    registered = tmp_path / "registered"
    registered.mkdir()
    (registered / "one.crt").write_bytes((tmp_path / "certs/client.pem").read_bytes())
    return tmp_path


def load(folder, expected="allow"):
    """Write and load the config; its policy test expects `expected`."""
    path = folder / "server.yaml"
    path.write_text(CONFIG.replace("EXPECTED", expected))
    return grpcsecure.load(path)


def greet(folder, server, name=None):
    """Return the greeting for a client, or the status of its call."""
    certs = folder / "certs"
    pair = {}
    if name is not None:
        pair = {
            "private_key": (certs / f"{name}.key").read_bytes(),
            "certificate_chain": (certs / f"{name}.pem").read_bytes(),
        }
    credentials = grpc.ssl_channel_credentials((certs / "ca.pem").read_bytes(), **pair)
    with grpc.secure_channel(server.addresses["field"], credentials) as channel:
        try:
            return greeting_of(GreeterStub(channel))
        except grpc.RpcError as error:
            return error.code()


def test_registered_certificate_may_call_and_no_other(folder):
    """Only a client whose certificate is in the named folder may call."""
    with load(folder) as server:
        assert "Hello" in greet(folder, server, "client")
        unknown = grpc.StatusCode.UNAUTHENTICATED
        assert greet(folder, server, "client-2") is unknown
        assert greet(folder, server) is unknown


def test_failed_policy_test_keeps_the_server_from_starting(folder):
    """A failing policy test is an error at the start, as in `validate`."""
    with pytest.raises(grpcsecure.ConfigError, match=r"\[GS414\]") as caught:
        load(folder, "deny")
    [finding] = [f for f in caught.value.report.findings if f.is_error]
    assert finding.message == (
        "a test fails: `/helloworld.Greeter/SayHello` is allowed by rule `units` for"
        " `one.crt` on `field`"
    )
