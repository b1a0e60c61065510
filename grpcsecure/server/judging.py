"""Who calls on one listener, judged by one snapshot and remembered while it holds.

A connection's first call pays for looking at its certificate; the others find what was
found, unless its time is over. Invariant: what is remembered belongs to one snapshot,
and goes away with it.
"""

from __future__ import annotations

import threading
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from grpcsecure.model.peer import AnonymousPeer
from grpcsecure.tls.verify import assess

if TYPE_CHECKING:
    from grpcsecure.model.peer import Peer
    from grpcsecure.policy.engine import Policy, Standing
    from grpcsecure.tls.verify import Assessment, Presented, Rechecks

__all__ = ["Judge", "Judgement"]

#: Presented certificates that are remembered; beyond that the oldest is forgotten.
_MOST_KNOWN = 1024

_LATEST = datetime.max.replace(tzinfo=timezone.utc)
_EARLIEST = datetime.min.replace(tzinfo=timezone.utc)


class Judgement:
    """What holds of a peer from `since` until just before `until`.

    `assessment` is None for an anonymous one, `standing` where there are no rules.
    """

    __slots__ = ("assessment", "listener", "presented", "since", "standing", "until")

    def __init__(
        self, listener: str, assessment: Assessment | None, policy: Policy | None
    ) -> None:
        self.listener = listener
        self.assessment = assessment
        self.presented = None if assessment is None else assessment.presented
        self.since = _EARLIEST if assessment is None else assessment.since
        self.until = _LATEST if assessment is None else assessment.until
        self.standing: Standing | None = None
        if policy is not None:
            in_force = assessment is not None and assessment.in_force
            self.standing = policy.identify(
                self._peer("", frozenset()), in_force=in_force
            )

    @property
    def has_lapsed(self) -> bool:
        """Whether a handshake verified what would not be verified any more."""
        return self.assessment is not None and self.assessment.has_lapsed

    def peer(self, address: str) -> Peer:
        """Return the peer, at the address it calls from."""
        standing = self.standing
        return self._peer(
            address, frozenset() if standing is None else standing.identities
        )

    def _peer(self, address: str, identities: frozenset[str]) -> Peer:
        if self.assessment is None:
            return AnonymousPeer(
                listener=self.listener, address=address, identities=identities
            )
        return self.assessment.peer(
            listener=self.listener, address=address, identities=identities
        )


class Judge:
    """Judges the peers of one listener by one snapshot. Any thread may ask.

    Args:
        listener: its name.
        rechecks: verifies against the client CAs of the snapshot, None without any.
        policy: of the snapshot, None if every call is allowed.
    """

    __slots__ = ("_anonymous", "_known", "_listener", "_lock", "_policy", "_rechecks")

    def __init__(
        self, listener: str, *, rechecks: Rechecks | None, policy: Policy | None
    ) -> None:
        self._listener = listener
        self._rechecks = rechecks
        self._policy = policy
        #: By the identity of what was presented, which the judgement keeps alive.
        self._known: dict[int, Judgement] = {}
        self._lock = threading.Lock()
        self._anonymous = Judgement(listener, None, policy)

    def warm_up(self) -> None:
        """Load what the first judgement needs, so that no call has to wait for it."""
        if self._rechecks is not None:
            self._rechecks.prepare()

    def judge(self, presented: Presented | None) -> Judgement:
        """Return what holds now of what a peer presented; None is anonymous."""
        if presented is None:
            return self._anonymous
        now = datetime.now(timezone.utc)
        known = self._known.get(id(presented))
        if (
            known is not None
            and known.since <= now < known.until
            and known.presented is presented
        ):
            return known
        assessment = assess(presented, rechecks=self._rechecks, now=now)
        judgement = Judgement(self._listener, assessment, self._policy)
        if presented.is_kept:
            with self._lock:
                if len(self._known) >= _MOST_KNOWN:
                    del self._known[next(iter(self._known))]
                self._known[id(presented)] = judgement
        return judgement
