"""TLS on memory BIOs: bytes in, bytes out, with as little copying as Python allows.

Knows OpenSSL and one scratch memory, but no event loop. Handshakes go through
pyOpenSSL. After them, the four calls per message go directly to cryptography's
bindings, on which pyOpenSSL is built: `Connection.recv` allocates its maximum and
copies twice, and "nothing to read" is an exception (1.3 us against 0.2 us, several
times per call).
"""

from __future__ import annotations

import itertools
from time import perf_counter
from typing import Any, Protocol

from OpenSSL import SSL

from grpcsecure.tls.openssl import _bindings as openssl
from grpcsecure.tls.openssl.verify_callback import HandshakeRecord, der_of

__all__ = [
    "READ_SIZE",
    "WRITE_SIZE",
    "Scratch",
    "Sender",
    "StreamError",
    "TlsStream",
    "reason_of",
    "take_error",
]

#: Seconds that decrypting for one client may take at a time. A read of full records
#: takes a tenth of it or less; one of KeyUpdates, or of records with one byte each, up
#: to a hundred times as long. The rest then waits until other clients had their turn.
_BUDGET = 0.0005

#: Records after which the clock is read. A read of full records has fewer, so they do
#: not count as slow when only the machine is busy.
_STEPS = 16

#: Largest read from a client at once. Measurements of the bridge: half of the
#: throughput is due to large reads.
READ_SIZE = 128 * 1024

#: Largest read from the server at once, in full records. Together with the answers that
#: one read from the client may cause (KeyUpdates), it stays below the limit of 256 KiB
#: per connection and direction.
WRITE_SIZE = 7 * 16 * 1024

#: Bytes that OpenSSL may hold from an earlier read: one incomplete record.
_RECORD = 17 * 1024
_SINK_SIZE = 256 * 1024

#: OpenSSL's last reason for every broken record; the more specific one comes before it.
_ANY_RECORD = "record layer failure"

#: OpenSSL's names of key exchange groups, where grpcio's are different: it reports
#: BoringSSL's short names. The others have the same name in both.
_GROUPS = {"x25519": "X25519", "secp256r1": "prime256v1", "x448": "X448"}


class Sender(Protocol):
    """A socket, as far as a stream needs one."""

    def send(self, data: Any, /) -> int:  # noqa: ANN401 - a buffer
        """Send some of the bytes; return how many."""


class StreamError(Exception):
    """The TLS connection is broken; the text is OpenSSL's."""


