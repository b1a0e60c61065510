"""Closes bridged connections whose client certificate is no longer valid.

That is: expired, revoked, unregistered, or its CA removed. The authorizer refuses their
new calls at once; running ones may finish within the grace. Invariant: a connection
whose certificate never was valid stays, since its mode let it in.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from grpcsecure.server.event_text import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from grpcsecure.server.rpc.bridged_caller import BridgedConnection, BridgedView
    from grpcsecure.server.rpc.peer_cache import ResolvedPeer
    from grpcsecure.server.snapshot import InForce, Snapshot
    from grpcsecure.tls.assessment import PeerAssessment

__all__ = ["ConnectionSweeper"]

_LOGGER = logging.getLogger("grpcsecure.bridge")


class _Ending:
    """A connection that is to be closed, `deadline` by the monotonic clock."""

    __slots__ = ("address", "deadline", "reason", "subject", "view")

    def __init__(
        self, view: BridgedView, resolved: ResolvedPeer, address: str, deadline: float
    ) -> None:
        assessment = resolved.assessment
        assert assessment is not None  # noqa: S101 - an anonymous peer is never swept
        self.view = view
        self.address = address
        self.deadline = deadline
        self.reason = _reason(assessment)
        self.subject = escape(assessment.certificate.subject)


def _reason(assessment: PeerAssessment) -> str:
    lapsed = assessment.has_lapsed or assessment.is_unvouched
    if lapsed and assessment.reason is not None:
        return assessment.reason
    if not assessment.in_force:
        return "certificate has expired"
    return "the certificate is not registered any more"


class ConnectionSweeper:
    """Finds and closes such connections; used by one thread.

    Args:
        views: of the bridged listeners.
        in_force: holds the snapshot that they are checked against.
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
        #: Open connections whose certificate was valid or registered at some time.
        self._counted: set[str] = set()
        #: The snapshot of the last sweep.
        self._last = in_force.snapshot
        self._ending: dict[str, _Ending] = {}

    def sweep(self) -> None:
        """Check all connections; give invalid ones a deadline, and close idle ones."""
        last, now = self._last, self._in_force.snapshot
        self._last = now
        counted = set()
        live = set()
        for name, view, connection in self._connections():
            live.add(name)
            resolved = _resolve(now, view, connection)
            has_counted = (
                name in self._counted
                or resolved.is_known
                or _has_counted(last, now, view, connection)
            )
            if has_counted:
                counted.add(name)
            if _may_stay(resolved, view, has_counted=has_counted):
                self._ending.pop(name, None)
            elif name not in self._ending:
                deadline = self._clock() + self._grace
                self._ending[name] = _Ending(
                    view, resolved, connection.result.address, deadline
                )
        self._counted = counted
        for name in self._ending.keys() - live:
            del self._ending[name]
        self._close_idle()

    def _connections(self) -> Iterator[tuple[str, BridgedView, BridgedConnection]]:
        for view in self._views:
            if view.registry is None:
                continue
            view.forget_ended()
            for name, connection in view.registry.connections():
                result = connection.result
                if result.listener == view.name and result.certificate is not None:
                    yield name, view, connection

    def _close_idle(self) -> None:
        now = self._clock()
        due: dict[str, int] = {}
        for name, ending in self._ending.items():
            running = ending.view.running.on(name)
            if not running or now >= ending.deadline:
                due[name] = running
        if not due:
            return
        # One order to the bridge for all of them.
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


def _resolve(
    snapshot: Snapshot, view: BridgedView, connection: BridgedConnection
) -> ResolvedPeer:
    return snapshot.resolvers[view.name].resolve(connection)


def _may_stay(resolved: ResolvedPeer, view: BridgedView, *, has_counted: bool) -> bool:
    """Whether a connection's certificate is valid now, or never was.

    A registered certificate does not excuse a lapsed one where the mode verifies.
    Without rules, no certificate has to be registered. Where the mode does not verify,
    a certificate that no CA of its trust domain vouches for may come as any other.
    """
    if view.verifies and resolved.fails_verification:
        return False
    if resolved.has_lapsed and not resolved.is_known:
        return False
    return not has_counted or resolved.principal is None or resolved.is_known


def _has_counted(
    last: Snapshot, now: Snapshot, view: BridgedView, connection: BridgedConnection
) -> bool:
    """Whether a registration that is gone now was in force at its handshake.

    For a connection that came after the last sweep and before the swap of snapshots.
    """
    return (
        last is not now
        and connection.result.generation <= last.generation
        and _resolve(last, view, connection).is_known
    )
