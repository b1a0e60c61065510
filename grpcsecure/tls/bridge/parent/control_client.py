"""The server process's end of the control channel to the current bridge process.

Orders have numbers, which the bridge's answers refer to. Invariant: the answer of one
bridge process is never taken for that of another.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from grpcsecure.tls.bridge.ipc import messages
from grpcsecure.tls.bridge.ipc.framing import MAX_FRAME, ProtocolError
from grpcsecure.tls.bridge.parent.observer import BridgeError
from grpcsecure.tls.openssl.settings import ContextSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from grpcsecure.tls.bridge.ipc.framing import Channel, Frame
    from grpcsecure.tls.bridge.parent.observer import BridgeListener
    from grpcsecure.tls.openssl.settings import ContextMaterial

__all__ = ["TOO_LARGE", "ControlClient", "NoAnswerError"]

#: The reason if material exceeds `MAX_FRAME`.
TOO_LARGE = (
    f"certificates and CRLs exceed the {MAX_FRAME >> 20} MiB limit"
    " of the bridge channel"
)

#: Seconds within which a bridge has to answer an order.
_ANSWER_TIMEOUT = 30.0


class NoAnswerError(Exception):
    """The bridge has died or is stuck."""


class ControlClient:
    """Sends to the running bridge, if any. All callers must hold `changed`."""

    def __init__(self) -> None:
        #: Notified when a bridge starts or ends, and when an answer arrives.
        self.changed = threading.Condition(threading.Lock())
        self.channel: Channel | None = None
        self._orders = 0
        self._answers: dict[int, str | None] = {}

    def open(self, channel: Channel) -> None:
        """Use the channel of a bridge that has been started."""
        self.channel = channel
        self.changed.notify_all()

    def reset(self) -> None:
        """Forget the bridge, which has ended, and its answers."""
        if self.channel is not None:
            self.channel.close()
        self.channel = None
        self._answers.clear()
        self.changed.notify_all()

    def send(self, frame: Frame, descriptor: int | None = None) -> None:
        """Send a frame if there is a bridge; disconnect a bridge that does not read it.

        Raises:
            ProtocolError: the frame is too large.
        """
        if self.channel is None:
            return
        try:
            taken = self.channel.send(frame, descriptor)
        except OSError:
            taken = False
        if not taken:
            # Dead or stuck: the thread that reads from the channel then notices it.
            self.disconnect()

    def disconnect(self) -> None:
        """Shut the channel down: the bridge ends, and the reading thread notices it."""
        if self.channel is not None:
            with suppress(OSError):  # the bridge has ended already
                self.channel.sock.shutdown(socket.SHUT_RDWR)

    def configure(
        self,
        listeners: Iterable[BridgeListener],
        materials: Mapping[str, ContextMaterial],
    ) -> int:
        """Order a new bridge to serve `listeners`; return the order's number."""
        for listener in listeners:
            listen = messages.ListenOrder(
                listener.name,
                ContextSettings.of(listener.tls),
                listener.upstream_path,
                listener.max_connections,
            )
            for sock in listener.sockets:
                self.send(messages.write_listen(listen), sock.fileno())
        order = self.new_order()
        self.send(messages.write_material(order, materials))
        self.send(messages.write_commit(order))
        return order

    def new_order(self) -> int:
        """Return the number of the next order."""
        self._orders += 1
        return self._orders

    def answered(self, order: int, reason: str | None) -> None:
        """Store the answer to an order: None, or why the bridge rejected it."""
        self._answers[order] = reason
        self.changed.notify_all()

    def await_answer(self, order: int) -> str | None:
        """Wait for the answer to an order; return the reason if it was rejected.

        Raises:
            NoAnswerError: the bridge that was asked did not answer in time, or ended.
        """
        asked = self.channel
        self.changed.wait_for(
            lambda: order in self._answers or self.channel is not asked,
            _ANSWER_TIMEOUT,
        )
        if order not in self._answers:
            raise NoAnswerError
        return self._answers.pop(order)

    def prepare(self, materials: Mapping[str, ContextMaterial]) -> int:
        """Make the bridge prepare `materials`; return the number to commit them with.

        Raises:
            BridgeError: the bridge rejects the material.
            NoAnswerError: the bridge does not answer.
        """
        order = self.new_order()
        try:
            self.send(messages.write_material(order, materials))
        except ProtocolError as error:
            raise BridgeError(f"{TOO_LARGE}: {error}") from None
        reason = self.await_answer(order)
        if reason is not None:
            raise BridgeError(reason)
        return order
