"""Clients that call continuously while a server changes, and their expected outcomes.

The clients do not wait for the changes: the expected outcome of a call is determined
afterwards, by when it began and ended. A call during a change may succeed or fail; all
other calls have one expected outcome.
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

__all__ = ["Call", "Caller", "ExpectedOutcomes", "start_callers"]


#: Seconds between two calls of a client, on the same connection or on different ones.
#: Without a pause, eight clients leave little of the processor to the changes.
_PAUSES = {True: 0.02, False: 0.05}


class Call(NamedTuple):
    """One call: the client, the times (monotonic), and the status of a refusal."""

    credential: Credential
    began: float
    ended: float
    refused: grpc.StatusCode | None
    details: str | None


class ExpectedOutcomes:
    """The times in which calls with a credential must succeed, must fail, or may both.

    At first they may both. A change is recorded when it begins and when it is in force.
    """

    def __init__(self) -> None:
        #: From each time on: True (must succeed), False (must fail), None (may both).
        self._turns: list[tuple[float, bool | None]] = [(0.0, None)]

    def begin_change(self) -> None:
        """Record that a change begins now."""
        self._turns.append((time.monotonic(), None))

    def allow_from(self, at: float) -> None:
        """Record that calls must succeed from the time `at` on."""
        self._turns.append((at, True))

    def deny_from(self, at: float) -> None:
        """Record that calls must fail from one settle time after `at` on."""
        self._turns.append((at + SETTLE, False))

    def of(self, call: Call) -> bool | None:
        """Return whether a call must succeed (True), must fail (False) or may both."""
        for start, end, outcome in self._spans():
            if start <= call.began and call.ended < end:
                return outcome
        return None

    def denied_spans(self) -> Iterator[tuple[float, float]]:
        """Yield the begin and end of each time in which calls must fail."""
        for start, end, outcome in self._spans():
            if outcome is False:
                yield start, end

    def _spans(self) -> Iterator[tuple[float, float, bool | None]]:
        for (start, outcome), (end, _) in pairwise([*self._turns, (inf, None)]):
            yield start, end, outcome


class Caller:
    """A client that makes one call after the other until it is stopped.

    Args:
        site: the site of the server.
        address: the address of the server.
        own: the first credential.
        keeps_connection: whether to use one connection, or a new one for each call.
    """

    def __init__(
        self, site: Site, address: str, own: Credential, *, keeps_connection: bool
    ) -> None:
        self._site = site
        self._address = address
        self._own = own
        self.keeps_connection = keeps_connection
        self.calls: list[Call] = []
        self._changed = threading.Condition()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    def use_credential(self, own: Credential) -> None:
        """Use another credential from the next call on, with a new connection."""
        self._own = own

    def wait(self, since: float, own: Credential, *, refused: bool) -> None:
        """Wait for a call that began after `since` and had the given outcome."""

        def is_there() -> bool:
            return any(
                call.credential is own and (call.refused is not None) is refused
                for call in reversed(self.calls[-50:])
                if call.began > since
            )

        with self._changed:
            assert self._changed.wait_for(is_there, PATIENCE), (
                f"keeps connection: {self.keeps_connection}, calls: {self.calls[-3:]}"
            )

    def _run(self) -> None:
        while not self._stopped.is_set():
            own = self._own
            with channel(self._site, self._address, own) as greeter:
                self._call(greeter, own)
                while (
                    self.keeps_connection
                    and own is self._own
                    and not self._stopped.is_set()
                ):
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
        self._stopped.wait(_PAUSES[self.keeps_connection])


def start_callers(
    site: Site, address: str, roles: dict[str, Credential], stack: ExitStack
):
    """Start two callers for each role, only one of which keeps its connection."""
    return {
        role: [
            stack.enter_context(
                Caller(site, address, own, keeps_connection=keeps_connection)
            )
            for keeps_connection in (True, False)
        ]
        for role, own in roles.items()
    }
