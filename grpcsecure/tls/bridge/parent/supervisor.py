"""The supervisor of the bridge process: starts it, and restarts it if it dies.

The listening sockets stay open in the server process, so clients that connect while no
bridge runs wait in the kernel's queue. Invariant: when a bridge process has ended, all
of its peers are unregistered.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, TypeVar

from grpcsecure.tls.bridge.ipc import messages
from grpcsecure.tls.bridge.ipc.framing import Channel, Frame, FrameKind, ProtocolError
from grpcsecure.tls.bridge.parent.control_client import (
    TOO_LARGE,
    ControlClient,
    NoAnswerError,
)
from grpcsecure.tls.bridge.parent.delayed_trim import DelayedTrim
from grpcsecure.tls.bridge.parent.drain_wait import DrainWait
from grpcsecure.tls.bridge.parent.hosts import ProcessHost, start_bridge
from grpcsecure.tls.bridge.parent.observer import (
    BridgeError,
    BridgeListener,
    BridgeObserver,
)
from grpcsecure.tls.bridge.parent.registry import Registry
from grpcsecure.tls.bridge.parent.restart_backoff import RestartBackoff
from grpcsecure.tls.openssl.settings import ContextMaterial

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from grpcsecure.tls.bridge.parent.hosts import Host, RunningBridge
    from grpcsecure.tls.handshake_result import HandshakeResult
    from grpcsecure.tls.material import Material

__all__ = ["Bridge", "BridgeError", "BridgeListener", "BridgeObserver"]

_Peer = TypeVar("_Peer")

#: Seconds within which a bridge must serve; a swap waits as long for one that starts.
_START_TIMEOUT = 30.0

#: How many bridges are tried for one swap: one may die for an unrelated reason.
_ATTEMPTS = 2

#: Seconds that a bridge has to end after it was ordered to stop.
_STOP_TIMEOUT = 5.0


class Bridge(Generic[_Peer]):
    """A supervised bridge, restarted if it dies. Methods are thread-safe.

    Args:
        listeners: the listeners to serve.
        observer: is notified of refusals and restarts.
        make_peer: makes the entry of the registry for a connection, from its name and
            the result of its handshake.
        host: runs the bridge; in a separate process by default.
    """

    def __init__(
        self,
        listeners: Sequence[BridgeListener],
        observer: BridgeObserver,
        *,
        make_peer: Callable[[str, HandshakeResult], _Peer],
        host: Host | None = None,
    ) -> None:
        self.peers: Registry[_Peer] = Registry()
        self._make_peer = make_peer
        self._listeners = {listener.name: listener for listener in listeners}
        self._materials = {
            listener.name: ContextMaterial.of(listener.material)
            for listener in listeners
        }
        self._observer = observer
        self._host: Host = ProcessHost() if host is None else host
        self._control = ControlClient()
        self._changed = self._control.changed
        self._running: RunningBridge | None = None
        self._first_order = 0
        self._ready = False
        #: Why the first start failed.
        self._failure: str | None = None
        #: Why the bridge rejected the material that it was started with.
        self._refused: str | None = None
        self._drain = DrainWait(self._changed)
        self._stopping = False
        self._heap = DelayedTrim()
        self._ended = threading.Event()
        self._wake = threading.Event()
        # It runs for as long as the bridge: the kernel sends the bridge its
        # PR_SET_PDEATHSIG when the thread that started it ends.
        self._thread = threading.Thread(
            target=self._supervise, name="grpcsecure-bridge-supervisor", daemon=True
        )

    @property
    def pid(self) -> int | None:
        """The id of the bridge process; None if it does not run, or is a thread."""
        running = self._running
        return None if running is None else running.pid

    @property
    def is_supervised(self) -> bool:
        """Whether the bridge runs or is about to be restarted; true while it stops."""
        return self._stopping or not self._ended.is_set()

    def start(self) -> None:
        """Start the bridge and wait until it accepts connections.

        Raises:
            BridgeError: it does not; the bridge is stopped again.
        """
        self._thread.start()
        with self._changed:
            self._changed.wait_for(
                lambda: self._ready or self._failure is not None, _START_TIMEOUT
            )
            failure = None if self._ready else self._failure or "it did not start"
        if failure is not None:
            self.stop()
            raise BridgeError(failure)

    def replace(self, materials: Mapping[str, Material]) -> None:
        """Use other material for the next handshakes, on all listeners at once.

        Raises:
            BridgeError: a context could not be built; everything stays as it was.
        """
        self.prepare(materials)()

    def prepare(self, materials: Mapping[str, Material]) -> Callable[[], None]:
        """Make the bridge build contexts of other material; return a commit function.

        That function makes the next handshakes use the contexts, on all listeners at
        once, and returns when they do.

        Raises:
            BridgeError: a context could not be built; everything stays as it was.
        """
        new = {name: ContextMaterial.of(each) for name, each in materials.items()}
        with self._changed:
            for _ in range(_ATTEMPTS):
                # Wait for a bridge that is being started: only a bridge can check that
                # OpenSSL accepts the material, and one that is started with material
                # that OpenSSL rejects would end.
                self._changed.wait_for(
                    lambda: self._control.channel is not None or self._stopping,
                    _START_TIMEOUT,
                )
                asked = self._control.channel
                if asked is None:
                    raise BridgeError("the TLS bridge is not running")
                with suppress(NoAnswerError):
                    order = self._control.prepare(new)
                    return lambda: self._commit(order, new, asked)
                if self._control.channel is asked:
                    raise BridgeError("the TLS bridge does not answer")
            raise BridgeError("the TLS bridge exited while loading new certificates")

    def _commit(
        self, order: int, new: Mapping[str, ContextMaterial], asked: Channel
    ) -> None:
        with self._changed:
            # A bridge that is started from now on begins with the new material.
            self._materials.update(new)
            current = self._control.channel
            if current is None:
                return
            try:
                if current is not asked:
                    # This bridge was started after the other one had prepared the new
                    # material, and began with the old material.
                    order = self._control.prepare(new)
                self._control.send(messages.write_commit(order))
                self._control.await_answer(order)
            except (NoAnswerError, BridgeError):
                # The new material has to be in force when this function returns: end
                # this bridge, since the next one begins with the new material.
                if self._control.channel is current:
                    self._control.disconnect()

    def close(self, peers: Collection[str]) -> None:
        """Close the connections that have these names, with a TLS close_notify."""
        numbers = self.peers.numbers_of(frozenset(peers))
        if numbers:
            self._send_ids(FrameKind.CLOSE, numbers)

    def drain(self) -> None:
        """Stop accepting, and ask clients to leave; their calls are served on."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
            self._wake.set()
            self._control.send(Frame(FrameKind.DRAIN))

    def await_drained(self, deadline: float, is_idle: Callable[[], bool]) -> None:
        """Wait until stopping the server refuses no call; see `DrainWait.wait`."""
        self._drain.wait(deadline, is_idle)

    def cancel_wait(self) -> None:
        """End `await_drained` in another thread."""
        self._drain.cancel()

    def stop(self, timeout: float = 0.0) -> None:
        """Stop the bridge, after waiting up to `timeout` seconds for a drain."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: self._drain.is_over or self._control.channel is None, timeout
            )
            self._control.send(Frame(FrameKind.STOP))
            self._wake.set()
        if self._thread.ident is not None:
            self._ended.wait(_STOP_TIMEOUT)
            running = self._running
            if not self._ended.is_set() and running is not None:
                running.kill()
            self._thread.join(_STOP_TIMEOUT)
        self.peers.clear()

    # The methods below run on the supervisor thread.

    def _supervise(self) -> None:
        try:
            self._keep_running()
        except Exception as error:  # noqa: BLE001 - a bug, which must not go unnoticed
            reason = f"{type(error).__name__}: {error}"
            if self._has_served(reason):
                self._notify(self._observer.gave_up, reason)
        finally:
            self._ended.set()

    def _keep_running(self) -> None:
        backoff = RestartBackoff()
        while True:
            reason, lasted = self._run_once()
            if self._stopping or not self._has_served(reason):
                return
            pause = backoff.next_pause(lasted)
            if pause is None:
                self._notify(self._observer.gave_up, reason)
                return
            self._notify(self._observer.died, reason, pause)
            if self._wake.wait(pause):
                return

    @staticmethod
    def _notify(callback: Callable[..., None], *arguments: object) -> None:
        with suppress(Exception):  # for example, of a filter in the user's logging
            callback(*arguments)

    def _has_served(self, reason: str) -> bool:
        """Whether a bridge has served before; otherwise `start` gets the reason."""
        with self._changed:
            if not self._ready:
                self._failure = reason
                self._changed.notify_all()
            return self._ready

    def _run_once(self) -> tuple[str, float]:
        """Run a bridge until it ends; return why it ended, and how long it lasted."""
        began = time.monotonic()
        try:
            channel, running = start_bridge(self._host)
        except OSError as error:
            return f"it could not be started: {error.strerror}", 0.0
        try:
            self._open(channel, running)
            reason = self._receive(channel)
        except ProtocolError as error:
            reason = f"{TOO_LARGE}: {error}"
        finally:
            self._forget_bridge()
        outcome = running.wait(_STOP_TIMEOUT)
        if outcome is None:
            running.kill()
            outcome = running.wait(_STOP_TIMEOUT) or "stuck"
        self._running = None
        # Its own reason says more than its exit code.
        return reason or self._refused or outcome, time.monotonic() - began

    def _open(self, channel: Channel, running: RunningBridge) -> None:
        with self._changed:
            self._running = running
            self._control.open(channel)
            self._refused = None
            if self._stopping:
                # The listening sockets are closed, or will be soon.
                self._control.disconnect()
                return
            self._first_order = self._control.configure(
                self._listeners.values(), self._materials
            )

    def _forget_bridge(self) -> None:
        """Forget the ended bridge; first its peers, before their names become free."""
        with self._changed:
            self.peers.clear()
            self._control.reset()
        if self._stopping:
            self._drain.end()  # its connections have ended with it

    def _receive(self, channel: Channel) -> str | None:
        """Handle the bridge's messages until it ends; return the reason it gave."""
        greeted = False
        try:
            while True:
                registered: list[int] = []
                for frame, descriptor in channel.receive():
                    if frame.kind is FrameKind.FAILED:  # before a greeting, too
                        return messages.read_failed(frame)
                    if not greeted:
                        messages.check_hello(frame)
                        greeted = True
                    else:
                        self._dispatch(frame, descriptor, registered)
                if registered:
                    self._send_ids(FrameKind.REGISTERED, registered)
        except ProtocolError as error:
            running = self._running
            if running is not None:
                running.kill()
            return f"the bridge sent {error}"
        except (EOFError, OSError):
            return None

    def _send_ids(self, kind: FrameKind, connections: Iterable[int]) -> None:
        with self._changed:
            self._control.send(messages.write_ids(kind, connections))

    def _dispatch(
        self, frame: Frame, descriptor: int | None, registered: list[int]
    ) -> None:
        kind = frame.kind
        if kind is FrameKind.PEER:
            self._register(messages.read_peer(frame), descriptor, registered)
        elif kind is FrameKind.ENDED:
            for number in messages.read_ids(frame):
                self.peers.remove(number)
                self._heap.connection_closed(remaining=len(self.peers))
        elif kind is FrameKind.REFUSED:
            self._notify(self._observer.refused, messages.read_refusal(frame))
        elif kind in (FrameKind.PREPARED, FrameKind.SWAPPED, FrameKind.REJECTED):
            self._answered(kind, *messages.read_answer(frame))
        elif kind is FrameKind.DRAINED:
            self._drain.end()
        elif kind is FrameKind.RETIRED:
            self._drain.retire()
        else:
            raise ProtocolError(f"a {kind.name} frame")

    def _register(
        self, message: messages.PeerMessage, guard: int | None, registered: list[int]
    ) -> None:
        if guard is None:
            # Out of descriptors: without a guard descriptor the name is not safe.
            self._send_ids(FrameKind.CLOSE, [message.connection])
            return
        peer = self._make_peer(message.name, message.result)
        if not self.peers.add(message.connection, message.name, peer, guard):
            os.close(guard)
            raise ProtocolError("a connection that is registered already")
        registered.append(message.connection)

    def _answered(self, kind: FrameKind, order: int, reason: str | None) -> None:
        with self._changed:
            if order != self._first_order:
                self._control.answered(order, reason)
                return
            if reason is not None:
                self._refused = reason
                self._control.disconnect()
                return
            if kind is not FrameKind.SWAPPED:
                return
            is_first = not self._ready
            self._ready = True
            self._changed.notify_all()
        if not is_first:
            self._notify(self._observer.restarted)
