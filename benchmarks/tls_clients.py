"""Many cheap TLS clients in separate processes, with a minimum of HTTP/2.

`Flood` and `Held` start this file as a program and write commands to its input:

    python tls_clients.py flood|hold PORT CERTIFICATE KEY CA CLIENTS

With an empty CA the server's certificate is not verified. The program ends when its
input ends.
"""

from __future__ import annotations

import mmap
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from OpenSSL import SSL
from OpenSSL._util import lib
from typing_extensions import Self

if TYPE_CHECKING:
    from collections.abc import Callable

    from served import Certificates

__all__ = ["Flood", "Held"]

#: RFC 9113, section 3.4: the preface with empty SETTINGS, and the acknowledgement of
#: the server's SETTINGS.
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000")
_ACKNOWLEDGE = bytes.fromhex("000000040100000000")

#: Handshakes done and failed, of one client.
_COUNTS = struct.Struct("QQ")


class _Clients:
    """Base of the clients: several processes that run this file."""

    def __init__(  # noqa: PLR0913 - all by name, from here
        self,
        job: str,
        port: int,
        certificates: Certificates,
        *,
        processes: int = 1,
        clients: int = 1,
        trusting: bool = False,
    ) -> None:
        ca = "" if trusting else certificates.ca
        paths = (certificates.client, certificates.client_key, ca)
        command = [sys.executable, __file__, job, str(port), *map(str, paths)]
        self._processes = [
            subprocess.Popen(
                [*command, str(clients)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(processes)
        ]

    def _send(self, line: str) -> list[list[float]]:
        """Send a command to all processes at once; return the numbers they answer."""
        for process in self._processes:
            print(line, file=process.stdin, flush=True)
        return [self._answer(process) for process in self._processes]

    def _answer(self, process: subprocess.Popen[str]) -> list[float]:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        line = process.stdout.readline()
        if not line:
            raise SystemExit("a client has failed: see above")
        return [float(number) for number in line.split()]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.communicate()


class Flood(_Clients):
    """Clients that do nothing but handshakes, until the `with` block ends.

    Full TLS 1.3 handshakes with the client's certificate, without resumption, each on a
    new connection. A handshake counts once the server has sent data on the connection:
    only then it has accepted the certificate, which TLS 1.3 sends in the last message.
    `trusting` clients do not verify the server's certificate, which gRPC's always do.
    """

    def __init__(
        self,
        port: int,
        certificates: Certificates,
        clients: int,
        *,
        trusting: bool = False,
    ) -> None:
        super().__init__(
            "flood", port, certificates, clients=clients, trusting=trusting
        )

    def rate(self, seconds: float) -> float:
        """Return the handshakes per second over the next `seconds`."""
        begin = self.reading()
        time.sleep(seconds)
        return self.rate_since(begin)

    def rate_since(self, begin: tuple[float, float]) -> float:
        """Return the handshakes per second since `begin`, an earlier `reading`."""
        (before, began), (after, ended) = begin, self.reading()
        return (after - before) / (ended - began)

    def reading(self) -> tuple[float, float]:
        """Return the number of handshakes so far, and the time."""
        ((done, failed, when),) = self._order("count")
        if failed:
            raise SystemExit(f"{failed:.0f} handshakes of the flood failed")
        return done, when


class Held(_Clients):
    """Opens connections that send the HTTP/2 preface, and then nothing."""

    def __init__(
        self, port: int, certificates: Certificates, *, processes: int = 2
    ) -> None:
        # Whether a client verifies the server does not change the server's resources.
        super().__init__("hold", port, certificates, processes=processes, trusting=True)

    def open(self, connections: int) -> None:
        """Open more connections; return when the server has answered on them."""
        self._send(f"open {connections // len(self._processes)}")

    def close(self) -> None:
        """Close all connections."""
        self._send("close 0")

    def churn(self, connections: int) -> None:
        """Open and close connections, one after the other in each process."""
        self._send(f"churn {connections // len(self._processes)}")


class _Dialer:
    """Opens TLS connections with one client certificate.

    Uses pyOpenSSL, because the interpreter's OpenSSL is often an older version that
    takes twice as long.
    """

    def __init__(self, port: int, certificate: str, key: str, ca: str) -> None:
        self._address = ("127.0.0.1", port)
        self._context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        self._context.set_min_proto_version(SSL.TLS1_3_VERSION)
        self._context.use_certificate_chain_file(certificate)
        self._context.use_privatekey_file(key)
        if ca:
            self._context.load_verify_locations(ca)
            self._context.set_verify(SSL.VERIFY_PEER)
        self._context.set_alpn_protos([b"h2"])
        # The same as gRPC's clients, so that both engines do the same work: OpenSSL
        # prefers a hybrid with ML-KEM, which gRPC's servers lack, and AES-256.
        self._context.set_tls13_ciphersuites(b"TLS_AES_128_GCM_SHA256")
        lib.SSL_CTX_set1_curves_list(self._context._context, b"X25519")  # noqa: SLF001 - no method for it

    def connect(self) -> SSL.Connection:
        """Return a connection on which the server has sent data."""
        plain = socket.create_connection(self._address)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        secure = SSL.Connection(self._context, plain)
        secure.set_tlsext_host_name(b"localhost")
        secure.set_connect_state()
        secure.do_handshake()
        secure.recv(4096)
        return secure

    def greet(self) -> SSL.Connection:
        """Return a connection that is ready for calls."""
        connection = self.connect()
        connection.sendall(_HELLO + _ACKNOWLEDGE)
        connection.recv(4096)
        return connection


def _flood(dialer: _Dialer, clients: int) -> None:
    counts = mmap.mmap(-1, clients * _COUNTS.size)
    children = [
        _fork(lambda number=number: _dial_forever(dialer, counts, number))
        for number in range(clients)
    ]
    try:
        for _ in sys.stdin:
            each = [*_COUNTS.iter_unpack(counts)]
            done, failed = map(sum, zip(*each, strict=True))
            print(done, failed, time.monotonic(), flush=True)
    finally:
        for pid in children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _fork(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
    finally:
        os._exit(0)


def _dial_forever(dialer: _Dialer, counts: mmap.mmap, number: int) -> None:
    parent = os.getppid()
    done = failed = 0
    while os.getppid() == parent:
        try:
            dialer.connect().close()
            done += 1
        except (OSError, SSL.Error) as error:
            failed += 1
            print(f"flood: {error}", file=sys.stderr)
        _COUNTS.pack_into(counts, number * _COUNTS.size, done, failed)


def _hold(dialer: _Dialer) -> None:
    held: list[SSL.Connection] = []
    for line in sys.stdin:
        command, number = line.split()
        if command == "open":
            held += [dialer.greet() for _ in range(int(number))]
        elif command == "churn":
            for _ in range(int(number)):
                dialer.greet().close()
        else:
            for connection in held:
                connection.close()
            held.clear()
        print(flush=True)


def _main() -> None:
    job, port, certificate, key, ca, clients = sys.argv[1:]
    dialer = _Dialer(int(port), certificate, key, ca)
    with suppress(KeyboardInterrupt):
        if job == "flood":
            _flood(dialer, int(clients))
        else:
            _hold(dialer)


if __name__ == "__main__":
    _main()
