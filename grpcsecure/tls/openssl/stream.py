"""TLS on memory BIOs: bytes in, bytes out, with as little copying as Python allows.

Knows OpenSSL and one scratch memory, no event loop. Handshakes go through pyOpenSSL;
the four calls per message that follow go straight to cryptography's bindings, which
pyOpenSSL is made of: `Connection.recv` allocates its maximum and copies twice, and
"nothing to read" is an exception (1.3 us against 0.2 us, several times per call).
"""

from __future__ import annotations

import itertools
from time import perf_counter
from typing import TYPE_CHECKING, Any

from OpenSSL import SSL
from OpenSSL._util import ffi, lib

from grpcsecure.tls.openssl.verify_callback import HandshakeRecord, der_of

if TYPE_CHECKING:
    import socket

__all__ = ["READ_SIZE", "WRITE_SIZE", "Scratch", "StreamError", "TlsStream"]

#: Seconds that decrypting for one client may take at a time. A read of full records
#: takes a tenth of it or less; one of KeyUpdates, or of records with a byte each, up
#: to a hundred times as long, and what is beyond waits for another turn.
_BUDGET = 0.0005

#: Records after which the clock is asked. A read of full ones has less: those are never
#: taken for slow where it is the machine that is busy.
_STEPS = 16

#: Largest read from a client at once; bridge measurements: large reads are half of
#: the throughput.
READ_SIZE = 128 * 1024

#: Largest read from the server at once, in full records. With the answers that one
#: read from the client may provoke (KeyUpdates) it stays below the 256 KiB that may
#: be held per connection and direction.
WRITE_SIZE = 7 * 16 * 1024

#: What one read may leave in OpenSSL from before: a record that was not complete.
_RECORD = 17 * 1024
_SINK_SIZE = 256 * 1024

#: RFC 8446, section 6: fatal, no_application_protocol; 120 (RFC 7301, section 3.2).
_NO_APPLICATION_PROTOCOL = b"\x15\x03\x03\x00\x02\x02\x78"

#: SHA-256 of "HelloRetryRequest" (RFC 8446, section 4.1.3).
_RETRY_RANDOM = bytes.fromhex(
    "cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c"
)

#: OpenSSL's names of groups, in BoringSSL's spelling, which is grpcio's.
_GROUPS = {
    "x25519": "X25519",
    "secp256r1": "P-256",
    "prime256v1": "P-256",
    "secp384r1": "P-384",
    "secp521r1": "P-521",
    "x448": "X448",
}


class StreamError(Exception):
    """The TLS connection is broken; the text is OpenSSL's."""


class Scratch:
    """Memory that all connections of a loop share, since each turn empties it.

    Four regions: what was read from a client, that in plain, what was read from the
    server, and a place for bytes that have been sent.
    """

    __slots__ = (
        "plain",
        "plain_memory",
        "read",
        "read_memory",
        "sink",
        "write",
        "write_memory",
    )

    def __init__(self) -> None:
        self.read = ffi.new(f"char[{READ_SIZE}]")
        self.read_memory = memoryview(ffi.buffer(self.read))
        self.plain = ffi.new(f"char[{READ_SIZE + _RECORD}]")
        self.plain_memory = memoryview(ffi.buffer(self.plain))
        self.write = ffi.new(f"char[{WRITE_SIZE}]")
        self.write_memory = memoryview(ffi.buffer(self.write))
        self.sink = ffi.new(f"char[{_SINK_SIZE}]")


