"""Connections through the bridge whose certificate has stopped counting are closed.

The authorizer refuses their new calls at once; running ones may finish within the
grace. Invariant: a connection that never counted is left alone: its mode let it in.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from grpcsecure.server.event_text import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from grpcsecure.server.rpc.bridged_caller import BridgedView
    from grpcsecure.server.rpc.principals import Judgement
    from grpcsecure.server.snapshot import InForce, Snapshot
    from grpcsecure.tls.openssl.handshake_result import HandshakeResult
    from grpcsecure.tls.verify import PeerAssessment

__all__ = ["ConnectionSweeper"]

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
        self.reason = _reason(assessment)
        self.subject = escape(assessment.certificate.subject)


def _reason(assessment: PeerAssessment) -> str:
    if assessment.has_lapsed and assessment.reason is not None:
        return assessment.reason
    if not assessment.in_force:
        return "certificate has expired"
    return "the certificate is not registered any more"


class ConnectionSweeper:
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
        #: Open connections that have counted at some time, by a pin too.
        self._counted: set[str] = set()
        #: What they were looked at with.
        self._last = in_force.snapshot
        self._ending: dict[str, _Ending] = {}

    def sweep(self) -> None:
        """Look at all connections; begin to end the lapsed ones, close idle ones."""
        last, now = self._last, self._in_force.snapshot
        self._last = now
        counted = set()
        live = set()
        for name, view, facts in self._connections():
            live.add(name)
            judgement = _judge(now, view, facts)
            has_counted = (
                name in self._counted
                or _is_known(judgement)
                or _has_counted(last, now, view, facts)
            )
            if has_counted:
                counted.add(name)
            if _may_stay(judgement, view, has_counted=has_counted):
                self._ending.pop(name, None)
            elif name not in self._ending:
                deadline = self._clock() + self._grace
                self._ending[name] = _Ending(view, judgement, facts.address, deadline)
        self._counted = counted
        for name in self._ending.keys() - live:
            del self._ending[name]
        self._close_idle()

    def _connections(self) -> Iterator[tuple[str, BridgedView, HandshakeResult]]:
        for view in self._views:
            if view.registry is None:
                continue
            for name, facts in view.registry.connections():
                if facts.listener == view.name and facts.certificate is not None:
                    yield name, view, facts

    def _close_idle(self) -> None:
        now = self._clock()
        due: dict[str, int] = {}
        for name, ending in self._ending.items():
            running = ending.view.running.on(name)
            if not running or now >= ending.deadline:
                due[name] = running
        if not due:
            return
        # In one go: one order to the bridge for all of them.
        self._close([*due])
        for name, calls_cut in due.items():
            _log_closed(self._ending.pop(name), calls_cut)


def _log_closed(ending: _Ending, calls_cut: int) -> None:
    fields: dict[str, object] = {
        "listener": ending.view.name,
        "address": ending.address,
        "reason": ending.reason,
        "subject": ending.subject,
    }
    if calls_cut:
        fields["calls_cut"] = calls_cut
    _LOGGER.warning("connection.closed", extra=fields)


def _judge(snapshot: Snapshot, view: BridgedView, facts: HandshakeResult) -> Judgement:
    return snapshot.judges[view.name].judge(view.presented_by(facts))


def _is_known(judgement: Judgement) -> bool:
    return judgement.standing is not None and judgement.standing.is_known


def _may_stay(judgement: Judgement, view: BridgedView, *, has_counted: bool) -> bool:
    """Whether it counts, or never did.

    Where the mode verifies, a pin is no way around that. Without rules, nobody needs
    to be registered.
    """
    if judgement.has_lapsed and (view.verifies or not _is_known(judgement)):
        return False
    return not has_counted or judgement.standing is None or _is_known(judgement)


def _has_counted(
    last: Snapshot, now: Snapshot, view: BridgedView, facts: HandshakeResult
) -> bool:
    """Whether it counted by a pin when it came, after the last look, before a swap."""
    return (
        last is not now
        and facts.generation <= last.generation
        and _is_known(_judge(last, view, facts))
    )
