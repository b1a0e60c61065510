"""A server with a listener for each engine and mode, and a client of any certificate.

The server is the real one, with the bridge as a process, but its certificates go past
the checks of a config. The client is pyOpenSSL with handwritten HTTP/2: it presents any
certificate for which the server offers an algorithm.
"""

from __future__ import annotations

import io
import socket
import struct
import warnings
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import NamedTuple

import grpc
from helloworld.helloworld_pb2 import HelloRequest
from OpenSSL import SSL, crypto
from support import raw_http2
from support.bridge_certs import authority, certificate
from support.recording_peers import recorded_peers
from support.servers import Running, assemble, entry
from support.services import PATIENCE

from grpcsecure.model.listener import (
    Engine,
    Listener,
    TcpAddress,
    TlsSettings,
    TlsVersion,
)
from grpcsecure.model.modes import ClientCertificateMode
from grpcsecure.server.runtime.threads import ThreadsRuntime
from grpcsecure.tls.certificate import parse_certificate
from grpcsecure.tls.material import Material
from grpcsecure.tls.pem import render_pem

__all__ = ["LISTENERS", "VERSIONS", "Credential", "EngineServer", "listener_of"]

VERSIONS = {
    TlsVersion.TLS_1_2: SSL.TLS1_2_VERSION,
    TlsVersion.TLS_1_3: SSL.TLS1_3_VERSION,
}

#: Every engine with the modes that it has.
LISTENERS = (
    *((Engine.GRPC, mode) for mode in ClientCertificateMode if mode.traits.in_grpcio),
    *((Engine.BRIDGE, mode) for mode in ClientCertificateMode),
)

_NUMBERS = count()


class Credential(NamedTuple):
    """A leaf, the certificates sent after it (DER), and the leaf's key (PEM)."""

    leaf: bytes
    chain: tuple[bytes, ...]
    key: bytes


def listener_of(engine, mode):
    """Return a listener of an engine in a mode; its paths are never used."""
    return Listener(
        name=f"{engine.value}-{mode.value}",
        address=TcpAddress("127.0.0.1", 0),
        tls=TlsSettings(
            certificate=Path("/server.pem"),
            private_key=Path("/server.key"),
            client_ca=Path("/ca.pem"),
            client_certificate=mode,
            engine=engine,
        ),
        services=None,
    )


class EngineServer:
    """A server whose client CAs are `authorities` (DER), with the given listeners."""

    def __init__(self, authorities, listeners=LISTENERS):
        root = authority("server CA")
        server = certificate("localhost", issuer=root)
        self.listeners = {pair: listener_of(*pair) for pair in listeners}
        self.material = Material(
            generation=1,
            certificate_chain=server.certificate_pem,
            private_key=server.key_pem,
            client_ca=render_pem("CERTIFICATE", authorities),
            chain=(parse_certificate(server.der),),
            client_cas=tuple(map(parse_certificate, authorities)),
        )
        self._running = Running(
            ThreadsRuntime(
                assemble(
                    entry("support.recording_peers:PeerRecorder"),
                    listeners=self.listeners.values(),
                    materials={
                        each.name: self.material for each in self.listeners.values()
                    },
                )
            )
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._running.stop(0)

    def call(self, pair, credential, version=TlsVersion.TLS_1_3):
        """Return how a call ends: the state of its peer, or `refused`.

        A call that is refused in a connection that is let in is `unauthenticated`.
        """
        listener = self.listeners[pair]
        port = int(self._running.addresses[listener.name].rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as raw:
            raw.setblocking(True)  # with a timeout, pyOpenSSL raises WantReadError
            for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
                raw.setsockopt(
                    socket.SOL_SOCKET, option, struct.pack("ll", int(PATIENCE), 0)
                )
            return _call(_context(credential, VERSIONS[version]), raw)


def _context(credential, version):
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(version)
    context.set_max_proto_version(version)
    context.set_cipher_list(b"ALL:@SECLEVEL=0")
    context.set_alpn_protos([b"h2"])
    context.set_mode(_NO_AUTO_CHAIN)
    if credential is not None:
        with warnings.catch_warnings():
            # Objects of `cryptography` are preferred, which cannot have all of them.
            warnings.simplefilter("ignore", DeprecationWarning)
            _present(context, credential)
    return context


def _present(context, credential):
    context.use_certificate(_load(credential.leaf))
    context.use_privatekey(crypto.load_privatekey(crypto.FILETYPE_PEM, credential.key))
    for each in credential.chain:
        context.add_extra_chain_cert(_load(each))


#: SSL_MODE_NO_AUTO_CHAIN, for which pyOpenSSL has no name.
_NO_AUTO_CHAIN = 0x8


def _load(der):
    return crypto.load_certificate(crypto.FILETYPE_ASN1, der)


def _call(context, raw):
    connection = SSL.Connection(context, raw)
    connection.set_connect_state()
    name = f"caller {next(_NUMBERS)}"
    body = HelloRequest(name=name).SerializeToString()
    sock = _Socket(connection)
    try:
        connection.do_handshake()
        raw_http2.open_call(sock, b"/helloworld.Greeter/SayHello")
        message = b"\0" + struct.pack(">I", len(body)) + body
        raw_http2.send_data(sock, message, ends=True)
        answer = raw_http2.read_answer(sock)
    except (SSL.Error, OSError):
        return "refused"
    # UNAVAILABLE: the connection ended while the server answered.
    if answer.code in {None, grpc.StatusCode.UNAVAILABLE}:
        return "refused"
    peers = recorded_peers(name)
    return peers[0].state.value if peers else answer.code.name.lower()


class _Socket:
    """The part of a socket that `raw_http2` uses, on a TLS connection."""

    def __init__(self, connection):
        self._connection = connection
        self.sendall = connection.sendall

    def makefile(self, _mode):
        """Return a file that reads from the connection."""
        return io.BufferedReader(_Reader(self._connection))


class _Reader(io.RawIOBase):
    def __init__(self, connection):
        self._connection = connection

    def readable(self):
        return True

    def readinto(self, buffer):
        data = b""
        with suppress(SSL.ZeroReturnError):
            data = self._connection.recv(len(buffer))
        buffer[: len(data)] = data
        return len(data)
