"""Both engines, and plaintext, listen on the same addresses: on all, or on none."""

from __future__ import annotations

import json
import socket
from contextlib import ExitStack, contextmanager

import pytest
from support.certificates import make_certificates
from support.services import PATIENCE

import grpcsecure
from grpcsecure.errors import BindError
from grpcsecure.server.runtime import listening_addresses

IPV4, IPV6 = "127.0.0.1", "::1"

#: A host as a config writes it, and the loopback addresses on which it listens.
HOSTS = {
    "localhost": [IPV4, IPV6],
    "127.0.0.1": [IPV4],
    "127.1": [IPV4],
    "[::1]": [IPV6],
    "[::1%lo]": [IPV6],
    "[::ffff:127.0.0.1]": [IPV4],
    "0.0.0.0": [IPV4, IPV6],
    "[::]": [IPV4, IPV6],
}

#: A host, the address that is taken, and the reason in the message, by engine.
TAKEN = [
    ("localhost", IPV4, "address already in use: 127.0.0.1"),
    ("localhost", IPV6, "address already in use: [::1]"),
    ("0.0.0.0", IPV4, "address already in use"),
    ("0.0.0.0", IPV6, "address already in use: [::]"),
    ("[::]", IPV4, "address already in use: 0.0.0.0"),
    ("127.1", IPV4, "address already in use"),
]


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory):
    """A folder with a server certificate."""
    folder = tmp_path_factory.mktemp("addresses")
    make_certificates(folder)
    return folder


@pytest.fixture(name="tls", params=["plaintext", "grpc", "bridge"])
def _tls(request):
    """The settings of a listener: plaintext, or TLS by one of the engines."""
    if request.param == "plaintext":
        return {"plaintext": True}
    tls = {
        "certificate": "server.pem",
        "private_key": "server.key",
        "client_certificate": "dont_request",
        "engine": request.param,
    }
    return {"tls": tls}


def load(folder, tls, address):
    """Return a server with one listener, not started."""
    config = {
        "version": 1,
        "services": [{"servicer": "support.recording_peers:PeerRecorder"}],
        "server": {"shutdown_grace": "1s"},
        "listeners": {"public": {"address": address, **tls}},
    }
    path = folder / "server.yaml"
    path.write_text(json.dumps(config))
    return grpcsecure.load(path)


def answers(host, port):
    """Whether a server listens at an address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as client:
        client.settimeout(PATIENCE)
        return client.connect_ex((host, port)) == 0


@contextmanager
def taken(host, port=0):
    """Listen on one address, and on no other; yield the port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family) as sock:
        yield sock.getsockname()[1]


@pytest.mark.parametrize("host", HOSTS)
def test_listener_listens_on_every_address_of_its_host(folder, tls, host):
    """Names and other spellings stand for the same addresses whatever serves them."""
    with load(folder, tls, f"{host}:0") as server:
        port = int(server.addresses["public"].rpartition(":")[2])
        heard = [each for each in (IPV4, IPV6) if answers(each, port)]
    assert heard == HOSTS[host]


@pytest.mark.parametrize(("host", "other", "reason"), TAKEN)
def test_taken_part_of_an_address_is_an_error(folder, tls, host, other, reason):
    """A server that would listen on the rest alone does not start, and names the part.

    None of its other addresses is listened on afterwards.
    """
    with taken(other) as port:
        server = load(folder, tls, f"{host}:{port}")
        with pytest.raises(BindError) as caught:
            server.start()
        rest = IPV6 if other == IPV4 else IPV4
        assert not answers(rest, port)
    shown = server.config.listeners[0].address
    message = f"listener `public` cannot listen on {shown}: {reason}"
    assert str(caught.value).partition(";")[0] == message


def test_free_port_is_free_at_every_address(folder, tls, monkeypatch):
    """Port 0 of `localhost` becomes a port that is free on both addresses."""
    first = []
    really_open = listening_addresses._open
    with ExitStack() as stack:

        def open_taken(endpoint, port, backlog):
            """Take the other address of the first port that is tried."""
            sock = really_open(endpoint, port, backlog)
            if not first:
                first.append(sock.getsockname()[1])
                stack.enter_context(taken(IPV6, first[0]))
            return sock

        monkeypatch.setattr(listening_addresses, "_open", open_taken)
        with load(folder, tls, "localhost:0") as server:
            port = int(server.addresses["public"].rpartition(":")[2])
            assert answers(IPV4, port)
            assert answers(IPV6, port)
    assert port not in first
