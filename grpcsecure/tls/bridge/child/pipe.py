"""An open connection: decrypts towards the server, encrypts towards the client.

Each direction reads only when the one before it has been passed on, so neither side
can make the bridge hold more than one read of it. Invariant: at the end the owner is
told first, and closes the server's end, whatever the client still does.
"""

from __future__ import annotations

from contextlib import suppress
from socket import SHUT_WR
from typing import TYPE_CHECKING, Protocol

from grpcsecure.tls.bridge.child.reactor import IN, OUT
from grpcsecure.tls.bridge.child.states import ConnectionState
from grpcsecure.tls.openssl.stream import READ_SIZE, WRITE_SIZE, StreamError

if TYPE_CHECKING:
    import socket

    from grpcsecure.tls.bridge.child.reactor import Reactor
    from grpcsecure.tls.bridge.child.states import ConnectionLife
    from grpcsecure.tls.openssl.stream import Scratch, TlsStream

__all__ = ["Pipe", "PipeOwner"]

#: Ciphertext that may wait while the client is still read. More than the server's
#: bytes of one read means that the client provokes answers (KeyUpdate) and does not
#: read them.
_MAX_WAITING = WRITE_SIZE + 4 * 1024

#: A connection that moved this much at once has memory to give back when idle.
_OVERSIZED = 32 * 1024


class PipeOwner(Protocol):
    """What a pipe tells the engine."""

    def pipe_ended(self, pipe: Pipe) -> None:
        """It is over: close the server's end, and have its name forgotten.

        In either order: the launcher holds the name until it has forgotten it.
        """

    def pipe_broke(self, pipe: Pipe, error: Exception) -> None:
        """It was aborted by a mistake of ours."""

    def buffers_grew(self, pipe: Pipe) -> None:
        """It holds memory that `Pipe.trim` can give back."""

    def linger(self, pipe: Pipe, *, at_end: bool) -> None:
        """Send what waits for the client, then end its connection.

        With `at_end` all that the client had to say has been read, its FIN too.
        """