class TlsStream:
    """One TLS connection, server side, between a socket and the bridge."""

    __slots__ = (
        "_connection",
        "_in",
        "_out",
        "_out_data",
        "_scratch",
        "_ssl",
        "ended",
        "is_behind",
        "record",
    )

    def __init__(self, context: SSL.Context, scratch: Scratch) -> None:
        self.record = HandshakeRecord()
        #: Whether the peer said close_notify.
        self.ended = False
        #: Whether something that was fed is not decrypted yet.
        self.is_behind = False
        self._connection = SSL.Connection(context, None)
        self._connection.set_app_data(self.record)
        self._connection.set_accept_state()
        self._scratch = scratch
        self._ssl: Any = self._connection._ssl  # noqa: SLF001 - see the module
        self._in: Any = self._connection._into_ssl  # noqa: SLF001
        self._out: Any = self._connection._from_ssl  # noqa: SLF001
        self._out_data: Any = ffi.new("char **")
        # pyOpenSSL sets it. Without it a read ends after each record, also after one
        # without data, and thousands of those cannot keep OpenSSL busy at a stretch.
        lib.SSL_clear_mode(self._ssl, lib.SSL_MODE_AUTO_RETRY)

    def feed(self, count: int) -> None:
        """Hand the first `count` bytes of the read region to OpenSSL."""
        if lib.BIO_write(self._in, self._scratch.read, count) != count:
            raise StreamError("out of memory")

    def handshake(self) -> bool:
        """Go on with the handshake; say whether it is done.

        Raises:
            SSL.Error: it failed, and an alert is waiting to be sent.
            NoH2Error: no `h2` among the client's protocols; likewise.
        """
        lib.ERR_clear_error()  # see `take_error`
        result = lib.SSL_do_handshake(self._ssl)
        if result == 1:
            return True
        # "Wants more" would be an exception too: half of all times that this is asked.
        if lib.SSL_get_error(self._ssl, result) != lib.SSL_ERROR_WANT_READ:
            self._connection._raise_ssl_error(self._ssl, result)  # noqa: SLF001
        return False

    def refuse_without_alpn(self) -> bool:
        """Say whether the ServerHello is ready and the client offered no ALPN at all.

        If so it is replaced by the alert: OpenSSL calls nobody when the extension is
        missing, and after the handshake there is no way to send this alert.
        """
        if self.record.alpn_offered:
            return False
        output = self._output()
        hello = output[:1] == b"\x16" and output[5:6] == b"\x02"
        if not hello or output[11:43] == _RETRY_RANDOM:
            return False
        self._drop(len(output))
        lib.BIO_write(self._out, _NO_APPLICATION_PROTOCOL, 7)
        return True

    def has_only_tickets(self) -> bool:
        """Whether what waits after the handshake can wait for the server's first bytes.

        In TLS 1.3 the server ends its handshake with tickets, which nobody waits for
        (and, where they are off, nobody may use): alone they would cost both sides a
        packet. In TLS 1.2 the client needs what comes last.
        """
        return self.version() == "TLSv1.3"

    def decrypt(self) -> int:
        """Decrypt what was fed into the plain region, and return how many bytes.

        Stops after its share of time; then it `is_behind`.

        Raises:
            StreamError: the peer broke the protocol, or sent a fatal alert.
        """
        ssl, plain = self._ssl, self._scratch.plain
        total, end = 0, 0.0
        lib.ERR_clear_error()  # see `take_error`
        self.is_behind = False
        for step in itertools.count(1):
            got = lib.SSL_read(ssl, plain + total, READ_SIZE + _RECORD - total)
            if got > 0:
                total += got
            else:
                code = lib.SSL_get_error(ssl, got)
                if code == lib.SSL_ERROR_ZERO_RETURN:
                    self.ended = True
                    return total
                if code != lib.SSL_ERROR_WANT_READ:
                    raise StreamError(take_error())
            if not lib.BIO_get_mem_data(self._in, ffi.NULL):
                return total
            if step % _STEPS:
                continue
            now = perf_counter()
            if not end:
                end = now + _BUDGET
            elif now >= end:
                self.is_behind = True
                break
        return total

    def encrypt(self, count: int) -> None:
        """Encrypt the first `count` bytes of the write region for `flush`.

        Raises:
            StreamError: OpenSSL does not send any more on this connection.
        """
        if lib.SSL_write(self._ssl, self._scratch.write, count) != count:
            raise StreamError(take_error())

    def say_goodbye(self) -> None:
        """Put a close_notify behind what waits to be sent."""
        if lib.SSL_shutdown(self._ssl) < 0:
            # Also when the handshake never ended: there is nothing to say then.
            lib.ERR_clear_error()

    @property
    def pending(self) -> int:
        """How many bytes wait to be sent."""
        count: int = lib.BIO_get_mem_data(self._out, ffi.NULL)
        return count

    def flush(self, sock: socket.socket) -> bool:
        """Send what waits and say whether all of it is out.

        Straight from OpenSSL's memory; what was sent is then skipped.

        Raises:
            OSError: as of `send`, but for `BlockingIOError`.
        """
        count = lib.BIO_get_mem_data(self._out, self._out_data)
        if not count:
            return True
        try:
            sent = sock.send(ffi.buffer(self._out_data[0], count))
        except BlockingIOError:
            return False
        self._drop(sent)
        return bool(sent == count)

    def _drop(self, count: int) -> None:
        while count > 0:
            count -= lib.BIO_read(self._out, self._scratch.sink, min(count, _SINK_SIZE))

    def _output(self) -> bytes:
        count = lib.BIO_get_mem_data(self._out, self._out_data)
        return bytes(ffi.buffer(self._out_data[0], count)) if count else b""

    def trim(self) -> bool:
        """Give the memory of empty BIOs back; say whether it could be done.

        A memory BIO never shrinks by itself: a connection that once moved a large
        message would hold half a megabyte for the rest of its life.
        """
        if self.pending or lib.BIO_get_mem_data(self._in, ffi.NULL):
            return False
        self._in = lib.BIO_new(lib.BIO_s_mem())
        self._out = lib.BIO_new(lib.BIO_s_mem())
        lib.SSL_set_bio(self._ssl, self._in, self._out)  # frees the old ones
        return True

    def version(self) -> str:
        """Return `TLSv1.2` or `TLSv1.3`."""
        return self._connection.get_protocol_version_name()

    def server_name(self) -> str | None:
        """Return what the client asked for by SNI, escaped where it is not ASCII."""
        name = self._connection.get_servername()
        return None if name is None else name.decode("ascii", "backslashreplace")

    def speaks_h2(self) -> bool:
        """Whether ALPN ended in h2."""
        return self._connection.get_alpn_proto_negotiated() == b"h2"

    def is_resumed(self) -> bool:
        """Whether the session was resumed; pyOpenSSL has no method for it."""
        return bool(lib.SSL_session_reused(self._ssl))

    def group(self) -> str | None:
        """Return the key exchange group as BoringSSL calls it."""
        name = self._connection.get_group_name()
        return None if name is None else _GROUPS.get(name, name)

    def take_certificates(self) -> tuple[bytes | None, tuple[bytes, ...]]:
        """Return the peer's leaf and what it sent after it, as DER; once."""
        leaf, self.record.leaf = self.record.leaf, None
        # On the server's side OpenSSL keeps the leaf out of this list.
        chain = lib.SSL_get_peer_cert_chain(self._ssl)
        if leaf is None or chain == ffi.NULL:
            return leaf, ()
        return leaf, tuple(
            der_of(lib.sk_X509_value(chain, index))
            for index in range(lib.sk_X509_num(chain))
        )


def take_error() -> str:
    """Return the reason of OpenSSL's oldest queued error and empty the queue.

    Emptied always, and before whatever SSL_get_error is asked about: it looks at this
    queue, and what one connection left behind would be the next one's failure.
    """
    code = lib.ERR_peek_error()
    text = lib.ERR_reason_error_string(code) if code else ffi.NULL
    lib.ERR_clear_error()
    if text == ffi.NULL:
        return "unexpected end of the connection"
    reason: str = ffi.string(text).decode("ascii", "replace")
    return reason
