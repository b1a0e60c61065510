"""File descriptors in reserve, so that clients cannot keep the server from its files.

Where grpcio terminates TLS, each client takes a descriptor of the server's process.
Once all are taken, no file can be opened and no directory listed: no certificate could
be renewed and no client revoked. So a server holds some descriptors, and releases them,
one after the other, for files that cannot be opened otherwise.

Another thread can take what is released, such as gRPC, which retries `accept` once a
second. Then the next one is released. Invariant: a lack of descriptors is counted, so
that it is never taken for a state of the files.
"""

from __future__ import annotations

import errno
import os
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["RESERVE", "DescriptorReserve", "is_shortage"]

_T = TypeVar("_T")

#: One for a file at a time, three for each watched directory, and some to lose.
_SIZE = 64


def is_shortage(error: BaseException) -> bool:
    """Whether the process, or the system, has no descriptor left."""
    return isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)


class DescriptorReserve:
    """Descriptors for the files of all servers in a process. Thread-safe.

    Attributes:
        shortages: how often a call failed although the reserve was released.
    """

    def __init__(self, size: int = _SIZE) -> None:
        self.shortages = 0
        self._size = size
        self._held: list[int] = []
        self._servers = 0
        self._lock = threading.Lock()

    def open(self) -> None:
        """Hold a reserve from now on, until `close` is called as often."""
        with self._lock:
            self._servers += 1
        self.fill()

    def close(self) -> None:
        """End one use; the last one releases the reserve."""
        with self._lock:
            self._servers = max(self._servers - 1, 0)
            while not self._servers and self._held:
                os.close(self._held.pop())

    def fill(self) -> None:
        """Take descriptors until the reserve is full or there are no more."""
        with self._lock, suppress(OSError):
            while self._servers and len(self._held) < self._size:
                self._held.append(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC))

    def call(self, function: Callable[[], _T]) -> _T:
        """Call a function that needs one descriptor, if necessary of the reserve.

        Raises:
            OSError: of `function`; counted if the reserve was not enough.
        """
        try:
            while True:
                try:
                    return function()
                except OSError as error:
                    if not is_shortage(error):
                        raise
                    if not self._release(1):
                        self.shortages += 1
                        raise
        finally:
            self.fill()

    @contextmanager
    def lent(self, count: int) -> Iterator[None]:
        """Release some descriptors of the reserve while the block runs."""
        self._release(count)
        try:
            yield
        finally:
            self.fill()

    def _release(self, count: int) -> bool:
        """Close some descriptors of the reserve; return whether there were any."""
        with self._lock:
            released = self._held[:count]
            del self._held[:count]
            for descriptor in released:
                os.close(descriptor)
        return bool(released)


#: The reserve of this process; empty until a server runs.
RESERVE = DescriptorReserve()
