"""A TLS client that builds its own records after a handshake by OpenSSL.

No TLS library sends thousands of KeyUpdates, a ClientHello at a wrong place, or a
half-damaged record. Keys are derived as in RFC 8446, section 7, or RFC 5246, section
6.3; the suite is always AES-128-GCM with SHA-256.
"""

from __future__ import annotations

import hmac
import socket
import struct
from contextlib import suppress

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from OpenSSL import SSL
from support.bridge import PATIENCE

__all__ = [
    "ALERT",
    "APPLICATION_DATA",
    "CHANGE_CIPHER_SPEC",
    "HANDSHAKE",
    "HandmadeClient",
    "new_client",
    "split_records",
]

CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION_DATA = 20, 21, 22, 23

_KEY_UPDATE = 24
_HEADER = 5


class _Keys13:
    """One direction of TLS 1.3."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._use(secret)

    def _use(self, secret):
        self._aead = AESGCM(_expand(secret, b"key", 16))
        self._iv = int.from_bytes(_expand(secret, b"iv", 12), "big")
        self._number = 0

    def update(self):
        """Switch to the next generation of keys (section 7.2)."""
        self._secret = _expand(self._secret, b"traffic upd", 32)
        self._use(self._secret)

    def _nonce(self):
        nonce = (self._iv ^ self._number).to_bytes(12, "big")
        self._number += 1
        return nonce

    def seal(self, kind, content, padding):
        """Return an encrypted record; its true type is inside."""
        inner = content + bytes([kind]) + bytes(padding)
        header = struct.pack("!BHH", APPLICATION_DATA, 0x0303, len(inner) + 16)
        return header + self._aead.encrypt(self._nonce(), inner, header)

    def unseal(self, record):
        """Return the type and content of a record."""
        sealed, header = record[_HEADER:], record[:_HEADER]
        inner = self._aead.decrypt(self._nonce(), sealed, header).rstrip(b"\0")
        return inner[-1], inner[:-1]


class _Keys12:
    """One direction of TLS 1.2, after the Finished message (RFC 5288)."""

    def __init__(self, key: bytes, salt: bytes) -> None:
        self._aead = AESGCM(key)
        self._salt = salt
        self._number = 1

    def seal(self, kind, content, padding):
        """Return an encrypted record; there is no padding in TLS 1.2."""
        assert not padding
        number = struct.pack("!Q", self._number)
        self._number += 1
        bound = number + struct.pack("!BHH", kind, 0x0303, len(content))
        sealed = number + self._aead.encrypt(self._salt + number, content, bound)
        return struct.pack("!BHH", kind, 0x0303, len(sealed)) + sealed

    def unseal(self, record):
        """Return the type and content of a record."""
        number = struct.pack("!Q", self._number)
        self._number += 1
        explicit, sealed = record[_HEADER : _HEADER + 8], record[_HEADER + 8 :]
        bound = number + struct.pack("!BHH", record[0], 0x0303, len(sealed) - 16)
        return record[0], self._aead.decrypt(self._salt + explicit, sealed, bound)


def _expand(secret, label, length):
    """HKDF-Expand-Label with an empty context (RFC 8446, section 7.1)."""
    label = b"tls13 " + label
    info = struct.pack("!HB", length, len(label)) + label + b"\0"
    return HKDFExpand(hashes.SHA256(), length, info).derive(secret)


def _key_block(master, seed, length):
    """P_SHA256 (RFC 5246, section 5)."""
    seed = b"key expansion" + seed
    block, state = b"", seed
    while len(block) < length:
        state = hmac.digest(master, state, "sha256")
        block += hmac.digest(master, state + seed, "sha256")
    return block[:length]


def new_client(version, pair=None, *, take_secret=None):
    """Return an in-memory OpenSSL client for TLS 1.2 or 1.3."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    number = {2: SSL.TLS1_2_VERSION, 3: SSL.TLS1_3_VERSION}[version]
    context.set_min_proto_version(number)
    context.set_max_proto_version(number)
    context.set_cipher_list(
        b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256"
    )
    context.set_tls13_ciphersuites(b"TLS_AES_128_GCM_SHA256")
    context.set_alpn_protos([b"h2"])
    if take_secret is not None:
        context.set_keylog_callback(take_secret)
    if pair is not None:
        context.use_certificate(pair.certificate)
        context.use_privatekey(pair.key)
    tls = SSL.Connection(context, None)
    tls.set_tlsext_host_name(b"localhost")
    tls.set_connect_state()
    return tls


