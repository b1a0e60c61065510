"""Lingering close of a client's connection: send the rest, send FIN, then drain.

An immediate close would not do: if the socket has unread bytes, the kernel sends RST,
and the client may lose the alert or the last response before it has read it.
"""

from __future__ import annotations

from socket import SHUT_WR
from typing import TYPE_CHECKING

from grpcsecure.tls.bridge.child.reactor import IN, OUT, Deadlines
from grpcsecure.tls.bridge.child.states import ConnectionState

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from grpcsecure.tls.bridge.child.reactor import Reactor
    from grpcsecure.tls.bridge.child.states import ConnectionLife
    from grpcsecure.tls.openssl.stream import Scratch, TlsStream

__all__ = ["LingeringCloses"]

#: Seconds without progress after which the connection of a client that does not read is
#: closed.
_FLUSH_TIMEOUT = 30.0

#: Seconds a client gets to answer our FIN with its own.
_DRAIN_TIMEOUT = 2.0


class _LingeringClose:
    __slots__ = ("client", "fd", "life", "stream")

    def __init__(
        self, client: socket.socket, stream: TlsStream | None, life: ConnectionLife
    ) -> None:
        self.client = client
        self.fd = client.fileno()
        self.stream = stream
        self.life = life


class LingeringCloses:
    """The connections that are being closed."""

    def __init__(
        self, reactor: Reactor, scratch: Scratch, closed: Callable[[], None]
    ) -> None:
        self._reactor = reactor
        self._scratch = scratch
        self._closed = closed
        self._flushing: Deadlines[_LingeringClose] = Deadlines(
            reactor, _FLUSH_TIMEOUT, self._close
        )
        self._draining: Deadlines[_LingeringClose] = Deadlines(
            reactor, _DRAIN_TIMEOUT, self._close
        )
        self._all: set[_LingeringClose] = set()

    def __len__(self) -> int:
        return len(self._all)

    def begin(
        self,
        client: socket.socket,
        stream: TlsStream,
        life: ConnectionLife,
        *,
        at_end: bool = False,
    ) -> None:
        """Take over a client's socket, which must not be watched any more.

        With `at_end`, all bytes of the client have been read, including its FIN.
        """
        life.enter(ConnectionState.FLUSHING)
        if at_end and self._close_at_once(client, stream):
            life.enter(ConnectionState.CLOSED)
            return
        closing = _LingeringClose(client, stream, life)
        self._all.add(closing)
        self._reactor.watch(closing.fd, 0, lambda mask: self._ready(closing, mask))
        self._flushing.add(closing)
        self._flush(closing)

    def _close_at_once(self, client: socket.socket, stream: TlsStream) -> bool:
        """Close the socket if all output can be sent now: no input is left to drain."""
        try:
            if not stream.flush(client):
                return False
        except OSError:
            pass  # the client is gone
        client.close()
        self._closed()
        return True

    def _ready(self, closing: _LingeringClose, mask: int) -> None:
        if closing.stream is not None:
            self._flush(closing)
        elif mask & ~OUT:
            self._drain(closing)

    def _flush(self, closing: _LingeringClose) -> None:
        stream = closing.stream
        if stream is None:
            return
        before = stream.pending
        try:
            done = stream.flush(closing.client)
            if done:
                closing.client.shutdown(SHUT_WR)
        except OSError:
            self._close(closing)
            return
        if done:
            closing.stream = None
            closing.life.enter(ConnectionState.DRAINING)
            self._flushing.discard(closing)
            self._draining.add(closing)
            self._reactor.change(closing.fd, IN)
            return
        if stream.pending < before:
            self._flushing.add(closing)
        self._reactor.change(closing.fd, OUT)

    def _drain(self, closing: _LingeringClose) -> None:
        try:
            count = closing.client.recv_into(self._scratch.read_memory)
        except BlockingIOError:
            return
        except OSError:
            count = 0
        if not count:
            self._close(closing)

    def _close(self, closing: _LingeringClose) -> None:
        self._flushing.discard(closing)
        self._draining.discard(closing)
        self._all.discard(closing)
        self._reactor.forget(closing.fd)
        closing.life.enter(ConnectionState.CLOSED)
        closing.client.close()
        self._closed()

    def close(self) -> None:
        """Close all of them immediately."""
        for closing in [*self._all]:
            self._close(closing)
