"""Misbehaving and hostile clients do not affect other clients."""

from __future__ import annotations

import random
import socket
import ssl
import struct
import subprocess
import time
from contextlib import ExitStack, suppress
from statistics import median

import pytest
from cryptography import x509
from support.bridge import (
    PATIENCE,
    BridgedServer,
    call,
    channel,
    eventually,
    material,
    settings,
    tls_connect,
    tls_context,
    try_call,
)
from support.bridge_certs import (
    DAY,
    NOW,
    SERVER_AUTH,
    authority,
    certificate,
)
from support.bridge_garbage import handshake_with_garbage
from support.http2 import PREFACE

from grpcsecure.tls.bridge.ipc.refusal import RefusalKind


@pytest.fixture(scope="module")
def server(host, pair, ca):
    """Listeners: for trusted clients, all clients, any certificate, a short timeout."""
    trusted = material(pair, client_ca=[ca])
    listeners = {
        "public": (settings("require_and_verify"), trusted),
        "open": (settings("dont_request"), material(pair)),
        "any": (settings("require_but_dont_verify"), trusted),
        "impatient": (settings("dont_request", timeout=0.3), material(pair)),
    }
    with BridgedServer(listeners, host=host) as running:
        yield running


@pytest.fixture(autouse=True)
def others_are_served(server, ca, client):
    """Check after each test that an open connection and a new one are served."""
    with channel(server.target(), ca, client) as opened:
        call(opened)
        yield
        call(opened)
    assert try_call(server.target(), ca, client) is None


def connect(server, name):
    """Return a plain connection to a listener."""
    return socket.create_connection(("127.0.0.1", server.port(name)), timeout=PATIENCE)


def read_to_end(connection):
    """Read until the other end closes or resets."""
    with suppress(ConnectionError):
        while connection.recv(65536):
            pass


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (PREFACE, "plaintext HTTP/2 preface on a TLS port"),
        (b"GET / HTTP/1.1\r\n\r\n", "plaintext HTTP/1 request on a TLS port"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", "PROXY protocol header on a TLS port"),
        (b"\0" * 100, "bytes that are not TLS"),
        (b"\x80\x2e\x01\x03\x01" + bytes(40), "bytes that are not TLS"),
    ],
)
def test_plaintext_protocol_is_named(server, data, reason):
    """A client without TLS is refused, and the reason names its protocol."""
    with connect(server, "open") as connection:
        connection.sendall(data)
        read_to_end(connection)
    refusal = server.observer.refusal(kind=RefusalKind.PLAINTEXT, reason=reason)
    assert refusal.address.startswith("ipv4:127.0.0.1:")
    assert refusal.listener == "open"


def test_random_bytes_end_their_own_connection(server):
    """Random bytes, with and without the header of a TLS record, are always refused."""
    noise = random.Random(7)
    for number in range(40):
        with connect(server, "open") as connection:
            connection.sendall(
                (b"\x16\x03\x01" if number % 2 else b"") + noise.randbytes(300)
            )
            connection.shutdown(socket.SHUT_WR)
            read_to_end(connection)


ALERTS = {
    "no certificate": "certificate required",
    "stranger": "unknown ca",
    "server only": "unsupported certificate",
    "expired": "certificate expired",
}


@pytest.mark.parametrize("what", ALERTS)
def test_refused_client_gets_the_fitting_alert(server, ca, tmp_path, what):
    """The client's own error names the reason (RFC 8446, section 6.2)."""
    clients = {
        "no certificate": None,
        "stranger": certificate("x", issuer=authority("stranger")),
        "server only": certificate("y", issuer=ca, extended=SERVER_AUTH),
        "expired": certificate("z", issuer=ca, start=NOW - 2 * DAY, end=NOW - DAY),
    }
    context = tls_context(ca, clients[what], folder=tmp_path)
    with (
        pytest.raises(ssl.SSLError, match=ALERTS[what]),
        tls_connect(server.port(), context) as connection,
    ):
        connection.recv(1)


TLS_VERSIONS = pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])


@TLS_VERSIONS
def test_client_of_another_protocol_gets_its_alert(server, ca, version):
    """If ALPN is offered without h2, the alert is no_application_protocol."""
    context = tls_context(ca, alpn=("http/1.1",), version=ssl.TLSVersion[version])
    with pytest.raises(ssl.SSLError, match="no application protocol"):
        tls_connect(server.port("open"), context)
    refusal = server.observer.refusal(kind=RefusalKind.NO_H2)
    assert refusal.reason == "no ALPN h2: the client offered http/1.1"


@TLS_VERSIONS
def test_client_without_alpn_is_closed_after_the_handshake(server, ca, version):
    """As on gRPC's own listeners: TLS scanners complete their handshakes."""
    context = tls_context(ca, alpn=None, version=ssl.TLSVersion[version])
    with tls_connect(server.port("open"), context) as connection:
        connection.sendall(PREFACE)
        assert connection.recv(1) == b""  # close_notify
    refusal = server.observer.refusal(kind=RefusalKind.NO_H2)
    assert refusal.reason == "no ALPN h2: the client offered no ALPN"


