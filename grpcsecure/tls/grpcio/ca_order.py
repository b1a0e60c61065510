"""The client CAs that gRPC gets, so that a renewed CA verifies clients.

BoringSSL takes the first CA that has the name and the key of an issuer. If that one has
expired, the client is refused, although the renewed CA comes next in the file. Since
BoringSSL sorts the CAs by name, and keeps the order of those with one name only in
files of at most 16, the order alone is not enough.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from grpcsecure.model.peer import Certificate

__all__ = ["next_change", "select_cas"]

_LATEST = datetime.max.replace(tzinfo=timezone.utc)


def select_cas(cas: Sequence[Certificate], now: datetime) -> tuple[Certificate, ...]:
    """Return the CAs without those that stand in the way of others with their name.

    Of several with one name, those in force at `now` remain, the one that expires last
    first; if none is in force, all of them.
    """
    names = _by_name(cas)
    return tuple(
        ca
        for name in names.values()
        for ca in (name if len(name) == 1 else _select(name, now))
    )


def _select(same_name: list[Certificate], now: datetime) -> list[Certificate]:
    # At the very second of its end BoringSSL already counts a certificate as expired.
    in_force = [ca for ca in same_name if ca.not_before <= now < ca.not_after]
    in_force.sort(key=lambda ca: ca.not_after, reverse=True)
    return in_force or same_name


def next_change(cas: Sequence[Certificate], now: datetime) -> datetime:
    """Return the next time at which `select_cas` may return others than at `now`."""
    turns = (
        turn
        for name in _by_name(cas).values()
        if len(name) > 1
        for ca in name
        for turn in (ca.not_before, ca.not_after)
        if turn > now
    )
    return min(turns, default=_LATEST)


def _by_name(cas: Iterable[Certificate]) -> dict[str, list[Certificate]]:
    # BoringSSL ignores case and white space in names. Where it tells apart what is one
    # name here, at most a CA that has expired anyway gives way.
    names: dict[str, list[Certificate]] = {}
    for ca in cas:
        folded = "".join(ca.subject.casefold().split())
        names.setdefault(folded, []).append(ca)
    return names