def split_records(records, size):
    """Return the same unencrypted handshake in records of at most `size()` bytes."""
    parts = []
    while records:
        length = int.from_bytes(records[3:_HEADER], "big")
        content, records = records[_HEADER:][:length], records[_HEADER + length :]
        while content:
            step = size()
            parts.append(content[:step])
            content = content[step:]
    return b"".join(struct.pack("!BHH", HANDSHAKE, 0x0301, len(p)) + p for p in parts)


class HandmadeClient:
    """A client after its handshake, with its socket and its keys.

    Args:
        port: the port on the loopback interface.
        version: 2 or 3, of TLS 1.x.
        pair: the certificate to present.
        buffer: the size of the kernel's buffers; None for the default of megabytes.
        patience: the timeout of the socket, in seconds.
    """

    def __init__(self, port, *, version=3, pair=None, buffer=None, patience=PATIENCE):
        self.version = version
        #: How often the server has changed its keys.
        self.updates = 0
        self._secrets = {}
        self._waiting = b""
        self.socket = socket.socket()
        self.socket.settimeout(patience)
        if buffer is not None:
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                self.socket.setsockopt(socket.SOL_SOCKET, option, buffer)
        try:
            self.socket.connect(("127.0.0.1", port))
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._handshake(version, pair)
        except BaseException:
            self.socket.close()
            raise

    def _handshake(self, version, pair):
        tls = new_client(version, pair, take_secret=self._take_secret)
        while True:
            try:
                tls.do_handshake()
                break
            except SSL.WantReadError:
                self._send_from(tls)
                self._feed(tls)
        self._send_from(tls)
        self._ours, self._theirs = self._keys(tls, version)

    def _take_secret(self, _connection, line):
        label, _random, secret = line.split()
        self._secrets[label] = bytes.fromhex(secret.decode())

    def _send_from(self, tls):
        with suppress(SSL.WantReadError):
            self.socket.sendall(tls.bio_read(65536))

    def _feed(self, tls):
        """Feed one record only: those after the handshake are read without OpenSSL."""
        tls.bio_write(self._read_record())

    def _keys(self, tls, version):
        if version == 3:
            return (
                _Keys13(self._secrets[b"CLIENT_TRAFFIC_SECRET_0"]),
                _Keys13(self._secrets[b"SERVER_TRAFFIC_SECRET_0"]),
            )
        seed = tls.server_random() + tls.client_random()
        block = _key_block(tls.master_key(), seed, 40)
        return _Keys12(block[:16], block[32:36]), _Keys12(block[16:32], block[36:])

    def _read_record(self):
        """Return the next complete record, as received.

        Raises:
            EOFError: the server has closed the connection.
        """
        while True:
            size = _HEADER + int.from_bytes(self._waiting[3:5], "big")
            if len(self._waiting) >= max(size, _HEADER):
                record, self._waiting = self._waiting[:size], self._waiting[size:]
                return record
            data = self.socket.recv(65536)
            if not data:
                raise EOFError
            self._waiting += data

    def seal(self, kind, content, padding=0):
        """Return `content` as an encrypted record of type `kind`, to be sent next."""
        return self._ours.seal(kind, content, padding)

    def key_update(self, *, request=True):
        """Return a KeyUpdate record; records sealed after it use the new key."""
        record = self.seal(HANDSHAKE, bytes([_KEY_UPDATE, 0, 0, 1, request]))
        self._ours.update()
        return record

    def send(self, data):
        """Send application data."""
        self.socket.sendall(self.seal(APPLICATION_DATA, data))

    def receive(self):
        """Return the type and content of the next record; handle KeyUpdates.

        Raises:
            EOFError: the server has closed the connection.
        """
        kind, content = self._theirs.unseal(self._read_record())
        if kind == HANDSHAKE and content[0] == _KEY_UPDATE:
            self._theirs.update()
            self.updates += 1
        return kind, content

    def receive_data(self):
        """Return the next application data; skip handshake messages."""
        while True:
            kind, content = self.receive()
            if kind == APPLICATION_DATA:
                return content
            assert kind == HANDSHAKE, (kind, content)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
