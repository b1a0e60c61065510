"""Clients that call without pause while a server changes, and what had to come of it.

Nobody stops for anybody: what had to come of a call is found out afterwards, by when it
began and ended. A call during a change may go either way, all others may not.
"""

from __future__ import annotations

import threading
import time
from itertools import pairwise
from math import inf
from typing import TYPE_CHECKING, NamedTuple

import grpc
from support.reloading import PATIENCE, SETTLE, channel, greet
from typing_extensions import Self

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import ExitStack

    from support.reloading import Site

    from grpcsecure.devcerts.credentials import Credential

__all__ = ["Call", "Caller", "Entitlement", "everyone"]


class Call(NamedTuple):
    """One call: by whom, when (monotonic), and its status, None if it was answered."""

    credential: Credential
    began: float
    ended: float
    refused: grpc.StatusCode | None
    details: str | None


class Entitlement:
    """When calls of a credential have to succeed, when to fail, and when they may both.

    Begins undecided; a change is noted when it begins and when it is in force.
    """

    def __init__(self) -> None:
        #: From each moment on: True, False, or None for "may be both".
        self._turns: list[tuple[float, bool | None]] = [(0.0, None)]

    def changing(self) -> None:
        """Note that a change begins now."""
        self._turns.append((time.monotonic(), None))

    def granted(self, at: float) -> None:
        """Note that calls have to succeed from then on."""
        self._turns.append((at, True))

    def withdrawn(self, at: float) -> None:
        """Note that a removal was in force then: it is one settle time to be seen."""
        self._turns.append((at + SETTLE, False))

    def of(self, call: Call) -> bool | None:
        """Say what had to come of a call: True is success, None is either."""
        for start, end, verdict in self._spans():
            if start <= call.began and call.ended < end:
                return verdict
        return None

    def withdrawals(self) -> Iterator[tuple[float, float]]:
        """Yield each time in which calls had to fail, from its begin to its end."""
        for start, end, verdict in self._spans():
            if verdict is False:
                yield start, end

    def _spans(self) -> Iterator[tuple[float, float, bool | None]]:
        for (start, verdict), (end, _) in pairwise([*self._turns, (inf, None)]):
            yield start, end, verdict


class Caller:
    """A client that calls until it is stopped, each call as soon as the last is over.

    Args:
        site: whose server it calls.
        address: where.
        own: who it is at first.
        is_lasting: on one connection, or on a new one for each call.
    """

    def __init__(
        self, site: Site, address: str, own: Credential, *, is_lasting: bool
    ) -> None:
        self._site = site
        self._address = address
        self._own = own
        self.is_lasting = is_lasting
        self.calls: list[Call] = []
        self._changed = threading.Condition()
        self._is_stopped = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_stopped = True
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    def become(self, own: Credential) -> None:
        """Call as somebody else from the next call on, on a new connection."""
        self._own = own

    def wait(self, since: float, own: Credential, *, refused: bool) -> None:
        """Wait for a call that began after `since` and came out as wanted."""

        def is_there() -> bool:
            return any(
                call.credential is own and (call.refused is not None) is refused
                for call in reversed(self.calls[-50:])
                if call.began > since
            )

        with self._changed:
            assert self._changed.wait_for(is_there, PATIENCE), (
                f"{'lasting' if self.is_lasting else 'fresh'}: {self.calls[-3:]}"
            )

    def _run(self) -> None:
        while not self._is_stopped:
            own = self._own
            with channel(self._site, self._address, own) as greeter:
                self._call(greeter, own)
                while self.is_lasting and own is self._own and not self._is_stopped:
                    self._call(greeter, own)

    def _call(self, greeter, own: Credential) -> None:
        began = time.monotonic()
        refused = details = None
        try:
            greet(greeter)
        except grpc.RpcError as error:
            refused, details = error.code(), error.details()
        call = Call(own, began, time.monotonic(), refused, details)
        with self._changed:
            self.calls.append(call)
            self._changed.notify_all()


def everyone(site: Site, address: str, roles: dict[str, Credential], stack: ExitStack):
    """Start two callers for each role, one of each kind."""
    return {
        role: [
            stack.enter_context(Caller(site, address, own, is_lasting=is_lasting))
            for is_lasting in (True, False)
        ]
        for role, own in roles.items()
    }
