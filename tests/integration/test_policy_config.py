"""Identities, rules and policy tests, from the config file to calls on a server."""

from __future__ import annotations

import sys
from concurrent import futures

import grpc
import pytest
from helloworld.helloworld_pb2_grpc import GreeterStub
from support.certificates import make_certificates
from support.process import ROOT
from support.servers import greeting_of

import grpcsecure
from grpcsecure.checking.rules.rule_effect import RESERVED_KEYS

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


class _RecordingHandler(grpc.GenericRpcHandler):
    """A handler that records the metadata keys of each call and serves no method."""

    def __init__(self):
        self.seen = []

    def service(self, handler_call_details):
        self.seen += [key for key, _ in handler_call_details.invocation_metadata]


def test_reserved_metadata_keys_never_reach_the_server():
    """Keys in `RESERVED_KEYS` are dropped by gRPC, so no rule could match them.

    Similar keys that are not reserved are delivered.
    """
    handler = _RecordingHandler()
    server = grpc.server(futures.ThreadPoolExecutor(1), handlers=(handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary("/a.B/C")
        for key in (*sorted(RESERVED_KEYS), "grpc-other", "host"):
            value = b"1" if key.endswith("-bin") else "1S"
            with pytest.raises(grpc.RpcError):
                call(b"", metadata=((key, value),), timeout=30)
    server.stop(None).wait()
    assert not RESERVED_KEYS & set(handler.seen)
    assert {"grpc-other", "host"} < set(handler.seen)
