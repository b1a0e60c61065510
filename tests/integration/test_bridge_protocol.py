"""TLS messages other than data are answered, refused or limited by the bridge."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from threading import Thread

import pytest
from support.bridge import (
    PATIENCE,
    BridgedServer,
    call,
    channel,
    material,
    settings,
    tls_context,
    try_call,
)
from support.http2 import PING, PING_ANSWER, PREFACE, frame
from support.tls_records import (
    ALERT,
    APPLICATION_DATA,
    CHANGE_CIPHER_SPEC,
    HANDSHAKE,
    HandmadeClient,
    split_records,
)

#: Alerts (RFC 8446, section 6; RFC 5246, section 7.2).
WARNING, FATAL = 1, 2
NO_RENEGOTIATION = 100

#: An HTTP/2 frame of an unknown type, which the server has to ignore.
UNKNOWN = frame(0x77, 0, 0, bytes(16_000))


@pytest.fixture(scope="module")
def server(host, pair, ca):
    """A listener for trusted clients, and one for all clients."""
    listeners = {
        "public": (settings("require_and_verify"), material(pair, client_ca=[ca])),
        "open": (settings("dont_request"), material(pair)),
    }
    with BridgedServer(listeners, host=host) as running:
        yield running


@pytest.fixture
def control(server, ca, client):
    """A connection that makes calls before, during and after the misbehaviour."""
    with channel(server.target(), ca, client) as opened:
        call(opened)
        yield opened
        call(opened)
    assert try_call(server.target(), ca, client) is None


def is_served(client):
    """Wait until the server answers on a connection; return True."""
    client.send(PING)
    answers = b""
    while PING_ANSWER not in answers:
        answers += client.receive_data()
    return True


def test_key_updates_are_answered(server, control):
    """Both sides change their keys as often as the client requests it."""
    with HandmadeClient(server.port("open")) as client:
        client.send(PREFACE)
        for _ in range(3):
            client.socket.sendall(client.key_update())
            assert is_served(client)
        assert client.updates == 3
        client.socket.sendall(client.key_update(request=False))
        assert is_served(client)
        assert client.updates == 3


def hello(client):
    """Return the record of a ClientHello after the handshake."""
    return client.seal(HANDSHAKE, b"\x01\0\0\0")


def test_renegotiation_is_refused_and_the_connection_goes_on(server, control):
    """Each attempt in TLS 1.2 is answered with a warning, no_renegotiation."""
    with HandmadeClient(server.port("open"), version=2) as client:
        client.send(PREFACE)
        assert is_served(client)
        for _ in range(3):
            client.socket.sendall(hello(client))
            assert client.receive() == (ALERT, bytes([WARNING, NO_RENEGOTIATION]))
        assert is_served(client)


def hellos(client, *, count=20_000):
    """Return many attempts to begin a renegotiation."""
    return b"".join(hello(client) for _ in range(count))


def key_updates(client):
    """Return many KeyUpdates, each of which requires an answer."""
    return b"".join(client.key_update() for _ in range(10_000))


def updates_and_data(client):
    """Return KeyUpdates, and between them at least as many bytes of data."""
    return b"".join(
        b"".join(client.key_update() for _ in range(1800))
        + b"".join(client.seal(APPLICATION_DATA, UNKNOWN) for _ in range(4))
        for _ in range(8)
    )


def tiny_records(client):
    """Return data in records of one byte each."""
    return b"".join(
        client.seal(APPLICATION_DATA, bytes([byte])) for byte in UNKNOWN * 6
    )


@pytest.mark.parametrize(
    ("flood", "version"),
    [
        (key_updates, 3),
        (updates_and_data, 3),
        (hellos, 2),
        (tiny_records, 3),
        (tiny_records, 2),
    ],
)
def test_flood_delays_other_clients_only_a_little(server, control, flood, version):
    """A client that keeps OpenSSL busy gets only its share of the time.

    Calls of another client are counted, which holds on a busy machine too: a bridge
    that worked off the flood first would answer them when it is over, one or two.
    """
    with HandmadeClient(server.port("open"), version=version) as client:
        client.send(PREFACE)
        data = memoryview(flood(client))
        reader = Thread(target=read_to_end, args=[client.socket], daemon=True)
        reader.start()
        answered = 0
        while reader.is_alive():
            if data:
                with suppress(BlockingIOError):
                    sent = client.socket.send(data[: 1 << 20], socket.MSG_DONTWAIT)
                    data = data[sent:]
                    if not data:
                        client.socket.shutdown(socket.SHUT_WR)
            call(control)
            answered += 1
        assert not data
    assert answered >= 5


def test_flood_of_a_client_that_never_reads_stops(server, control):
    """The bridge stops reading from a client that does not read its answers."""
    with HandmadeClient(server.port("open"), version=2, buffer=4096) as client:
        client.send(PREFACE)
        client.socket.settimeout(0.3)
        taken = 0
        with suppress(TimeoutError):
            while taken < 16 << 20:
                client.socket.sendall(records := hellos(client, count=1000))
                taken += len(records)
        call(control)
    assert taken < 16 << 20


def read_to_end(connection):
    """Read until the other end closes or resets."""
    with suppress(OSError):
        while connection.recv(65536):
            pass


def message(kind, content=b""):
    """Return a handshake message."""
    return bytes([kind]) + len(content).to_bytes(3, "big") + content


def assert_ends_with_alert(client):
    """Check that a fatal alert and the end of the connection follow."""
    kind, content = client.receive()
    assert (kind, content[0]) == (ALERT, FATAL)
    with pytest.raises(EOFError):
        client.receive()


#: Records that are not allowed after the handshake of TLS 1.3.
WRONG = {
    "ClientHello": (HANDSHAKE, message(1)),
    "NewSessionTicket": (HANDSHAKE, message(4, bytes(40))),
    "Certificate": (HANDSHAKE, message(11, bytes(4))),
    "Finished": (HANDSHAKE, message(20, bytes(32))),
    "unknown message": (HANDSHAKE, message(99)),
    "empty message": (HANDSHAKE, b""),
    "bad KeyUpdate": (HANDSHAKE, message(24, b"\7")),
    "long KeyUpdate": (HANDSHAKE, message(24, bytes(9))),
    "ChangeCipherSpec": (CHANGE_CIPHER_SPEC, b"\1"),
    "unknown record": (99, b"x"),
    "short alert": (ALERT, b"\1"),
}


@pytest.mark.parametrize("what", WRONG)
def test_message_out_of_place_ends_its_connection(server, control, what):
    """A message that is not allowed after the handshake gets a fatal alert."""
    with HandmadeClient(server.port("open")) as client:
        client.send(PREFACE)
        assert is_served(client)
        client.socket.sendall(client.seal(*WRONG[what]))
        assert_ends_with_alert(client)


#: Bytes that are not a valid record of their connection.
BROKEN = {
    "noise": b"\x17\x03\x03\x00\x40" + b"x" * 64,
    "too long": b"\x17\x03\x03\xff\xff",
    "too short": b"\x17\x03\x03\x00\x01x",
    "plain handshake": b"\x16\x03\x03\x00\x04" + message(1),
    "plaintext": b"GET / HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("what", BROKEN)
def test_junk_after_the_handshake_ends_its_connection(server, control, what):
    """Bytes that cannot be decrypted get a fatal alert."""
    with HandmadeClient(server.port("open")) as client:
        client.send(PREFACE)
        assert is_served(client)
        client.socket.sendall(BROKEN[what])
        assert_ends_with_alert(client)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
def test_hello_in_many_records_is_served(server, control, ca, size):
    """TLS allows a client to split its messages anywhere, even into single bytes."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = tls_context(ca).wrap_bio(incoming, outgoing, server_hostname="localhost")
    with suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    with socket.create_connection(
        ("127.0.0.1", server.port("open")), PATIENCE
    ) as connection:
        connection.sendall(split_records(outgoing.read(), lambda: size))
        incoming.write(connection.recv(65536))
        tls.do_handshake()
        connection.sendall(outgoing.read())
    assert tls.selected_alpn_protocol() == "h2"
