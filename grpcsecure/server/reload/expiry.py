"""Schedule of the warnings about a certificate's expiry, and its remaining lifetime.

Pure: certificates and the time are arguments. Warnings about a long-lived certificate
are due 30, 7 and 1 days ahead, about a short-lived one when a third of its lifetime is
left.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from grpcsecure.model.peer import Certificate

__all__ = ["has_little_left", "render_rest", "stage"]

_DAYS = (timedelta(days=30), timedelta(days=7), timedelta(days=1))

_HOUR = 3600
_DAY = 24 * _HOUR
_MINUTE = 60


def _announcements(certificate: Certificate) -> Iterator[timedelta]:
    """Yield how long before the expiry each warning is due, longest first.

    A renewal is due when a third of the lifetime is left, as in ACME clients. A warning
    before that point would come as soon as a short-lived certificate is issued.
    """
    third = (certificate.not_after - certificate.not_before) / 3
    if third < _DAYS[0]:
        yield third
    for days in _DAYS:
        if days <= third:
            yield days
    yield timedelta(0)


def stage(certificate: Certificate, now: datetime) -> int:
    """Return how many warnings about the expiry are due by `now`."""
    left = certificate.not_after - now
    return sum(left <= ahead for ahead in _announcements(certificate))


def has_little_left(certificate: Certificate, now: datetime) -> bool:
    """Whether at least one warning about the expiry is due, and so a renewal."""
    return stage(certificate, now) > 0


def render_rest(certificate: Certificate, now: datetime) -> str:
    """Return the rest of its lifetime: `61 days (2027-01-23)`, `expired since …`."""
    seconds = (certificate.not_after - now).total_seconds()
    if seconds < 0:
        return f"expired since {certificate.not_after:%Y-%m-%d %H:%M} UTC"
    for size, name, form in (
        (_DAY, "day", "%Y-%m-%d"),
        (_HOUR, "hour", "%Y-%m-%d %H:%M UTC"),
        (_MINUTE, "minute", "%H:%M UTC"),
        (1, "second", "%H:%M:%S UTC"),
    ):
        count = int(seconds // size)
        if count >= 2 or size == 1:  # noqa: PLR2004 - one day is worth its hours
            end = certificate.not_after.strftime(form)
            return f"{count} {name}{'s' * (count != 1)} ({end})"
    raise AssertionError("a second is always reached")
