"""Attacks on the bridge by hostile clients, each a function of a random source.

An attack ends with its connection. The server may refuse, reset or serve it, but must
not keep it waiting: `TimeoutError` means that the connection hung.
"""

from __future__ import annotations

import socket
import ssl
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from OpenSSL import SSL
from support.http2 import PING, PREFACE, SETTINGS_ACK, call_without_limit, frame
from support.tls_records import (
    ALERT,
    APPLICATION_DATA,
    HANDSHAKE,
    HandmadeClient,
    new_client,
    split_records,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from support.bridge_certs import Pair

__all__ = ["ATTACKS", "EXPECTED", "Target"]

#: Seconds in which a connection must end after its client's last byte: the deadline of
#: a handshake, and some time for a busy machine.
_PATIENCE = 15.0

#: The exceptions of a client that the server refuses or disconnects.
EXPECTED = (ConnectionError, EOFError, SSL.Error, ssl.SSLError, AssertionError)


class Target(NamedTuple):
    """Listeners by their modes, and certificates (or none) to present."""

    ports: tuple[int, ...]
    pairs: tuple[Pair | None, ...]


def connect(target, random):
    """Open a connection to one of the listeners."""
    address = ("127.0.0.1", random.choice(target.ports))
    return socket.create_connection(address, timeout=_PATIENCE)


def end_connection(connection, random):
    """End a connection in a random way, and wait for the server to close it."""
    way = random.choice(("finish", "finish", "reset", "close"))
    if way == "reset":
        linger = struct.pack("ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    elif way == "finish":
        with suppress(OSError):  # the server has closed it already
            connection.shutdown(socket.SHUT_WR)
        read_to_end(connection)


def read_to_end(connection):
    """Read until the server closes."""
    while connection.recv(65536):
        pass


def hello(random):
    """Return a valid ClientHello."""
    tls = new_client(random.choice((2, 3)))
    with suppress(SSL.WantReadError):
        tls.do_handshake()
    return bytearray(tls.bio_read(65536))


def mutate(data, random):
    """Return `data` with a few bytes changed, removed or inserted."""
    data = bytearray(data)
    for _ in range(random.randint(1, 6)):
        at = random.randrange(len(data) + 1)
        way = random.randrange(4)
        if way == 0:
            data[at:at] = random.randbytes(random.randint(1, 40))
        elif way == 1:
            del data[at : at + random.randint(1, 40)]
        elif at < len(data):
            data[at] = random.choice((0, 0xFF, random.randrange(256), data[at] ^ 1))
    return bytes(data)


def send_in_pieces(connection, data, random):
    """Send `data` in pieces of random sizes."""
    data = memoryview(data)
    most = random.choice((1, 10, 1000, len(data) + 1))
    while data:
        step = random.randint(1, most)
        connection.sendall(data[:step])
        data = data[step:]


def random_bytes(target, random):
    """Random bytes, sometimes after the header of a handshake record."""
    with connect(target, random) as connection:
        prefix = random.choice((b"", b"\x16\x03\x01", b"\x16\x03\x01\x02\x00\x01\x00"))
        noise = random.randbytes(random.choice((0, 3, 300, 40_000)))
        connection.sendall(prefix + noise)
        end_connection(connection, random)


def mutated_hello(target, random):
    """A real ClientHello with a few bytes changed."""
    with connect(target, random) as connection:
        send_in_pieces(connection, mutate(hello(random), random), random)
        end_connection(connection, random)


def truncated_hello(target, random):
    """The beginning of a real ClientHello; sometimes waits for the deadline."""
    with connect(target, random) as connection:
        data = hello(random)
        connection.sendall(data[: random.randrange(len(data))])
        if random.random() < 0.1:
            read_to_end(connection)
        end_connection(connection, random)


def wrong_lengths(target, random):
    """A real ClientHello with a wrong length, usually in its headers."""
    with connect(target, random) as connection:
        data = hello(random)
        at = random.choice((3, 6, 7, 43, random.randrange(len(data) - 2)))
        data[at : at + 2] = random.choice(
            (b"\0\0", b"\xff\xff", b"\x40\x01", random.randbytes(2))
        )
        connection.sendall(data)
        end_connection(connection, random)


def handshake(target, random, change):
    """Make a handshake in which `change` sends each flight."""
    tls = new_client(random.choice((2, 3)), random.choice(target.pairs))
    with connect(target, random) as connection:
        done = False
        for number in range(4):
            try:
                tls.do_handshake()
                done = True
            except SSL.WantReadError:
                pass
            flight = b""
            with suppress(SSL.WantReadError):
                flight = tls.bio_read(1 << 20)
            change(connection, number, flight)
            if done:
                break
            answer = connection.recv(65536)
            if not answer:
                return
            tls.bio_write(answer)
        end_connection(connection, random)


def split_hello(target, random):
    """A good handshake with its first flight split into many records and packets."""

    def change(connection, number, flight):
        if number == 0:
            most = random.choice((1, 4, 100))
            flight = split_records(flight, lambda: random.randint(1, most))
        send_in_pieces(connection, flight, random)

    handshake(target, random, change)


def mutated_flight(target, random):
    """A handshake with a damaged certificate, signature or Finished."""

    def change(connection, number, flight):
        connection.sendall(mutate(flight, random) if number and flight else flight)

    handshake(target, random, change)


def junk_after_finished(target, random):
    """A good handshake, and garbage immediately after its last flight."""

    def change(connection, number, flight):
        junk = random.choice(
            (
                random.randbytes(random.randint(1, 5000)),
                b"\x17\x03\x03\x40\x00" + random.randbytes(16384),
                b"\x16\x03\x03\x00\x04\x01\x00\x00\x00",
                b"\x14\x03\x03\x00\x01\x01" * 100,
                b"GET / HTTP/1.1\r\n\r\n",
            )
        )
        connection.sendall(flight + junk if number else flight)

    handshake(target, random, change)


def alert_in_handshake(target, random):
    """Any alert, instead of a flight or after it."""
    when = random.randrange(3)

    def change(connection, number, flight):
        alert = b"\x15\x03\x03\x00\x02" + random.randbytes(2)
        if number == when:
            flight = random.choice((alert, alert * 20, bytes(flight) + alert))
        connection.sendall(flight)

    handshake(target, random, change)


def reset_in_handshake(target, random):
    """A handshake that is reset after some byte of a flight."""
    when = random.randrange(3)

    def change(connection, number, flight):
        if number == when:
            connection.sendall(flight[: random.randint(0, len(flight))])
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            connection.close()
            raise ConnectionAbortedError
        connection.sendall(flight)

    handshake(target, random, change)


def open_client(target, random):
    """Return a client after its handshake."""
    return HandmadeClient(
        random.choice(target.ports),
        version=random.choice((2, 3)),
        pair=random.choice(target.pairs),
        buffer=random.choice((None, 4096)),
        patience=_PATIENCE,
    )


def http2_noise(target, random):
    """Frames of all types with any content, on any stream."""
    with open_client(target, random) as client:
        client.send(random.choice((PREFACE, PREFACE + SETTINGS_ACK, b"")))
        for _ in range(random.randint(1, 30)):
            size = random.choice((0, 4, 8, 100, 5000))
            client.send(
                frame(
                    random.randrange(12),
                    random.randrange(256),
                    random.choice((0, 1, 2, 3, 2**31 - 1)),
                    random.randbytes(random.randint(0, size)),
                )[: random.choice((9, 16000))]
            )
        end_connection(client.socket, random)


def huge_frame(target, random):
    """A frame of the maximum length, of which only a part is sent."""
    with open_client(target, random) as client:
        client.send(PREFACE)
        client.send(b"\xff\xff\xff" + random.randbytes(6))
        for _ in range(random.randint(0, 60)):
            client.send(bytes(16_000))
        end_connection(client.socket, random)


def never_reads(target, random):
    """A request for megabytes, of which some or none are read before a reset."""
    with open_client(target, random) as client:
        message = b"%d 65536" % random.randint(1, 300)
        client.send(PREFACE + call_without_limit("/test.Echo/Pour", message))
        client.socket.settimeout(0.2)  # after the end of the answer nothing arrives
        with suppress(TimeoutError):
            for _ in range(random.choice((0, 3, 50))):
                client.socket.recv(random.randint(1, 65536))
        linger = struct.pack("ii", 1, 0)
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


def half_close(target, random):
    """A close_notify or FIN, and a wait for the server's end."""
    with open_client(target, random) as client:
        client.send(PREFACE + call_without_limit("/test.Echo/Unary", b"hello"))
        if random.random() < 0.5:
            client.socket.sendall(client.seal(ALERT, b"\x01\x00"))
        else:
            client.socket.shutdown(socket.SHUT_WR)
        read_to_end(client.socket)


def tls_messages(target, random):
    """Records of all types between pings, and KeyUpdates in TLS 1.3."""
    with open_client(target, random) as client:
        client.send(PREFACE)
        for _ in range(random.randint(1, 40)):
            kind = random.choice((ALERT, HANDSHAKE, APPLICATION_DATA, 20, 24, 99))
            way = random.randrange(6)
            if way == 0 and client.version == 3:
                client.socket.sendall(client.key_update(request=random.random() < 0.5))
            elif way == 1:
                content = random.randbytes(random.choice((0, 1, 2, 5, 300)))
                client.socket.sendall(client.seal(kind, content))
            else:
                client.send(PING)
        end_connection(client.socket, random)


def damaged_records(target, random):
    """Valid records, some of which are damaged, cut off or sent twice."""
    with open_client(target, random) as client:
        client.send(PREFACE)
        for _ in range(random.randint(1, 10)):
            record = client.seal(APPLICATION_DATA, PING)
            if random.random() < 0.2:
                record = random.choice(
                    (mutate(record, random), record * 2, record[: len(record) // 2])
                )
            send_in_pieces(client.socket, record, random)
        end_connection(client.socket, random)


def sudden_end(target, random):
    """An end in the middle of a large upload."""
    with open_client(target, random) as client:
        client.send(PREFACE + call_without_limit("/test.Echo/Collect", bytes(5000)))
        records = b"".join(
            client.seal(APPLICATION_DATA, frame(0, 0, 1, bytes(16_000)))
            for _ in range(random.randint(1, 20))
        )
        client.socket.sendall(records[: random.randrange(len(records))])
        end_connection(client.socket, random)


#: Attacks by name; all are equally frequent.
ATTACKS: dict[str, Callable[[Target, Random], None]] = {
    attack.__name__.replace("_", " "): attack
    for attack in (
        random_bytes,
        mutated_hello,
        truncated_hello,
        wrong_lengths,
        split_hello,
        mutated_flight,
        junk_after_finished,
        alert_in_handshake,
        reset_in_handshake,
        http2_noise,
        huge_frame,
        never_reads,
        half_close,
        tls_messages,
        damaged_records,
        sudden_end,
    )
}