@TLS_VERSIONS
def test_client_without_alpn_reaches_no_server(raw, ca, version):
    """The bridge opens no connection to the server for it, so no byte arrives there."""
    context = tls_context(ca, alpn=None, version=ssl.TLSVersion[version])
    with tls_connect(raw.server.port(), context) as connection:
        connection.sendall(PREFACE)
        assert connection.recv(1) == b""
    raw.listener.settimeout(0.2)
    with pytest.raises(TimeoutError):
        raw.accept()


@TLS_VERSIONS
def test_client_without_alpn_is_refused_for_its_certificate_first(server, ca, version):
    """Without the certificate that the mode requires, it gets that alert."""
    context = tls_context(ca, alpn=None, version=ssl.TLSVersion[version])
    with (
        pytest.raises(ssl.SSLError, match=r"certificate required|handshake failure"),
        tls_connect(server.port(), context) as connection,
    ):
        connection.recv(1)
    assert server.observer.refusal(kind=RefusalKind.NO_CERTIFICATE)


def test_openssl_without_alpn_shows_the_certificate(server):
    """`openssl s_client` without `-alpn` works, also after a HelloRetryRequest."""
    command = [
        *("openssl", "s_client", "-connect", server.target("open"), "-tls1_3"),
        *("-groups", "P-384:P-256", "-servername", "localhost"),
    ]
    done = subprocess.run(command, input=b"", capture_output=True, check=False)
    assert b"subject=CN = localhost" in done.stdout.replace(b"CN=", b"CN = ")
    assert b"alert" not in done.stderr
    assert server.observer.refusal(kind=RefusalKind.NO_H2)


def test_old_tls_is_refused(server, ca):
    """TLS 1.1 gets the alert protocol_version, and the reason is in the refusal."""
    command = [
        *("openssl", "s_client", "-connect", server.target("open"), "-tls1_1"),
        *("-cipher", "DEFAULT@SECLEVEL=0", "-alpn", "h2"),
    ]
    done = subprocess.run(command, input=b"", capture_output=True, check=False)
    assert b"protocol version" in done.stderr
    reason = "TLS version too old for this listener"
    assert server.observer.refusal(reason=reason)


def client_hello(ca):
    """Return the bytes of a valid ClientHello."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = tls_context(ca).wrap_bio(incoming, outgoing, server_hostname="localhost")
    with suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize(
    ("alert", "reason"),
    [
        # OpenSSL has no name for this one.
        (b"\x02\xc8", "the client refused: an unknown alert"),
        # close_notify, which a client may send at any time to end the connection.
        (b"\x01\x00", "the client closed the connection during the handshake"),
    ],
    ids=["unknown", "close_notify"],
)
def test_alert_in_a_handshake_is_the_reason(server, ca, alert, reason):
    """If the client ends the handshake with an alert, the refusal names it."""
    with connect(server, "open") as connection:
        connection.sendall(client_hello(ca) + b"\x15\x03\x03\x00\x02" + alert)
        read_to_end(connection)
    assert server.observer.refusal(kind=RefusalKind.CLIENT, reason=reason)


@pytest.mark.parametrize("part", [0.0, 0.5, 1.0], ids=["silent", "half", "no answer"])
def test_handshake_that_stalls_is_ended(server, ca, part):
    """An incomplete handshake ends at the deadline, however much was sent."""
    hello = client_hello(ca)
    with connect(server, "impatient") as connection:
        connection.sendall(hello[: int(len(hello) * part)])
        read_to_end(connection)  # which fails after `PATIENCE` seconds
    refusal = server.observer.refusal(kind=RefusalKind.TIMEOUT)
    assert refusal.reason.endswith("after 0.3s")


def test_client_hello_byte_by_byte_is_served(server, ca):
    """A slow client is served: it may send its hello in single bytes."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = tls_context(ca).wrap_bio(incoming, outgoing, server_hostname="localhost")
    with connect(server, "open") as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                for byte in outgoing.read():
                    connection.sendall(bytes([byte]))
                incoming.write(connection.recv(65536))
        assert tls.selected_alpn_protocol() == "h2"


def test_silent_connections_do_not_delay_others(server, ca, client):
    """With a thousand clients that send nothing, other clients are served in time."""
    with ExitStack() as stack:
        for _ in range(1000):
            stack.enter_context(connect(server, "open"))
        latencies = []
        for _ in range(10):
            began = time.monotonic()
            assert try_call(server.target(), ca, client) is None
            latencies.append(time.monotonic() - began)
    assert median(latencies) < 2


def test_reset_in_the_middle_ends_one_connection(server, ca, client, tmp_path):
    """A reset before, in or after a handshake does not affect other connections."""
    context = tls_context(ca, client, folder=tmp_path)
    hello = client_hello(ca)
    linger = struct.pack("ii", 1, 0)
    for part in (b"", hello[:50], hello):
        with connect(server, "public") as connection:
            connection.sendall(part)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    with tls_connect(server.port(), context) as connection:
        connection.sendall(PREFACE)
        connection.recv(9)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    eventually(lambda: len(server.bridge.peers) <= 1)


