"""An open connection: decrypts towards the server, encrypts towards the client.

Each direction reads again only when the previous read has been forwarded, so the bridge
never buffers more than one read per direction. Invariant: when the connection ends, the
owner is notified first and closes the connection to the server, even if the client's
stays open.
"""

from __future__ import annotations

from contextlib import suppress
from socket import SHUT_WR
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from grpcsecure.tls.bridge.child.http2_frames import GOAWAY, ServerFrames
from grpcsecure.tls.bridge.child.reactor import IN, OUT
from grpcsecure.tls.bridge.child.states import ConnectionState
from grpcsecure.tls.openssl.stream import READ_SIZE, WRITE_SIZE, StreamError

if TYPE_CHECKING:
    import socket

    from grpcsecure.tls.bridge.child.reactor import Reactor
    from grpcsecure.tls.bridge.child.states import ConnectionLife
    from grpcsecure.tls.openssl.stream import Scratch, TlsStream

__all__ = ["Pipe", "PipeOwner"]

#: Bytes of ciphertext up to which the client is still read. If there are more than one
#: read from the server makes, the client causes answers (KeyUpdate) and does not read
#: them.
_MAX_UNSENT = WRITE_SIZE + 4 * 1024

#: A connection that read this much at once has memory to return when it is idle.
_OVERSIZED = 32 * 1024


class PipeOwner(Protocol):
    """Callbacks of a pipe, implemented by the event loop."""

    def pipe_ended(self, pipe: Pipe) -> None:
        """Close the connection to the server, and have its name unregistered.

        In either order: the server process guards the name until it is unregistered.
        """

    def pipe_broke(self, pipe: Pipe, error: Exception) -> None:
        """Report a pipe that was aborted by a bug in the bridge."""

    def goaway_sent(self, pipe: Pipe) -> None:
        """Note that the client opens no more streams on this connection."""

    def buffers_grew(self, pipe: Pipe) -> None:
        """Note that the pipe has memory that `Pipe.trim` can return."""

    def client_closed(self) -> None:
        """Note that a client's socket was closed."""

    def linger(self, pipe: Pipe, *, at_end: bool) -> None:
        """Send the rest of the output to the client, then close its connection.

        With `at_end`, all bytes of the client have been read, including its FIN.
        """


