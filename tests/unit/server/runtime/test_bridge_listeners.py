"""The two sockets of a bridged listener, and errors when binding them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from support.bridge import material, settings
from support.bridge_certs import certificate
from support.servers import assemble, custom

from grpcsecure.errors import BindError
from grpcsecure.model.listener import Listener, TcpAddress
from grpcsecure.server.rpc.bridged_caller import BridgedView
from grpcsecure.server.runtime.bridge_listeners import BridgeListeners


@pytest.fixture(name="front")
def _front():
    """Bridge listeners whose bridge has not been started."""
    front = BridgeListeners(pytest.fail)
    yield front
    front.stop()


def test_unbindable_upstream_socket_is_reported_with_its_reason(front):
    """It raises the listener's BindError with the reason, as for the public socket."""
    tls = settings("dont_request")
    listener = Listener(name="public", address=TcpAddress("127.0.0.1", 0), tls=tls)
    in_force = assemble(custom()).in_force
    view = BridgedView("public", tls.client_certificate, in_force)
    server = grpc.server(ThreadPoolExecutor(1))
    inner = Path(front._directory.socket_path(0))
    inner.write_text("in the way")
    with pytest.raises(BindError) as caught:
        front.bind(
            listener,
            material(certificate("localhost")),
            view,
            server.add_insecure_port,
        )
    inner.unlink()
    assert str(caught.value) == (
        f"listener `public` cannot listen on unix:{inner}:"
        " the path exists and is not a socket"
    )
