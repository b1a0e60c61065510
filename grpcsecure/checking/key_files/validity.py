"""Checks of validity periods: certificates that are not valid now, or not for long."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from grpcsecure.diagnostics.catalog import file_kinds as kinds
from grpcsecure.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from grpcsecure.checking.key_files.file_uses import FileUse
    from grpcsecure.diagnostics.findings import Finding
    from grpcsecure.model.peer import Certificate

__all__ = ["check_ca_expiry", "check_server_expiry", "spell_span"]

_SOON = timedelta(days=7)


def check_server_expiry(
    use: FileUse, chain: Sequence[Certificate], now: datetime
) -> Iterator[Finding]:
    """Find certificates of a server's chain that are not valid, or expire soon."""
    from grpcsecure.tls.purpose import is_self_signed

    for certificate in chain:
        # A root in the file does not matter: clients use their own copy of it.
        if certificate is chain[0] or not is_self_signed(certificate):
            yield from _check_dates(use, certificate, now)


def _check_dates(
    use: FileUse, certificate: Certificate, now: datetime
) -> Iterator[Finding]:
    name = f"the certificate of {quote(certificate.subject)} in {use.shown}"
    if now > certificate.not_after:
        yield use.report(
            kinds.CERTIFICATE_EXPIRED,
            f"{name} expired on {certificate.not_after:%Y-%m-%d}",
            label=f"expired {spell_span(now - certificate.not_after)} ago",
            help="renew it; if it was renewed, check the clock",
        )
    elif now < certificate.not_before:
        yield use.report(
            kinds.CERTIFICATE_NOT_YET_VALID,
            f"{name} is not valid before {certificate.not_before:%Y-%m-%d %H:%M} UTC",
            label=f"valid in {spell_span(certificate.not_before - now)}",
            help="wait, or check the clock of this machine and of the CA",
        )
    else:
        yield from _check_soon(use, certificate, now)


def _check_soon(
    use: FileUse, certificate: Certificate, now: datetime
) -> Iterator[Finding]:
    if certificate.not_after - now <= _SOON:
        yield use.report(
            kinds.EXPIRES_SOON,
            f"the certificate of {quote(certificate.subject)} in {use.shown} expires"
            f" on {certificate.not_after:%Y-%m-%d}",
            label=f"expires in {spell_span(certificate.not_after - now)}",
            help="renew it",
        )


def check_ca_expiry(
    use: FileUse, cas: Sequence[Certificate], now: datetime
) -> Iterator[Finding]:
    """Find client CAs that are not valid now, some or all, or that expire soon."""
    late = [ca for ca in cas if ca.why_not_in_force(now) is not None]
    if len(late) == len(cas):
        more = f" or {len(late) - 1} more" if len(late) > 1 else ""
        yield use.report(
            kinds.NO_CA_IN_FORCE,
            f"no CA in {use.shown} is valid now, so no client of"
            f" {quote(late[0].subject)}{more} gets in{use.on_engines}",
            label=_why_late(late[0], now),
            help="add the CA that signs client certificates today",
        )
        return
    last = _last_days(cas, now)
    # A CA that was renewed verifies its clients by the other certificate.
    late = [ca for ca in late if (ca.subject, ca.public_key) not in last]
    if late:
        more = f" or {len(late) - 1} more" if len(late) > 1 else ""
        yield use.report(
            kinds.CA_NOT_IN_FORCE,
            f"the CA {quote(late[0].subject)} in {use.shown} is not valid now, so no"
            f" client of it{more} gets in{use.on_engines}",
            label=_why_late(late[0], now),
            help="remove it if no client needs it, or replace it by its successor",
        )
    for ca in cas:
        if last.get((ca.subject, ca.public_key)) == ca.not_after:
            yield from _check_soon(use, ca, now)


def _last_days(
    cas: Iterable[Certificate], now: datetime
) -> dict[tuple[str, str], datetime]:
    """Return the end of each CA in force, by name and key, with its renewals.

    A renewal that is not valid yet counts if it will be before its predecessor ends.
    """
    last: dict[tuple[str, str], datetime] = {}
    for ca in sorted(cas, key=lambda ca: ca.not_before):
        same = (ca.subject, ca.public_key)
        if now <= ca.not_after and ca.not_before <= last.get(same, now):
            last[same] = max(ca.not_after, last.get(same, ca.not_after))
    return last


def _why_late(certificate: Certificate, now: datetime) -> str:
    if now > certificate.not_after:
        return (
            f"{quote(certificate.subject)} expired on {certificate.not_after:%Y-%m-%d}"
        )
    return (
        f"{quote(certificate.subject)} is not valid before"
        f" {certificate.not_before:%Y-%m-%d}"
    )


def spell_span(delta: timedelta) -> str:
    """Format a duration in its largest unit."""
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        count = int(delta.total_seconds() // size)
        if count:
            return f"{count} {unit}{'s' * (count != 1)}"
    return "a moment"
