"""The table of open bridged connections, by the name of each.

The bridge announces a connection before it is used; the server looks it up on every
call. Invariant: a call from a name that is not in the table must be refused.
"""

from __future__ import annotations

import os
from typing import Generic, TypeVar

__all__ = ["Registry"]

_Peer = TypeVar("_Peer")


class Registry(Generic[_Peer]):
    """Live connections by the name that `context.peer()` reports.

    Only the supervisor thread adds and removes. Any thread may look up. The thread that
    stops the bridge may clear the table while the supervisor still changes it: so each
    step is one operation on a dict, and an entry may be missing.
    The guard is a descriptor of the named socket: while it is open, no other socket can
    bind the name, even if the bridge process is killed. So it is closed only after the
    entry has been removed.
    """

    __slots__ = ("_by_connection", "_by_name", "_numbers")

    def __init__(self) -> None:
        self._by_name: dict[str, _Peer] = {}
        self._by_connection: dict[int, tuple[str, int]] = {}
        self._numbers: dict[str, int] = {}

    def lookup(self, name: str) -> _Peer | None:
        """Return the peer of that name, or None: then the call must be refused."""
        return self._by_name.get(name)

    def connections(self) -> list[tuple[str, _Peer]]:
        """Return all names with their peers, as of now."""
        return [*self._by_name.items()]

    def __len__(self) -> int:
        return len(self._by_name)

    def add(self, connection: int, name: str, peer: _Peer, guard: int) -> bool:
        """Register a connection; return False if its number or name is in use."""
        if connection in self._by_connection or name in self._by_name:
            return False
        self._by_connection[connection] = (name, guard)
        self._numbers[name] = connection
        self._by_name[name] = peer
        return True

    def remove(self, connection: int) -> None:
        """Unregister a connection, and then release its name."""
        entry = self._by_connection.pop(connection, None)
        if entry is not None:
            name, guard = entry
            # Not `del`: `clear` may run in another thread.
            self._by_name.pop(name, None)
            self._numbers.pop(name, None)
            os.close(guard)

    def numbers_of(self, names: frozenset[str]) -> list[int]:
        """Return the connections that have these names."""
        found = (self._numbers.get(name) for name in names)
        return [number for number in found if number is not None]

    def clear(self) -> None:
        """Unregister all connections, because the bridge has ended."""
        self._by_name.clear()
        self._numbers.clear()
        while self._by_connection:
            _, (_, guard) = self._by_connection.popitem()
            os.close(guard)