class Pipe:
    """A client's connection and its connection to the server."""

    __slots__ = (
        "_client_done",
        "_client_fd",
        "_client_mask",
        "_client_shut",
        "_frames",
        "_is_deferred",
        "_owner",
        "_reactor",
        "_scratch",
        "_to_upstream",
        "_upstream_done",
        "_upstream_fd",
        "_upstream_mask",
        "address",
        "client",
        "connection",
        "has_oversized_buffers",
        "is_busy",
        "is_closed",
        "life",
        "listener",
        "name",
        "opened",
        "stream",
        "upstream",
    )

    def __init__(  # noqa: PLR0913 - all by name, from one place
        self,
        *,
        connection: int,
        client: socket.socket,
        upstream: socket.socket,
        name: str,
        listener: str,
        address: str,
        stream: TlsStream,
        life: ConnectionLife,
        reactor: Reactor,
        scratch: Scratch,
        owner: PipeOwner,
    ) -> None:
        self.connection = connection
        self.client = client
        self.upstream = upstream
        self.name = name
        self.listener = listener
        self.address = address
        self.stream = stream
        self.life = life
        #: When it was opened (monotonic clock).
        self.opened = monotonic()
        self.is_closed = False
        #: Whether it forwarded any bytes since `trim` last cleared this.
        self.is_busy = False
        self.has_oversized_buffers = False
        self._reactor = reactor
        self._scratch = scratch
        self._owner = owner
        self._client_fd = client.fileno()
        self._upstream_fd = upstream.fileno()
        self._client_mask = IN
        self._upstream_mask = IN
        self._frames = ServerFrames()
        #: Whether decrypting the rest of the client's bytes is deferred.
        self._is_deferred = False
        #: Plain bytes that the server has not accepted yet.
        self._to_upstream: memoryview | None = None
        #: Whether the client sends no more data (close_notify or FIN).
        self._client_done = False
        #: Whether the client's FIN has been read.
        self._client_shut = False
        #: Whether the server accepts no more data.
        self._upstream_done = False

    def start(self) -> None:
        """Begin to forward, first the data that came with the end of the handshake."""
        self._reactor.watch(self._client_fd, IN, self.on_client)
        self._reactor.watch(self._upstream_fd, IN, self.on_upstream)
        tickets = self.stream.pending if self.stream.has_only_tickets() else 0
        try:
            self._forward(no_more_than=tickets)
        except Exception as error:  # noqa: BLE001 - see `_fail`
            self._fail(error)

    def on_client(self, mask: int) -> None:
        """Handle that the client's socket is ready."""
        try:
            if mask & OUT:
                self._flush()
            if mask & ~OUT and self._client_mask & IN and not self.is_closed:
                self._read_client()
        except Exception as error:  # noqa: BLE001 - see `_fail`
            self._fail(error)

    def on_upstream(self, mask: int) -> None:
        """Handle that the socket to the server is ready."""
        try:
            if mask & OUT:
                self._drain_to_upstream()
            if mask & ~OUT and self._upstream_mask & IN and not self.is_closed:
                self._read_upstream()
        except Exception as error:  # noqa: BLE001 - see `_fail`
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """End the connection; an error of one connection must not end the others."""
        if isinstance(error, BlockingIOError):
            return  # there was nothing to read after all
        if isinstance(error, StreamError):
            # OpenSSL has queued an alert.
            self._end_upstream()
            self._owner.linger(self, at_end=False)
            return
        self.abort()
        # An OSError is not a bug: the client has disconnected, and needs no answer.
        if not isinstance(error, OSError):
            self._owner.pipe_broke(self, error)

    def _read_client(self) -> None:
        scratch = self._scratch
        count = self.client.recv_into(scratch.read_memory, READ_SIZE)
        if not count:
            self._client_shut = True
            self._client_is_done()
            return
        self.stream.feed(count)
        self._forward()
        if count > _OVERSIZED:
            self._note_oversized_buffers()

    def _forward(self, *, no_more_than: int = 0) -> None:
        """Decrypt the bytes that were fed and send them to the server.

        Output of TLS itself is sent, unless it is at most `no_more_than` bytes.
        """
        stream = self.stream
        total = stream.decrypt()
        if total and not self._upstream_done:
            self._send_upstream(self._scratch.plain_memory[:total])
        if stream.pending > no_more_than:
            self._flush()
        if stream.ended:
            self._client_is_done()
        elif stream.is_behind:
            self._defer()
        self.is_busy = True

    def _defer(self) -> None:
        """Decrypt the rest later: the client has used up its time in this turn."""
        self._watch_client(self._client_mask & ~IN)
        if not self._is_deferred:
            self._is_deferred = True
            self._reactor.defer(self._resume)

    def _resume(self) -> None:
        self._is_deferred = False
        if self.is_closed or not self._may_read:
            return
        try:
            self._forward()
        except Exception as error:  # noqa: BLE001 - see `_fail`
            self._fail(error)
        self._resume_reading()

    @property
    def _may_read(self) -> bool:
        """Whether more bytes of the client can be forwarded."""
        return (
            not self._client_done
            and self._to_upstream is None
            and self.stream.pending <= _MAX_UNSENT
        )

    def _resume_reading(self) -> None:
        """Continue with the client's bytes, first with those that have been read."""
        if self.is_closed or not self._may_read:
            return
        if self.stream.is_behind:
            self._defer()
        else:
            self._watch_client(self._client_mask | IN)

    def _send_upstream(self, data: memoryview) -> None:
        try:
            sent = self.upstream.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            # The server closed its end; bytes that it sent before are still to be read.
            self._upstream_done = True
            return
        if sent < len(data):
            # A copy, because the scratch memory is shared by all connections.
            self._to_upstream = memoryview(bytes(data[sent:]))
            self._watch_client(self._client_mask & ~IN)
            self._watch_upstream(self._upstream_mask | OUT)

    def _drain_to_upstream(self) -> None:
        data, self._to_upstream = self._to_upstream, None
        self._watch_upstream(self._upstream_mask & ~OUT)
        if data is not None:
            self._send_upstream(data)
        if self._to_upstream is not None:
            return
        if self._client_done:
            self._shut_upstream()
        else:
            self._resume_reading()

    def _client_is_done(self) -> None:
        """Half-close towards the server, and go on delivering to the client."""
        if not self._client_done:
            self.life.enter(ConnectionState.HALF_CLOSED)
        self._client_done = True
        self._watch_client(self._client_mask & ~IN)
        if self._to_upstream is None:
            self._shut_upstream()

    def _shut_upstream(self) -> None:
        if not self._upstream_done:
            self._upstream_done = True
            with suppress(OSError):  # the server has closed the connection already
                self.upstream.shutdown(SHUT_WR)

    def _read_upstream(self) -> None:
        try:
            count = self.upstream.recv_into(self._scratch.write_memory, WRITE_SIZE)
        except BlockingIOError:
            return
        except OSError:
            # It closed the connection without reading all of the client's bytes:
            # handled like any other end.
            count = 0
        self.is_busy = True
        if not count:
            self.finish()
            return
        end = self._frames.advance(self._scratch.write_memory[:count])
        if end is None:
            self.stream.encrypt(count)
        else:
            self.stream.encrypt(end)
            self._encrypt_goaway()
            self.stream.encrypt(count, start=end)
        self._flush()
        if count > _OVERSIZED:
            self._note_oversized_buffers()

    def retire(self) -> None:
        """Send GOAWAY after the present frame: the client opens no more streams."""
        try:
            if self._client_done:
                self._owner.goaway_sent(self)  # it cannot open any
            elif self._frames.takes_goaway:
                self._encrypt_goaway()
                self._flush()
            else:
                self._frames.is_goaway_due = True
        except Exception as error:  # noqa: BLE001 - see `_fail`
            self._fail(error)

    def _encrypt_goaway(self) -> None:
        self._frames.is_goaway_due = False
        self.stream.encrypt_bytes(GOAWAY)
        self._owner.goaway_sent(self)

    def _flush(self) -> None:
        if self.stream.flush(self.client):
            if self._client_mask & OUT:
                self._after_flush()
            return
        mask = self._client_mask | OUT
        if self.stream.pending > _MAX_UNSENT:
            mask &= ~IN
        self._watch_client(mask)
        self._watch_upstream(self._upstream_mask & ~IN)

    def _after_flush(self) -> None:
        self._watch_client(self._client_mask & ~OUT)
        self._watch_upstream(self._upstream_mask | IN)
        self._resume_reading()

    def _watch_client(self, mask: int) -> None:
        if mask != self._client_mask:
            self._client_mask = mask
            self._reactor.change(self._client_fd, mask)

    def _watch_upstream(self, mask: int) -> None:
        if mask != self._upstream_mask:
            self._upstream_mask = mask
            self._reactor.change(self._upstream_fd, mask)

    def _note_oversized_buffers(self) -> None:
        if not self.has_oversized_buffers:
            self.has_oversized_buffers = True
            self._owner.buffers_grew(self)

    def trim(self) -> bool:
        """Return unused memory if the connection is idle; say whether it was done."""
        if self.is_closed:
            return True
        busy, self.is_busy = self.is_busy, False
        if busy or not self.stream.trim():
            return False
        self.has_oversized_buffers = False
        return True

    def finish(self) -> None:
        """End the connection as TLS requires: close_notify, FIN, then drain."""
        if self.is_closed:
            return
        self.stream.queue_close_notify()
        self._end_upstream()
        self._owner.linger(self, at_end=self._client_shut)

    def abort(self) -> None:
        """Close the connection immediately."""
        if not self.is_closed:
            self._end_upstream()
            self.life.enter(ConnectionState.CLOSED)
            self.client.close()
            self._owner.client_closed()

    def _end_upstream(self) -> None:
        self.is_closed = True
        self._reactor.forget(self._client_fd)
        self._reactor.forget(self._upstream_fd)
        self._to_upstream = None
        self._owner.pipe_ended(self)
