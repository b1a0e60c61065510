"""Who calls on one listener, judged by one snapshot and remembered while it holds.

A connection's first call pays for looking at its certificate; the others find what was
found, unless its time is over. Invariant: what is remembered counts for the judge alone
that found it, and so for one snapshot.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from grpcsecure.model.peer import AnonymousPeer
from grpcsecure.tls.verify import assess

if TYPE_CHECKING:
    from grpcsecure.model.peer import Peer
    from grpcsecure.policy.decision import Policy, Principal
    from grpcsecure.tls.verify import PeerAssessment, Presented, Rechecks

__all__ = ["Judge", "Judgement"]

_LATEST = datetime.max.replace(tzinfo=timezone.utc)
_EARLIEST = datetime.min.replace(tzinfo=timezone.utc)


class Judgement:
    """What holds of a peer from `since` until just before `until`.

    `assessment` is None for an anonymous one, `standing` where there are no rules. `by`
    stands for the judge, which itself would be kept alive with its snapshot.
    """

    __slots__ = ("assessment", "by", "listener", "since", "standing", "until")

    def __init__(
        self,
        listener: str,
        assessment: PeerAssessment | None,
        policy: Policy | None,
        *,
        by: object = None,
    ) -> None:
        self.listener = listener
        self.assessment = assessment
        self.by = by
        self.since = _EARLIEST if assessment is None else assessment.since
        self.until = _LATEST if assessment is None else assessment.until
        self.standing: Principal | None = None
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

    __slots__ = ("_anonymous", "_listener", "_policy", "_rechecks", "_sign")

    def __init__(
        self, listener: str, *, rechecks: Rechecks | None, policy: Policy | None
    ) -> None:
        self._listener = listener
        self._rechecks = rechecks
        self._policy = policy
        self._sign = object()
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
        known = presented.memo.note
        if (
            isinstance(known, Judgement)
            and known.by is self._sign
            and known.since <= now < known.until
        ):
            return known
        assessment = assess(presented, rechecks=self._rechecks, now=now)
        judgement = Judgement(self._listener, assessment, self._policy, by=self._sign)
        presented.memo.note = judgement
        return judgement
