"""Connections through the bridge whose certificate has stopped counting are closed.

Their calls are refused at once (`gate`); those that run already may finish within the
grace. Invariant: a connection that never counted is left alone: its mode let it in.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from grpcsecure.server.event_text import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from grpcsecure.server.bridged import BridgedView
    from grpcsecure.server.judging import Judgement
    from grpcsecure.server.snapshot import InForce

__all__ = ["LapsedConnections"]

_LOGGER = logging.getLogger("grpcsecure.bridge")


class _Ending:
    """A connection that is to be closed, `deadline` by the monotonic clock."""

    __slots__ = ("address", "deadline", "reason", "subject", "view")

    def __init__(
        self, view: BridgedView, judgement: Judgement, address: str, deadline: float
    ) -> None:
        assessment = judgement.assessment
        assert assessment is not None  # noqa: S101 - an anonymous peer has no lapse
        self.view = view
        self.address = address
        self.deadline = deadline
        self.reason = assessment.reason or "the certificate is not registered any more"
        self.subject = escape(assessment.presented.certificate.subject)


class LapsedConnections:
    """Finds and closes them; used by one thread.

    Args:
        views: of the bridged listeners.
        in_force: the snapshot they are judged by.
        close: closes connections by their names, with a TLS close_notify.
        grace: seconds that their running calls get.
        clock: monotonic, in seconds.
    """

    def __init__(
        self,
        views: Collection[BridgedView],
        in_force: InForce,
        close: Callable[[Collection[str]], None],
        *,
        grace: float,
        clock: Callable[[], float],
    ) -> None:
        self._views = views
        self._in_force = in_force
        self._close = close
        self._grace = grace
        self._clock = clock
        #: Connections that counted when they were last looked at, by a pin.
        self._pinned: set[str] = set()
        self._ending: dict[str, _Ending] = {}

    def sweep(self) -> None:
        """Look at all connections; begin to end the lapsed ones, close idle ones."""
        pinned = set()
        live = set()
        for name, view, judgement, address in self._look():
            live.add(name)
            is_pinned = judgement.standing is not None and judgement.standing.is_known
            if is_pinned:
                pinned.add(name)
            elif name not in self._ending and (
                judgement.has_lapsed or name in self._pinned
            ):
                deadline = self._clock() + self._grace
                self._ending[name] = _Ending(view, judgement, address, deadline)
        self._pinned = pinned
        self._ending = {k: v for k, v in self._ending.items() if k in live - pinned}
        self._close_idle()

    def _look(self) -> Iterator[tuple[str, BridgedView, Judgement, str]]:
        snapshot = self._in_force.snapshot
        for view in self._views:
            if view.registry is None:
                continue
            judge = snapshot.judges[view.name]
            for name, facts in view.registry.connections():
                if facts.listener == view.name and facts.certificate is not None:
                    yield (
                        name,
                        view,
                        judge.judge(view.presented_by(facts)),
                        facts.address,
                    )

    def _close_idle(self) -> None:
        now = self._clock()
        for name, ending in [*self._ending.items()]:
            running = ending.view.running.on(name)
            if running and now < ending.deadline:
                continue
            del self._ending[name]
            self._close([name])
            fields: dict[str, object] = {
                "listener": ending.view.name,
                "address": ending.address,
                "reason": ending.reason,
                "subject": ending.subject,
            }
            if running:
                fields["calls_cut"] = running
            _LOGGER.warning("connection.closed", extra=fields)
