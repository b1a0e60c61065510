"""The launcher's end of the control channel, whichever bridge is at the other end.

Orders have numbers, by which the bridge answers. Invariant: an answer of one bridge is
never taken for that of another.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from grpcsecure.tls.bridge.ipc import messages
from grpcsecure.tls.bridge.ipc.framing import ProtocolError
from grpcsecure.tls.bridge.parent.observer import BridgeError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from grpcsecure.tls.bridge.ipc.framing import Channel, Frame
    from grpcsecure.tls.openssl.settings import ContextMaterial

__all__ = ["ControlClient", "NoAnswerError"]

#: Seconds that a bridge has to answer an order.
_ANSWER_TIMEOUT = 30.0


class NoAnswerError(Exception):
    """The bridge died, or is stuck."""


class ControlClient:
    """Sends to the bridge that runs, if one does. All methods want `changed` held."""

    def __init__(self) -> None:
        #: Notified when there is another bridge, or none, or an answer.
        self.changed = threading.Condition(threading.Lock())
        self.channel: Channel | None = None
        self._orders = 0
        self._answers: dict[int, str | None] = {}

    def open(self, channel: Channel) -> None:
        """Talk to a bridge that has been started."""
        self.channel = channel
        self.changed.notify_all()

    def reset(self) -> None:
        """Forget the bridge, which is gone, with its answers."""
        if self.channel is not None:
            self.channel.close()
        self.channel = None
        self._answers.clear()
        self.changed.notify_all()

    def send(self, frame: Frame, descriptor: int | None = None) -> None:
        """Send a frame if there is a bridge; one that does not take it is ended.

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
            # Gone, or stuck: ended here so that reading notices it, in its own thread.
            self.disconnect()

    def disconnect(self) -> None:
        """Have the bridge end, and its reader notice."""
        if self.channel is not None:
            with suppress(OSError):  # it is gone already
                self.channel.sock.shutdown(socket.SHUT_RDWR)

    def new_order(self) -> int:
        """Return the number of the next order."""
        self._orders += 1
        return self._orders

    def answered(self, order: int, reason: str | None) -> None:
        """Take the bridge's answer to an order, which may be what is against it."""
        self._answers[order] = reason
        self.changed.notify_all()

    def await_answer(self, order: int) -> str | None:
        """Wait for the answer to an order; return what the bridge has against it.

        Raises:
            NoAnswerError: the bridge that was asked has none.
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
        """Have the bridge prepare what a commit of the returned order uses.

        Raises:
            BridgeError: it does not take it.
            NoAnswerError: it does not answer.
        """
        order = self.new_order()
        try:
            self.send(messages.write_material(order, materials))
        except ProtocolError as error:
            raise BridgeError(f"too much material for the bridge: {error}") from None
        reason = self.await_answer(order)
        if reason is not None:
            raise BridgeError(reason)
        return order
