"""Reactor of a single thread: ready descriptors, deadlines and deferred work.

Knows nothing of TLS. A turn serves every ready descriptor once, then as much deferred
work (handshakes) as fits its time budget, so that open connections never wait for more
than one step of another connection's handshake.
"""

from __future__ import annotations

import math
import select
import time
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

__all__ = ["IN", "OUT", "Deadlines", "Reactor"]

#: poll(2) and epoll(7) use the same bits.
IN = select.POLLIN
OUT = select.POLLOUT

#: Seconds of deferred work per turn; the first step always runs. One step with a
#: signature takes about this long.
_BUDGET = 0.0005

#: The longest wait, in seconds. poll(2) and epoll(7) count milliseconds up to 24 days,
#: but a deadline may be a year away.
_LONGEST = 86400.0

_Item = TypeVar("_Item", bound="Hashable")


class _Poller(Protocol):
    def register(self, fd: int, eventmask: int, /) -> None: ...
    def modify(self, fd: int, eventmask: int, /) -> None: ...
    def unregister(self, fd: int, /) -> None: ...
    def poll(self, timeout: float | None, /) -> list[tuple[int, int]]: ...


class _Poll:
    """An adapter of poll(2) to the interface of epoll, for systems without epoll."""

    def __init__(self) -> None:
        poll = select.poll()
        self.register = poll.register
        self.modify = poll.modify
        self.unregister = poll.unregister
        self._poll = poll.poll

    def poll(self, timeout: float | None, /) -> list[tuple[int, int]]:
        return self._poll(None if timeout is None else timeout * 1000)


class Deadlines(Generic[_Item]):
    """Items that expire `timeout` seconds after they were added.

    All have the same timeout, so they expire in the order in which they were added, and
    no scan is needed. It uses an OrderedDict because a plain dict would iterate over
    the gaps that deleted items leave at its front.
    """

    __slots__ = ("_expired", "_items", "_reactor", "timeout")

    def __init__(
        self, reactor: Reactor, timeout: float, expired: Callable[[_Item], None]
    ) -> None:
        self.timeout = timeout
        self._reactor = reactor
        self._expired = expired
        self._items: OrderedDict[_Item, float] = OrderedDict()
        reactor.deadlines.append(self)

    def add(self, item: _Item) -> None:
        """Start the item's time; restart it if it is running."""
        self._items.pop(item, None)
        self._items[item] = end = time.monotonic() + self.timeout
        self._reactor.due = min(self._reactor.due, end)

    def add_if_absent(self, item: _Item) -> None:
        """Start the item's time unless it is running."""
        if item not in self._items:
            self.add(item)

    def discard(self, item: _Item) -> None:
        """Forget the item."""
        self._items.pop(item, None)

    def next(self) -> float:
        """Return when the first item expires (monotonic clock), inf without one."""
        return next(iter(self._items.values()), math.inf)

    def expire(self, now: float) -> None:
        """Remove every item whose time is up, and call `expired` for it."""
        while self.next() <= now:
            item, _ = self._items.popitem(last=False)
            self._expired(item)

    def __len__(self) -> int:
        return len(self._items)


class Reactor:
    """Calls handlers when their descriptors are ready, by `select.epoll` or poll(2)."""

    def __init__(self) -> None:
        self._poller: _Poller = select.epoll() if hasattr(select, "epoll") else _Poll()
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._masks: dict[int, int] = {}
        self.deadlines: list[Deadlines[Any]] = []
        #: When to check them (monotonic clock): never later than the first of their
        #: items expires, but earlier if an item that was due first was discarded.
        self.due = math.inf
        self._deferred: deque[Callable[[], None]] = deque()

    def watch(self, fd: int, mask: int, handler: Callable[[int], None]) -> None:
        """Call `handler(mask)` whenever `fd` is ready for one of `mask`.

        With an empty mask the descriptor is not registered at all: epoll would report a
        hang-up of a registered descriptor over and over.
        """
        self._handlers[fd] = handler
        self._masks[fd] = mask
        if mask:
            self._poller.register(fd, mask)

    def change(self, fd: int, mask: int) -> None:
        """Watch `fd` for `mask` from now on."""
        before = self._masks[fd]
        if mask == before:
            return
        self._masks[fd] = mask
        if not before:
            self._poller.register(fd, mask)
        elif mask:
            self._poller.modify(fd, mask)
        else:
            self._poller.unregister(fd)

    def forget(self, fd: int) -> None:
        """Stop watching `fd`; must be called before `fd` is closed, harmless twice."""
        if self._handlers.pop(fd, None) is not None and self._masks.pop(fd):
            self._poller.unregister(fd)

    def defer(self, work: Callable[[], None]) -> None:
        """Run `work` once, when a turn's budget allows it."""
        self._deferred.append(work)

    def turn(self) -> None:
        """Wait until something is to be done, and run one turn."""
        handlers = self._handlers
        for fd, mask in self._poller.poll(self._timeout()):
            # An earlier handler of this turn may have closed it.
            handler = handlers.get(fd)
            if handler is not None:
                handler(mask)
        if self._deferred:
            self._run_deferred()
        if self.due < math.inf and self.due <= time.monotonic():
            self._expire()

    def _timeout(self) -> float | None:
        if self._deferred:
            return 0
        if self.due == math.inf:
            return None
        # Rather a millisecond late than early: epoll rounds, and after an early wake-up
        # nothing would be due yet, and the next wait would be too short as well.
        return min(max(0.0, self.due - time.monotonic() + 0.001), _LONGEST)

    def _run_deferred(self) -> None:
        end = time.perf_counter() + _BUDGET
        while self._deferred:
            self._deferred.popleft()()
            if time.perf_counter() >= end:
                return

    def _expire(self) -> None:
        now = time.monotonic()
        for deadlines in self.deadlines:
            deadlines.expire(now)
        self.due = min(deadlines.next() for deadlines in self.deadlines)

    def close(self) -> None:
        """Forget everything; the owners of the descriptors have to close them."""
        self._handlers.clear()
        self._masks.clear()
        self._deferred.clear()
        close = getattr(self._poller, "close", None)
        if close is not None:
            close()
