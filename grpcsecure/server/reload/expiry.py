"""When to say that a certificate will expire, and how long it still lives.

Pure: certificates and the time come in. A long-lived certificate is announced 30, 7
and 1 days ahead, a short-lived one when a third of its life is left.
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
    """Yield how long before its end a certificate is announced, longest first.

    A renewal is due when a third of the life is left, as ACME clients have it; what
    lies before that would be said of every certificate as soon as it is issued.
    """
    third = (certificate.not_after - certificate.not_before) / 3
    if third < _DAYS[0]:
        yield third
    for days in _DAYS:
        if days <= third:
            yield days
    yield timedelta(0)


def stage(certificate: Certificate, now: datetime) -> int:
    """Return how many announcements of its end are due by `now`; 0 is none."""
    left = certificate.not_after - now
    return sum(left <= ahead for ahead in _announcements(certificate))


def has_little_left(certificate: Certificate, now: datetime) -> bool:
    """Whether its end has been announced at least once, so that a renewal is due."""
    return stage(certificate, now) > 0


def render_rest(certificate: Certificate, now: datetime) -> str:
    """Say how long it still lives: `61 days (2027-01-23)`, `3 hours (…)`, `expired`."""
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
