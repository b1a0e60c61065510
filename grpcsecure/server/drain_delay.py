"""The time before a drain in which a server still serves, with health NOT_SERVING."""

from __future__ import annotations

import asyncio
from queue import Empty, SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from grpcsecure.server.services.health_board import HealthBoard

__all__ = ["DrainDelay"]


class DrainDelay:
    """`server.drain_delay` of one server; `cut` ends it early.

    A signal handler may call any method while it interrupts another one: the only lock
    is that of a SimpleQueue, whose methods are reentrant.
    """

    def __init__(self, seconds: float, health: HealthBoard) -> None:
        self._seconds = seconds
        self._health = health
        self._until: float | None = None
        self._is_waiting = False
        self._cuts: SimpleQueue[None] = SimpleQueue()

    def wait(self) -> bool:
        """Wait for the rest of the delay; return whether `cut` was called."""
        if self._begin():
            self._is_waiting = True
            try:
                self._cuts.get(timeout=self._left())
            except Empty:
                pass
            else:
                self._cuts.put(None)  # also ends a wait that this one interrupted
            self._is_waiting = False
        return not self._cuts.empty()

    async def sleep(self) -> None:
        """Wait for the delay, on the event loop."""
        if self._begin():
            await asyncio.sleep(self._left())

    def cut(self) -> bool:
        """End the wait, or the next one; return whether there is one now."""
        self._cuts.put(None)
        return self._is_waiting

    def _begin(self) -> bool:
        """Make health NOT_SERVING; return whether there is a delay."""
        if self._until is None and self._seconds:
            self._until = monotonic() + self._seconds
            self._health.retire()
        return self._until is not None

    def _left(self) -> float:
        return 0.0 if self._until is None else max(0.0, self._until - monotonic())
