"""A client of grpcio accepts the server names that the findings say, on the wire."""

from __future__ import annotations

import grpc
import pytest
from support.named_servers import DIALLED, named_servers, refused_by
from support.services import PATIENCE


@pytest.fixture(scope="module", name="servers")
def _servers(tmp_path_factory):
    """The ports and certificates by name, and the CA."""
    folder = tmp_path_factory.mktemp("names")
    with named_servers(folder) as (ports, certificates):
        yield ports, certificates, (folder / "ca.pem").read_bytes()


@pytest.mark.parametrize("name", DIALLED)
def test_grpcio_client_accepts_what_the_findings_say(servers, name):
    """It gets as far as a call, or cannot connect."""
    ports, certificates, ca = servers
    options = [
        ("grpc.ssl_target_name_override", DIALLED[name]),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_retries", 0),
    ]
    credentials = grpc.ssl_channel_credentials(ca)
    target = f"127.0.0.1:{ports[name]}"
    with (
        grpc.secure_channel(target, credentials, options) as channel,
        pytest.raises(grpc.RpcError) as caught,
    ):
        channel.unary_unary("/no.Such/Method")(b"", timeout=PATIENCE)
    refused = refused_by(certificates[name], "grpcio")
    expected = grpc.StatusCode.UNAVAILABLE if refused else grpc.StatusCode.UNIMPLEMENTED
    assert caught.value.code() is expected
