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
_SWOLLEN = 32 * 1024


class PipeOwner(Protocol):
    """What a pipe tells the engine."""

    def pipe_ended(self, pipe: Pipe) -> None:
        """It is over: close the server's end, and have its name forgotten.

        In either order: the launcher holds the name until it has forgotten it.
        """

    def pipe_broke(self, pipe: Pipe, error: Exception) -> None:
        """It was aborted by a mistake of ours."""

    def pipe_swelled(self, pipe: Pipe) -> None:
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
        "_inner_done",
        "_inner_fd",
        "_inner_mask",
        "_is_put_off",
        "_owner",
        "_reactor",
        "_scratch",
        "_to_inner",
        "address",
        "client",
        "connection",
        "inner",
        "is_busy",
        "is_closed",
        "is_swollen",
        "life",
        "listener",
        "name",
        "stream",
    )

    def __init__(  # noqa: PLR0913 - all by name, from one place
        self,
        *,
        connection: int,
        client: socket.socket,
        inner: socket.socket,
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
        self.inner = inner
        self.name = name
        self.listener = listener
        self.address = address
        self.stream = stream
        self.life = life
        self.is_closed = False
        #: Whether it moved anything since this was last cleared.
        self.is_busy = False
        self.is_swollen = False
        self._reactor = reactor
        self._scratch = scratch
        self._owner = owner
        self._client_fd = client.fileno()
        self._inner_fd = inner.fileno()
        self._client_mask = IN
        self._inner_mask = IN
        #: Whether it waits for another turn with bytes that are not decrypted yet.
        self._is_put_off = False
        #: Plain bytes the server did not take yet.
        self._to_inner: memoryview | None = None
        #: Whether the client has said its last word.
        self._client_done = False
        #: Whether its FIN has been read, behind which nothing can come.
        self._client_shut = False
        #: Whether the server takes no more.
        self._inner_done = False

    def start(self) -> None:
        """Begin; what came with the end of the handshake is passed on first."""
        self._reactor.watch(self._client_fd, IN, self.on_client)
        self._reactor.watch(self._inner_fd, IN, self.on_inner)
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

    def on_inner(self, mask: int) -> None:
        """Serve the server's socket."""
        try:
            if mask & OUT:
                self._drain_to_inner()
            if mask & ~OUT and self._inner_mask & IN and not self.is_closed:
                self._read_inner()
        except Exception as error:  # noqa: BLE001 - see `_fail`
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """End the connection; one connection's mistake must not end the others."""
        if isinstance(error, BlockingIOError):
            return  # there was nothing to read after all
        if isinstance(error, StreamError):
            # OpenSSL has put the alert behind what waits.
            self._end_inner()
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
        if count > _SWOLLEN:
            self._note_swelling()

    def _pass_on(self, *, no_more_than: int = 0) -> None:
        """Decrypt what was fed and give it to the server.

        Answers of TLS itself are sent, unless `no_more_than` so many bytes wait.
        """
        stream = self.stream
        total = stream.decrypt()
        if total and not self._inner_done:
            self._send_inner(self._scratch.plain_memory[:total])
        if stream.pending > no_more_than:
            self._flush()
        if stream.ended:
            self._client_is_done()
        elif stream.is_behind:
            self._put_off()
        self.is_busy = True

    def _put_off(self) -> None:
        """The client's bytes cost more than its share of a turn: the rest waits."""
        self._watch_client(self._client_mask & ~IN)
        if not self._is_put_off:
            self._is_put_off = True
            self._reactor.defer(self._go_on)

    def _go_on(self) -> None:
        self._is_put_off = False
        if self.is_closed or not self._may_read:
            return
        try:
            self._pass_on()
        except Exception as error:  # noqa: BLE001 - see `_fail`
            self._fail(error)
        self._read_on()

    @property
    def _may_read(self) -> bool:
        """Whether more of the client's bytes have a place to go to."""
        return (
            not self._client_done
            and self._to_inner is None
            and self.stream.pending <= _MAX_WAITING
        )

    def _read_on(self) -> None:
        """Go on with the client's bytes, first with those that are here already."""
        if self.is_closed or not self._may_read:
            return
        if self.stream.is_behind:
            self._put_off()
        else:
            self._watch_client(self._client_mask | IN)

    def _send_inner(self, data: memoryview) -> None:
        try:
            sent = self.inner.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            # The server closed its end; what it sent before is still to be read.
            self._inner_done = True
            return
        if sent < len(data):
            # A copy: the scratch memory is everybody's.
            self._to_inner = memoryview(bytes(data[sent:]))
            self._watch_client(self._client_mask & ~IN)
            self._watch_inner(self._inner_mask | OUT)

    def _drain_to_inner(self) -> None:
        data, self._to_inner = self._to_inner, None
        self._watch_inner(self._inner_mask & ~OUT)
        if data is not None:
            self._send_inner(data)
        if self._to_inner is not None:
            return
        if self._client_done:
            self._shut_inner()
        else:
            self._read_on()

    def _client_is_done(self) -> None:
        """The client half-closed: tell the server, and go on delivering."""
        if not self._client_done:
            self.life.enter(ConnectionState.HALF_CLOSED)
        self._client_done = True
        self._watch_client(self._client_mask & ~IN)
        if self._to_inner is None:
            self._shut_inner()

    def _shut_inner(self) -> None:
        if not self._inner_done:
            self._inner_done = True
            with suppress(OSError):  # the server was faster
                self.inner.shutdown(SHUT_WR)

    def _read_inner(self) -> None:
        try:
            count = self.inner.recv_into(self._scratch.write_memory, WRITE_SIZE)
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
        if count > _SWOLLEN:
            self._note_swelling()

    def _flush(self) -> None:
        if self.stream.flush(self.client):
            if self._client_mask & OUT:
                self._after_flush()
            return
        mask = self._client_mask | OUT
        if self.stream.pending > _MAX_WAITING:
            mask &= ~IN
        self._watch_client(mask)
        self._watch_inner(self._inner_mask & ~IN)

    def _after_flush(self) -> None:
        self._watch_client(self._client_mask & ~OUT)
        self._watch_inner(self._inner_mask | IN)
        self._read_on()

    def _watch_client(self, mask: int) -> None:
        if mask != self._client_mask:
            self._client_mask = mask
            self._reactor.change(self._client_fd, mask)

    def _watch_inner(self, mask: int) -> None:
        if mask != self._inner_mask:
            self._inner_mask = mask
            self._reactor.change(self._inner_fd, mask)

    def _note_swelling(self) -> None:
        if not self.is_swollen:
            self.is_swollen = True
            self._owner.pipe_swelled(self)

    def trim(self) -> bool:
        """Give memory of past bulk back if nothing moves; say whether it is done."""
        if self.is_closed:
            return True
        busy, self.is_busy = self.is_busy, False
        if busy or not self.stream.trim():
            return False
        self.is_swollen = False
        return True

    def finish(self) -> None:
        """End the connection as TLS wants it: close_notify, FIN, then drain."""
        if self.is_closed:
            return
        self.stream.say_goodbye()
        self._end_inner()
        self._owner.linger(self, at_end=self._client_shut)

    def abort(self) -> None:
        """End the connection at once."""
        if not self.is_closed:
            self._end_inner()
            self.life.enter(ConnectionState.CLOSED)
            self.client.close()

    def _end_inner(self) -> None:
        self.is_closed = True
        self._reactor.forget(self._client_fd)
        self._reactor.forget(self._inner_fd)
        self._to_inner = None
        self._owner.pipe_ended(self)
