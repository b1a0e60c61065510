"""Binding an address: the reason in the message is the true one."""

from __future__ import annotations

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
import pytest
from support.certificates import make_certificates
from support.servers import socket_path

from grpcsecure.errors import BindError
from grpcsecure.model.listener import Listener, TcpAddress, TlsSettings, UnixAddress
from grpcsecure.model.modes import ClientCertificateMode
from grpcsecure.server.runtime.bind import bind
from grpcsecure.server.runtime.listening_addresses import (
    Endpoint,
    ListeningSockets,
    find_missing,
    resolve,
)

TLS = TlsSettings(
    certificate=Path("/server.pem"),
    private_key=Path("/server.key"),
    client_certificate=ClientCertificateMode.DONT_REQUEST,
)


def listener(address):
    """Return a TLS listener."""
    return Listener(name="public", address=address, tls=TLS)


@pytest.fixture(scope="module", name="certificates")
def _certificates(tmp_path_factory):
    """A folder with certificates and keys."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@contextmanager
def mismatched(certificates):
    """Yield a function that binds an address with a key of another certificate."""
    pair = [(certificates / name).read_bytes() for name in ("client.key", "server.pem")]
    credentials = grpc.ssl_server_credentials([tuple(pair)])
    with ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool)
        try:
            yield lambda target: server.add_secure_port(target, credentials)
        finally:
            server.start()
            server.stop(0).wait()


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_refused_tls_settings_are_the_reason(certificates, tmp_path, kind):
    """If gRPC can bind the address without TLS, its TLS settings are at fault."""
    address = (
        TcpAddress("127.0.0.1", 0)
        if kind == "tcp"
        else UnixAddress(Path(socket_path(tmp_path)))
    )
    with (
        mismatched(certificates) as add_port,
        pytest.raises(BindError, match="but gRPC refused the TLS settings"),
    ):
        bind(listener(address), add_port)


def test_taken_address_is_the_reason_whatever_the_tls_settings(certificates):
    """The address is reported, also if the TLS settings would be refused as well."""
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        mismatched(certificates) as add_port,
        pytest.raises(BindError, match="address already in use"),
    ):
        bind(listener(TcpAddress("127.0.0.1", taken.getsockname()[1])), add_port)


def test_address_that_is_not_listened_on_is_found():
    """The addresses asked for are compared with those of the sockets that exist."""
    with ExitStack() as stack:
        before = ListeningSockets()
        one = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = one.getsockname()[1]
        stack.enter_context(socket.create_server(("127.0.0.2", 0)))
        both = [Endpoint(socket.AF_INET, f"127.0.0.{number}") for number in (1, 2)]
        assert before.added(port) == {both[0]}
        assert ListeningSockets().added(port) == set()
        assert find_missing(both[:1], port, before.added(port)) is None
        assert find_missing(both, port, before.added(port)) == (
            "not listened on: 127.0.0.2; gRPC would listen on 127.0.0.1 only"
        )


def test_sockets_are_looked_at_without_changing_them():
    """A default timeout of the program does not make its own sockets non-blocking."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        socket.setdefaulttimeout(20)
        try:
            ListeningSockets()
        finally:
            socket.setdefaulttimeout(None)
        assert os.get_blocking(one.fileno())


def test_name_is_resolved_to_all_of_its_addresses():
    """`localhost` has both families, whatever the list of hosts of the machine says."""
    hosts = [str(each) for each in resolve(TcpAddress("LocalHost", 0))]
    assert hosts in (["127.0.0.1", "[::1]"], ["127.0.0.1"])
    with pytest.raises(OSError):  # noqa: PT011 - the system's words
        resolve(TcpAddress("nosuch.invalid", 0))