def test_oversized_chain_is_refused(server, ca, tmp_path):
    """A chain of more than 100 KiB is refused without being parsed."""
    bulk = certificate("bulk", issuer=ca, names=[x509.DNSName("x" * 60000)]).certificate
    client = certificate("c", issuer=ca, send=(bulk, bulk))
    context = tls_context(ca, client, folder=tmp_path)
    with suppress(OSError), tls_connect(server.port("any"), context) as connection:
        connection.recv(1)
    assert server.observer.refusal(reason="a message that is too large")


def test_large_names_are_served(server, ca, tmp_path):
    """A name of 10,000 characters is unusual, but accepted."""
    client = certificate("big", issuer=ca, names=[x509.DNSName("x" * 10000)])
    context = tls_context(ca, client, folder=tmp_path)
    with tls_connect(server.port(), context) as connection:
        connection.sendall(PREFACE)
        assert connection.recv(9)[3:4] == b"\x04"


def test_garbage_instead_of_a_certificate_is_refused(server, ca):
    """Malformed DER is refused, even in a mode that does not verify."""
    handshake_with_garbage(server.port("any"), b"\x30\x03\x02\x01\x05")
    refusal = server.observer.refusal(listener="any")
    assert refusal.kind in (RefusalKind.BAD_CERTIFICATE, RefusalKind.PROTOCOL)


def test_sessions_are_resumed_only_if_no_certificate_is_requested(
    server, ca, client, tmp_path
):
    """A listener that requests a certificate never resumes a session."""
    pem = tmp_path / "client.pem"
    pem.write_bytes(client.chain_pem + client.key_pem)
    for name, version in (
        (name, version) for name in ("open", "public") for version in ("2", "3")
    ):
        context = tls_context(ca, version=ssl.TLSVersion[f"TLSv1_{version}"])
        context.load_cert_chain(pem)
        sessions = []
        reused = []
        for _ in range(2):
            raw = socket.create_connection(("127.0.0.1", server.port(name)))
            with context.wrap_socket(
                raw,
                server_hostname="localhost",
                session=sessions[-1] if sessions else None,
            ) as connection:
                connection.sendall(PREFACE)
                connection.recv(9)
                sessions.append(connection.session)
                reused.append(connection.session_reused)
        assert reused == [False, name == "open"]


def test_refusals_are_counted_when_they_are_too_many(server):
    """Many refusals are reported as a few events with counts, which add up."""
    while not server.observer.has_no_refusals():
        pass
    began = time.monotonic()
    for _ in range(60):
        with connect(server, "open") as connection:
            connection.sendall(b"SSH-2.0-x\r\n")
            read_to_end(connection)
    counted = 0
    events = 0
    while counted < 60:
        refusal = server.observer.refusal(reason="SSH on a TLS port")
        events += 1
        counted += 1 + refusal.left_out
    assert counted == 60
    # Ten a second and a sum for each second.
    assert events <= 11 * (time.monotonic() - began + 1)


def test_each_bad_input_is_one_refusal(pair, ca, client):
    """Each bad connection is reported exactly once, however many bytes it sent."""
    hello = client_hello(ca)
    reset = struct.pack("ii", 1, 0)
    inputs = {
        PREFACE * 1000: RefusalKind.PLAINTEXT,
        b"\x16\x03\x01\xff\xff" + bytes(60_000): RefusalKind.PROTOCOL,
        hello[:60]: RefusalKind.TIMEOUT,
        hello: RefusalKind.TIMEOUT,
        hello[:40] + bytes(len(hello)): RefusalKind.PROTOCOL,
        b"": RefusalKind.TIMEOUT,
    }
    mode, trusted = "require_and_verify", material(pair, client_ca=[ca])
    listeners = {
        "public": (settings(mode, timeout=PATIENCE), trusted),
        "impatient": (settings(mode, timeout=0.3), trusted),
    }
    with BridgedServer(listeners) as server:
        refusals = server.observer.refusals
        for data, kind in inputs.items():
            name = "impatient" if kind is RefusalKind.TIMEOUT else "public"
            with connect(server, name) as connection, suppress(ConnectionError):
                connection.sendall(data)
                read_to_end(connection)
            assert refusals.get(timeout=PATIENCE).kind is kind, data[:20]
        for mode in (socket.SHUT_WR, None):
            with connect(server, "public") as connection:
                connection.sendall(hello[:60])
                if mode is None:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
                else:
                    connection.shutdown(mode)
                    read_to_end(connection)
            assert refusals.get(timeout=PATIENCE).kind is RefusalKind.CLIENT
        handshake_with_garbage(server.port(), b"\x30\x03\x02\x01\x05")
        assert refusals.get(timeout=PATIENCE).kind is RefusalKind.BAD_CERTIFICATE
        assert try_call(server.target(), ca)
        assert refusals.get(timeout=PATIENCE).kind is RefusalKind.NO_CERTIFICATE
        assert try_call(server.target(), ca, client) is None
        assert refusals.empty()
