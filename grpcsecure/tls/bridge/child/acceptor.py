"""Accepts clients on the listening sockets, while there is room for more of them."""

from __future__ import annotations

import errno
import resource
from functools import partial
from typing import TYPE_CHECKING, Protocol

from grpcsecure.tls.bridge.child.reactor import IN, Deadlines

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from grpcsecure.tls.bridge.child.reactor import Reactor
    from grpcsecure.tls.bridge.child.served_listener import (
        ReadyMaterial,
        ServedListener,
    )

__all__ = ["Acceptor", "AcceptorOwner"]

#: Connections accepted per socket and turn.
_ACCEPTS = 16

#: Descriptors that are kept for other purposes than clients, and those that one client
#: needs: its socket, and the socket to the server.
_RESERVE, _PER_CLIENT = 64, 2

#: Seconds until accepting is tried again if no connection is closed before.
_RETRY = 1.0

_OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class AcceptorOwner(Protocol):
    """The event loop, as the acceptor uses it."""

    @property
    def client_count(self) -> int:
        """How many clients are connected, in whichever state."""

    @property
    def is_behind(self) -> bool:
        """Whether the server process does not read what is sent to it."""

    def accepted(
        self,
        client: socket.socket,
        address: object,
        listener: ServedListener,
        ready: ReadyMaterial,
    ) -> None:
        """Begin the handshake of a client."""


class Acceptor:
    """Accepts on all listeners; pauses when the process is out of descriptors."""

    def __init__(self, reactor: Reactor, owner: AcceptorOwner) -> None:
        self._reactor = reactor
        self._owner = owner
        self._listeners: list[ServedListener] = []
        self._paused = False
        self._stopped = False
        self._retries: Deadlines[Callable[[], None]] = Deadlines(
            reactor, _RETRY, lambda retry: retry()
        )
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._capacity = max(1, (soft - _RESERVE) // _PER_CLIENT)

    def start(self, listener: ServedListener) -> None:
        """Accept on a listener, whose first material is in force."""
        self._listeners.append(listener)
        for sock in listener.sockets:
            self._reactor.watch(
                sock.fileno(),
                0 if self._paused else IN,
                partial(self._accept, listener, sock),
            )

    def stop(self) -> None:
        """Accept those that wait, and no more; the sockets are about to be closed.

        The kernel would reset the connections that are not accepted by then.
        """
        for listener in self._listeners:
            for sock in listener.sockets:
                while self._accept_some(listener, sock):
                    pass
                self._reactor.forget(sock.fileno())
        self._stopped = True
        self._listeners.clear()

    def resume(self) -> None:
        """Accept again, if accepting is paused: a connection was closed."""
        if self._paused and not self._stopped:
            self._paused = False
            self._set(IN)

    def _accept(
        self, listener: ServedListener, sock: socket.socket, _mask: int
    ) -> None:
        self._accept_some(listener, sock)

    def _accept_some(self, listener: ServedListener, sock: socket.socket) -> bool:
        """Accept some of the clients that wait; say whether there may be more."""
        ready = listener.ready
        for _ in range(_ACCEPTS):
            full = self._owner.client_count >= self._capacity
            if full or self._owner.is_behind or ready is None:
                self._pause()
                return False
            try:
                client, address = listener.accept(sock)
            except OSError as error:
                # Otherwise no client waits, or it disconnected before `accept`.
                if error.errno in _OUT_OF_RESOURCES:
                    self._pause()
                return isinstance(error, ConnectionError)
            self._owner.accepted(client, address, listener, ready)
        return True

    def _pause(self) -> None:
        """Stop accepting until a connection is closed, or for a second.

        Called when the process is out of descriptors, or may soon be.
        """
        self._paused = True
        self._set(0)
        self._retries.add(self.resume)

    def _set(self, mask: int) -> None:
        for sock in self._sockets():
            self._reactor.change(sock.fileno(), mask)

    def _sockets(self) -> Iterator[socket.socket]:
        for listener in self._listeners:
            yield from listener.sockets