class Scratch:
    """Memory that all connections of an event loop share; each step empties it.

    It has four regions: bytes read from a client, their plaintext, bytes read from the
    server, and a sink for bytes that have been sent.
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
        self.read = openssl.new_memory(f"char[{READ_SIZE}]")
        self.read_memory = memoryview(openssl.buffer_at(self.read))
        self.plain = openssl.new_memory(f"char[{READ_SIZE + _RECORD}]")
        self.plain_memory = memoryview(openssl.buffer_at(self.plain))
        self.write = openssl.new_memory(f"char[{WRITE_SIZE}]")
        self.write_memory = memoryview(openssl.buffer_at(self.write))
        self.sink = openssl.new_memory(f"char[{_SINK_SIZE}]")


class TlsStream:
    """The server side of one TLS connection, between a socket and the bridge."""

    __slots__ = (
        "_connection",
        "_context",
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
        #: Whether the peer has sent close_notify.
        self.ended = False
        #: Whether some of the bytes that were fed are not decrypted yet.
        self.is_behind = False
        #: Kept: OpenSSL has copied its verify callback, and pyOpenSSL refers to the
        #: context that the client's name selects only.
        self._context = context
        self._connection = SSL.Connection(context, None)
        self._connection.set_app_data(self.record)
        self._connection.set_accept_state()
        self._scratch = scratch
        self._ssl: Any = openssl.ssl_of(self._connection)
        self._in: Any = openssl.input_of(self._connection)
        self._out: Any = openssl.output_of(self._connection)
        self._out_data: Any = openssl.new_memory("char **")
        # pyOpenSSL sets this mode. Without it a read ends after each record, even one
        # without data, so thousands of those cannot keep OpenSSL busy in one call.
        openssl.SSL_clear_mode(self._ssl, openssl.SSL_MODE_AUTO_RETRY)

    def feed(self, count: int) -> None:
        """Pass the first `count` bytes of the read region to OpenSSL."""
        if openssl.BIO_write(self._in, self._scratch.read, count) != count:
            raise StreamError("out of memory")

    def handshake(self) -> bool:
        """Continue the handshake; return whether it is complete.

        Raises:
            SSL.Error: it failed, and an alert is waiting to be sent.
            NoH2Error: the client's protocols do not include `h2`; likewise.
        """
        openssl.ERR_clear_error()  # see `take_error`
        result = openssl.SSL_do_handshake(self._ssl)
        if result == 1:
            return True
        # pyOpenSSL would raise an exception also for "wants more": half of all calls.
        if openssl.SSL_get_error(self._ssl, result) != openssl.SSL_ERROR_WANT_READ:
            openssl.raiser_of(self._connection)(self._ssl, result)
        return False

    def has_only_tickets(self) -> bool:
        """Whether the output of a finished handshake can wait for the first data.

        In TLS 1.3 the server ends its handshake with session tickets, which the client
        does not wait for (and must not use where resumption is off): sent alone they
        would cost both sides a packet. In TLS 1.2 the client needs the last message.
        """
        return self.version() == "TLSv1.3"

    def decrypt(self) -> int:
        """Decrypt the bytes fed so far into the plain region; return their number.

        Stops when `_BUDGET` is used up; then `is_behind` is true.

        Raises:
            StreamError: the peer violated the protocol, or sent a fatal alert.
        """
        ssl, plain = self._ssl, self._scratch.plain
        total, end = 0, 0.0
        openssl.ERR_clear_error()  # see `take_error`
        self.is_behind = False
        for step in itertools.count(1):
            got = openssl.SSL_read(ssl, plain + total, READ_SIZE + _RECORD - total)
            if got > 0:
                total += got
            else:
                code = openssl.SSL_get_error(ssl, got)
                if code == openssl.SSL_ERROR_ZERO_RETURN:
                    self.ended = True
                    return total
                if code != openssl.SSL_ERROR_WANT_READ:
                    raise StreamError(take_error())
            if not openssl.BIO_get_mem_data(self._in, openssl.NULL):
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

    def encrypt(self, count: int, *, start: int = 0) -> None:
        """Encrypt the bytes of the write region from `start` to `count` for `flush`.

        Raises:
            StreamError: OpenSSL can no longer send on this connection.
        """
        if count > start:
            self._encrypt(self._scratch.write + start, count - start)

    def encrypt_bytes(self, data: bytes) -> None:
        """Encrypt `data`, which is not in the scratch memory, for `flush`.

        Raises:
            StreamError: as `encrypt`.
        """
        self._encrypt(data, len(data))

    def _encrypt(self, data: Any, count: int) -> None:  # noqa: ANN401 - cffi, or bytes
        if openssl.SSL_write(self._ssl, data, count) != count:
            raise StreamError(take_error())

    def queue_close_notify(self) -> None:
        """Append a close_notify to the bytes that wait to be sent."""
        if openssl.SSL_shutdown(self._ssl) < 0:
            # For example, the handshake is not complete: no close_notify is needed.
            openssl.ERR_clear_error()

    @property
    def pending(self) -> int:
        """The number of bytes that wait to be sent."""
        count: int = openssl.BIO_get_mem_data(self._out, openssl.NULL)
        return count

    def flush(self, sock: Sender) -> bool:
        """Send the waiting bytes; return whether all of them were sent.

        They are sent directly from OpenSSL's memory, and then skipped there.

        Raises:
            OSError: of `send`, except `BlockingIOError`.
        """
        count = openssl.BIO_get_mem_data(self._out, self._out_data)
        if not count:
            return True
        try:
            sent = sock.send(openssl.buffer_at(self._out_data[0], count))
        except BlockingIOError:
            return False
        self._drop(sent)
        return bool(sent == count)

    def _drop(self, count: int) -> None:
        while count > 0:
            count -= openssl.BIO_read(
                self._out, self._scratch.sink, min(count, _SINK_SIZE)
            )

    def trim(self) -> bool:
        """Free the memory of empty BIOs; return whether they were empty.

        A memory BIO never shrinks by itself: a connection that once transferred a large
        message would keep half a megabyte until it is closed.
        """
        if self.pending or openssl.BIO_get_mem_data(self._in, openssl.NULL):
            return False
        self._in = openssl.BIO_new(openssl.BIO_s_mem())
        self._out = openssl.BIO_new(openssl.BIO_s_mem())
        openssl.SSL_set_bio(self._ssl, self._in, self._out)  # frees the old ones
        return True

    def version(self) -> str:
        """Return `TLSv1.2` or `TLSv1.3`."""
        return self._connection.get_protocol_version_name()

    def server_name(self) -> str | None:
        """Return the client's SNI host name, with non-ASCII bytes escaped."""
        name = self._connection.get_servername()
        return None if name is None else name.decode("ascii", "backslashreplace")

    def speaks_h2(self) -> bool:
        """Whether ALPN negotiated h2."""
        return self._connection.get_alpn_proto_negotiated() == b"h2"

    def is_resumed(self) -> bool:
        """Whether the session was resumed; pyOpenSSL has no method for it."""
        return bool(openssl.SSL_session_reused(self._ssl))

    def group(self) -> str | None:
        """Return the name of the key exchange group, as grpcio spells it."""
        name = self._connection.get_group_name()
        return None if name is None else _GROUPS.get(name, name)

    def take_certificates(self) -> tuple[bytes | None, tuple[bytes, ...]]:
        """Return the peer's leaf and the certificates sent after it, as DER; once."""
        leaf, self.record.leaf = self.record.leaf, None
        # On the server side, OpenSSL does not include the leaf in this list.
        chain = openssl.SSL_get_peer_cert_chain(self._ssl)
        if leaf is None or chain == openssl.NULL:
            return leaf, ()
        return leaf, tuple(
            der_of(openssl.sk_X509_value(chain, index))
            for index in range(openssl.sk_X509_num(chain))
        )


def take_error() -> str:
    """Return the reason of OpenSSL's oldest queued error and empty the queue.

    The queue has to be empty before every operation whose result is passed to
    SSL_get_error. That function reads the queue, so an error that one connection left
    there would become a failure of the next one.
    """
    code = openssl.ERR_peek_error()
    text = openssl.ERR_reason_error_string(code) if code else openssl.NULL
    openssl.ERR_clear_error()
    if text == openssl.NULL:
        return "unexpected end of the connection"
    reason: str = openssl.string_at(text).decode("ascii", "replace")
    return reason


def reason_of(error: Exception) -> str:
    """Return OpenSSL's reason for the failure of a handshake."""
    if isinstance(error, StreamError):
        return str(error)
    if isinstance(error, SSL.SysCallError):
        return "unexpected end of the connection"
    details = error.args[0] if error.args else None
    if not isinstance(details, list) or not details:
        return type(error).__name__
    # pyOpenSSL: all of OpenSSL's error queue as (library, function, reason). The TLS
    # library's reason comes last ("bad signature" after "provider signature failure").
    reasons = [
        reason
        for library, _, reason in details
        if "SSL" in library and reason != _ANY_RECORD
    ]
    return str(reasons[-1] if reasons else details[0][2])
