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

    Only the supervisor's thread adds and removes. Any thread may look up, and the one
    that stops the bridge clears too, while the supervisor may still be at it: each step
    is one operation on a dict, which may find that an entry is gone.
    `hold` is a descriptor of the named socket: while it is open no other socket can
    bind the name, even if the bridge's process is killed. So it is closed after the
    entry is gone.
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

    def add(self, connection: int, name: str, peer: _Peer, hold: int) -> bool:
        """Take a connection in; False, and no change, if number or name is taken."""
        if connection in self._by_connection or name in self._by_name:
            return False
        self._by_connection[connection] = (name, hold)
        self._numbers[name] = connection
        self._by_name[name] = peer
        return True

    def remove(self, connection: int) -> None:
        """Forget a connection, then let go of its name."""
        entry = self._by_connection.pop(connection, None)
        if entry is not None:
            name, hold = entry
            # Not `del`: `clear` may be at it in another thread.
            self._by_name.pop(name, None)
            self._numbers.pop(name, None)
            os.close(hold)

    def numbers_of(self, names: frozenset[str]) -> list[int]:
        """Return the connections that have these names."""
        found = (self._numbers.get(name) for name in names)
        return [number for number in found if number is not None]

    def clear(self) -> None:
        """Forget everything: the bridge is gone."""
        self._by_name.clear()
        self._numbers.clear()
        while self._by_connection:
            _, (_, hold) = self._by_connection.popitem()
            os.close(hold)
