"""The bridge's event loop: accepts clients, connects them to the server, obeys orders.

Runs in a separate process or in a thread; its only link to the server process is its
end of the control channel. Invariants: a client is connected to the server only after
the server process has confirmed its name; and a name is free again only after the
server process has been notified that its connection has ended.
"""

from __future__ import annotations

import socket
from functools import partial
from typing import TYPE_CHECKING

from grpcsecure.tls.bridge.child.acceptor import Acceptor
from grpcsecure.tls.bridge.child.handshake import Handshake
from grpcsecure.tls.bridge.child.lingering_close import LingeringCloses
from grpcsecure.tls.bridge.child.oversized_buffers import OversizedBuffers
from grpcsecure.tls.bridge.child.pipe import Pipe
from grpcsecure.tls.bridge.child.reactor import IN, OUT, Deadlines, Reactor
from grpcsecure.tls.bridge.child.refusal_log import RefusalLog
from grpcsecure.tls.bridge.child.retirement import Retirement
from grpcsecure.tls.bridge.child.served_listener import ServedListener, build_all
from grpcsecure.tls.bridge.child.states import ConnectionState
from grpcsecure.tls.bridge.child.upstream_connect import UpstreamConnect
from grpcsecure.tls.bridge.child.upstream_socket import release_upstream
from grpcsecure.tls.bridge.heap_trimmer import HeapTrimmer
from grpcsecure.tls.bridge.ipc import messages
from grpcsecure.tls.bridge.ipc.framing import Channel, Frame, FrameKind, ProtocolError
from grpcsecure.tls.bridge.ipc.refusal import Refusal, RefusalKind
from grpcsecure.tls.openssl.context import ContextError
from grpcsecure.tls.openssl.stream import Scratch
from grpcsecure.tls.openssl.trial_handshake import HandshakeTrials

if TYPE_CHECKING:
    from collections.abc import Callable

    from grpcsecure.tls.bridge.child.served_listener import ReadyMaterial
    from grpcsecure.tls.bridge.child.upstream_connect import PendingConnect
    from grpcsecure.tls.handshake_result import HandshakeResult

__all__ = ["BridgeLoop"]

#: Seconds until refusals that are behind are reported.
_PERIOD = 1.0

#: Bytes queued for a server process that does not read; above that, no client is
#: accepted.
_MAX_UNREAD = 8 * 1024 * 1024


class Stopped(Exception):  # noqa: N818 - an order, not an error
    """The server process ordered the bridge to stop."""