class Pipe:
    """One client, one connection to the server."""

    __slots__ = (
        "_client_done",
        "_client_fd",
        "_client_mask",
        "_client_shut",
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
        self.is_closed = False
        #: Whether it moved anything since this was last cleared.
        self.is_busy = False
        self.has_oversized_buffers = False
        self._reactor = reactor
        self._scratch = scratch
        self._owner = owner
        self._client_fd = client.fileno()
        self._upstream_fd = upstream.fileno()
        self._client_mask = IN
        self._upstream_mask = IN
        #: Whether it waits for another turn with bytes that are not decrypted yet.
        self._is_deferred = False
        #: Plain bytes the server did not take yet.
        self._to_upstream: memoryview | None = None
        #: Whether the client has said its last word.
        self._client_done = False
        #: Whether its FIN has been read, behind which nothing can come.
        self._client_shut = False
        #: Whether the server takes no more.
        self._upstream_done = False

    def start(self) -> None:
        """Begin; what came with the end of the handshake is passed on first."""
        self._reactor.watch(self._client_fd, IN, self.on_client)
        self._reactor.watch(self._upstream_fd, IN, self.on_upstream)
        tickets = self.stream.pending if self.stream.has_only_tickets() else 0
        try:
            self._pass_on(no_more_than=tickets)
        except Exception as error:  # noqa: BLE001 - see `_fail`
            self._fail(error)

    def on_client(self, mask: int) -> None:
        """Serve the client's socket."""
        try:
            if mask & OUT:
                self._flush()
            if mask & ~OUT and self._client_mask & IN and not self.is_closed:
                self._read_client()
        except Exception as error:  # noqa: BLE001 - see `_fail`
            self._fail(error)

    def on_upstream(self, mask: int) -> None:
        """Serve the server's socket."""
        try:
            if mask & OUT:
                self._drain_to_upstream()
            if mask & ~OUT and self._upstream_mask & IN and not self.is_closed:
                self._read_upstream()
        except Exception as error:  # noqa: BLE001 - see `_fail`
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """End the connection; one connection's mistake must not end the others."""
        if isinstance(error, BlockingIOError):
            return  # there was nothing to read after all
        if isinstance(error, StreamError):
            # OpenSSL has put the alert behind what waits.
            self._end_upstream()
            self._owner.linger(self, at_end=False)
            return
        self.abort()
        # A client that is gone is no mistake: nobody is left to be told anything.
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
        self._pass_on()
        if count > _OVERSIZED:
            self._note_oversized_buffers()

    def _pass_on(self, *, no_more_than: int = 0) -> None:
        """Decrypt what was fed and give it to the server.

        Answers of TLS itself are sent, unless `no_more_than` so many bytes wait.
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
        """The client's bytes cost more than its share of a turn: the rest waits."""
        self._watch_client(self._client_mask & ~IN)
        if not self._is_deferred:
            self._is_deferred = True
            self._reactor.defer(self._resume)

    def _resume(self) -> None:
        self._is_deferred = False
        if self.is_closed or not self._may_read:
            return
        try:
            self._pass_on()
        except Exception as error:  # noqa: BLE001 - see `_fail`
            self._fail(error)
        self._resume_reading()

    @property
    def _may_read(self) -> bool:
        """Whether more of the client's bytes have a place to go to."""
        return (
            not self._client_done
            and self._to_upstream is None
            and self.stream.pending <= _MAX_WAITING
        )

    def _resume_reading(self) -> None:
        """Go on with the client's bytes, first with those that are here already."""
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
            # The server closed its end; what it sent before is still to be read.
            self._upstream_done = True
            return
        if sent < len(data):
            # A copy: the scratch memory is everybody's.
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
        """The client half-closed: tell the server, and go on delivering."""
        if not self._client_done:
            self.life.enter(ConnectionState.HALF_CLOSED)
        self._client_done = True
        self._watch_client(self._client_mask & ~IN)
        if self._to_upstream is None:
            self._shut_upstream()

    def _shut_upstream(self) -> None:
        if not self._upstream_done:
            self._upstream_done = True
            with suppress(OSError):  # the server was faster
                self.upstream.shutdown(SHUT_WR)

    def _read_upstream(self) -> None:
        try:
            count = self.upstream.recv_into(self._scratch.write_memory, WRITE_SIZE)
        except BlockingIOError:
            return
        except OSError:
            count = 0  # it closed with something of ours unread: an end like any other
        self.is_busy = True
        if not count:
            self.finish()
            return
        self.stream.encrypt(count)
        self._flush()
        if count > _OVERSIZED:
            self._note_oversized_buffers()

    def _flush(self) -> None:
        if self.stream.flush(self.client):
            if self._client_mask & OUT:
                self._after_flush()
            return
        mask = self._client_mask | OUT
        if self.stream.pending > _MAX_WAITING:
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
        """Give memory of past bulk back if nothing moves; say whether it is done."""
        if self.is_closed:
            return True
        busy, self.is_busy = self.is_busy, False
        if busy or not self.stream.trim():
            return False
        self.has_oversized_buffers = False
        return True

    def finish(self) -> None:
        """End the connection as TLS wants it: close_notify, FIN, then drain."""
        if self.is_closed:
            return
        self.stream.queue_close_notify()
        self._end_upstream()
        self._owner.linger(self, at_end=self._client_shut)

    def abort(self) -> None:
        """End the connection at once."""
        if not self.is_closed:
            self._end_upstream()
            self.life.enter(ConnectionState.CLOSED)
            self.client.close()

    def _end_upstream(self) -> None:
        self.is_closed = True
        self._reactor.forget(self._client_fd)
        self._reactor.forget(self._upstream_fd)
        self._to_upstream = None
        self._owner.pipe_ended(self)