class BridgeLoop:
    """The state of one bridge; `run` lasts until the server process stops it or ends.

    The names of pyOpenSSL that it needs have to be there (`_bindings.require`).
    """

    def __init__(
        self, control: socket.socket, *, trim_heap: Callable[[], object] | None = None
    ) -> None:
        control.setblocking(False)
        self._control = Channel(control)
        self._reactor = Reactor()
        self._scratch = Scratch()
        self._acceptor = Acceptor(self._reactor, self)
        self._trials = HandshakeTrials(self._scratch)
        self._lingering_closes = LingeringCloses(
            self._reactor, self._scratch, self.client_closed
        )
        self._refusals = RefusalLog(
            lambda refusal: self._notify(messages.write_refusal(refusal))
        )
        self._listeners: dict[str, ServedListener] = {}
        self._handshakes: set[Handshake] = set()
        self._pipes: dict[int, Pipe] = {}
        self._ended: list[int] = []
        #: Contexts that wait for their order to be committed.
        self._prepared: tuple[int, dict[ServedListener, ReadyMaterial]] | None = None
        self._oversized = OversizedBuffers(self._reactor, HeapTrimmer(trim_heap))
        self._retirement = Retirement(self._reactor)
        self._draining = False
        self._is_retired = False
        self._upstream_connect = UpstreamConnect(self._reactor, self)
        self._periodic_tasks: Deadlines[Callable[[], None]] = Deadlines(
            self._reactor, _PERIOD, lambda task: task()
        )

    def run(self) -> bool:
        """Serve until the end; every descriptor is closed afterwards.

        Returns:
            Whether the server process ordered the bridge to stop; false if the channel
            was closed instead.

        Raises:
            ProtocolError: the server process violated the protocol.
        """
        self._reactor.watch(self._control.sock.fileno(), IN, self._on_control)
        self._notify(messages.write_hello())
        try:
            while True:
                self._report_ended()
                self._reactor.turn()
        except Stopped:
            return True
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return False
        finally:
            self._close()

    @property
    def upstream_paths(self) -> list[str]:
        """The server's sockets, to be removed if the server process has died."""
        return [each.upstream_path for each in self._listeners.values()]

    def _notify(self, frame: Frame, descriptor: int | None = None) -> None:
        self._watch_control(all_sent=self._control.send(frame, descriptor))

    def _watch_control(self, *, all_sent: bool) -> None:
        self._reactor.change(self._control.sock.fileno(), IN if all_sent else IN | OUT)

    def _report_ended(self) -> None:
        """Report the connections that ended in this turn, in one frame."""
        if self._ended:
            ended, self._ended = self._ended, []
            self._notify(messages.write_ids(FrameKind.ENDED, ended))
        if self._draining:
            self._report_drain()

    def _report_drain(self) -> None:
        coming = len(self._handshakes) + len(self._upstream_connect)
        if not self._is_retired and not coming and self._retirement.is_done:
            self._is_retired = True
            self._notify(Frame(FrameKind.RETIRED))
        if not self.client_count:
            self._draining = False
            self._notify(Frame(FrameKind.DRAINED))

    def _on_control(self, mask: int) -> None:
        if mask & OUT:
            self._watch_control(all_sent=self._control.flush())
        if not mask & ~OUT:
            return
        try:
            frames = self._control.receive()
        except BlockingIOError:
            return
        for frame, descriptor in frames:
            self._dispatch(frame, descriptor)

    def _dispatch(self, frame: Frame, descriptor: int | None) -> None:
        kind = frame.kind
        if kind is FrameKind.REGISTERED:
            for number in messages.read_ids(frame):
                self._upstream_connect.registered(number)
        elif kind is FrameKind.CLOSE:
            for number in messages.read_ids(frame):
                # Deferred: closing thousands in one turn would delay all other
                # connections for a second.
                self._reactor.defer(partial(self._close_connection, number))
        elif kind is FrameKind.MATERIAL:
            self._prepare(frame)
        elif kind is FrameKind.COMMIT:
            self._swap(messages.read_order(frame))
        elif kind is FrameKind.LISTEN:
            self._listen(messages.read_listen(frame), descriptor)
        elif kind is FrameKind.DRAIN:
            self._drain()
        elif kind is FrameKind.STOP:
            raise Stopped
        else:
            raise ProtocolError(f"a {kind.name} frame to the bridge")

    def _listen(self, order: messages.ListenOrder, descriptor: int | None) -> None:
        if descriptor is None:
            raise ProtocolError("a listener without its socket")
        sock = socket.socket(fileno=descriptor)
        sock.setblocking(False)
        listener = self._listeners.get(order.listener)
        if listener is None:
            listener = ServedListener(order, self._reactor, self._trials)
            self._listeners[order.listener] = listener
        listener.sockets.append(sock)

    def _prepare(self, frame: Frame) -> None:
        """Build all contexts, which are then assigned together, or none of them."""
        number, materials = messages.read_material(frame)
        try:
            self._prepared = number, build_all(self._listeners, materials)
            answer = messages.write_prepared(number)
        except ContextError as error:
            answer = messages.write_rejected(number, str(error))
        self._notify(answer)

    def _swap(self, number: int) -> None:
        if self._prepared is None or self._prepared[0] != number:
            return  # it was rejected, and the server process has been notified
        (_, built), self._prepared = self._prepared, None
        for listener, ready in built.items():
            is_first = listener.ready is None
            listener.use(ready)
            if is_first:
                self._acceptor.start(listener)
        self._notify(messages.write_swapped(number))

    def _drain(self) -> None:
        self._draining = True
        self._acceptor.stop()
        for listener in self._listeners.values():
            listener.close()
        self._retirement.begin(self._pipes.values())

    @property
    def client_count(self) -> int:
        """How many clients are connected, in whichever state."""
        return (
            len(self._handshakes)
            + len(self._upstream_connect)
            + len(self._pipes)
            + len(self._lingering_closes)
        )

    @property
    def is_behind(self) -> bool:
        """Whether the server process does not read what is sent to it."""
        return self._control.pending > _MAX_UNREAD

    def accepted(
        self,
        client: socket.socket,
        address: object,
        listener: ServedListener,
        ready: ReadyMaterial,
    ) -> None:
        """Begin the handshake of a client, or close it if the listener is full."""
        if not listener.connection_opened():
            with client:
                self._report_refusal(listener.turn_away(client, address))
            return
        handshake = Handshake(
            client=client,
            peer_address=address,
            listener=listener,
            ready=ready,
            reactor=self._reactor,
            scratch=self._scratch,
            owner=self,
        )
        self._handshakes.add(handshake)
        listener.deadlines.add(handshake)

    def handshake_done(self, handshake: Handshake, result: HandshakeResult) -> None:
        """Connect the client to the server."""
        self._drop_handshake(handshake)
        self._upstream_connect.begin(handshake, result)

    def announce(self, message: messages.PeerMessage, guard: int) -> None:
        """Ask the server process to register a name, before it is used."""
        self._notify(messages.write_peer(message), guard)

    def connected(self, pending: PendingConnect) -> None:
        """Begin to forward bytes between the client and the server."""
        pipe = Pipe(
            connection=pending.number,
            client=pending.handshake.client,
            upstream=pending.upstream,
            name=pending.name,
            listener=pending.result.listener,
            address=pending.result.address,
            stream=pending.handshake.stream,
            life=pending.handshake.life,
            reactor=self._reactor,
            scratch=self._scratch,
            owner=self,
        )
        pipe.life.enter(ConnectionState.OPEN)
        self._pipes[pending.number] = pipe
        pipe.start()
        if self._draining and not pipe.is_closed:
            self._retirement.begin([pipe])

    def not_connected(
        self, handshake: Handshake, result: HandshakeResult, reason: str
    ) -> None:
        """Close the connection of a client that the server did not accept."""
        self._report(RefusalKind.SERVER, result, reason)
        handshake.stream.queue_close_notify()
        self._lingering_closes.begin(handshake.client, handshake.stream, handshake.life)

    def handshake_refused(
        self, handshake: Handshake, refusal: Refusal, *, linger: bool
    ) -> None:
        """Report the refusal, and close the connection after the alert is sent."""
        self._drop_handshake(handshake)
        self._report_refusal(refusal)
        if linger:
            self._lingering_closes.begin(
                handshake.client, handshake.stream, handshake.life
            )
        else:
            handshake.life.enter(ConnectionState.CLOSED)
            handshake.client.close()
            self.client_closed()

    def client_closed(self) -> None:
        """Return memory when many clients have gone, and accept another one."""
        self._oversized.connection_closed(remaining=self.client_count)
        self._acceptor.resume()

    def _report(
        self, kind: RefusalKind, client: HandshakeResult | Pipe, why: str
    ) -> None:
        name, at = client.listener, client.address
        self._report_refusal(Refusal(listener=name, address=at, kind=kind, reason=why))

    def _report_refusal(self, refusal: Refusal) -> None:
        self._refusals.add(refusal)
        if self._refusals.is_behind:
            self._periodic_tasks.add_if_absent(self._flush_refusals)

    def _drop_handshake(self, handshake: Handshake) -> None:
        self._handshakes.discard(handshake)
        handshake.listener.deadlines.discard(handshake)

    def pipe_ended(self, pipe: Pipe) -> None:
        """Close the connection to the server, and have its name unregistered."""
        del self._pipes[pipe.connection]
        self._oversized.forget(pipe)
        self._retirement.forget(pipe)
        self.end_name(pipe.connection, pipe.upstream, pipe.name)
        self._acceptor.resume()

    def end_name(self, number: int, upstream: socket.socket, name: str) -> None:
        """Release a name now, and have it unregistered at the end of the turn."""
        # The server process has its own descriptor, which guards the name until it is
        # unregistered. So the name does not become free when the socket is closed here.
        self._ended.append(number)
        release_upstream(upstream, name)

    def pipe_broke(self, pipe: Pipe, error: Exception) -> None:
        """Report a bug in the bridge, which ended this connection and no other."""
        self._report(RefusalKind.INTERNAL, pipe, f"{type(error).__name__}: {error}")

    def goaway_sent(self, pipe: Pipe) -> None:
        """Note that the client opens no more streams on this connection."""
        self._retirement.goaway_sent(pipe)

    def buffers_grew(self, pipe: Pipe) -> None:
        """Return the pipe's memory later, when it is idle."""
        self._oversized.add(pipe)

    def linger(self, pipe: Pipe, *, at_end: bool) -> None:
        """Close the client's connection after the rest of the output is sent."""
        self._lingering_closes.begin(pipe.client, pipe.stream, pipe.life, at_end=at_end)

    def _close_connection(self, number: int) -> None:
        pipe = self._pipes.get(number)
        if pipe is not None:
            pipe.finish()
            return
        self._upstream_connect.close_connection(number)

    def _flush_refusals(self) -> None:
        self._refusals.flush()
        if self._refusals.is_behind:
            self._periodic_tasks.add(self._flush_refusals)

    def _close(self) -> None:
        for pipe in [*self._pipes.values()]:
            pipe.abort()
        for each in self._handshakes:
            each.client.close()
        self._upstream_connect.close()
        self._lingering_closes.close()
        for listener in self._listeners.values():
            listener.close()
        self._reactor.close()
        self._control.close()
