"""Warnings about the expiry of certificates: when, how often, and their text."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from support.reloading import LogRecorder, authority, client

from grpcsecure.model.listener import Listener, TcpAddress
from grpcsecure.model.server_config import ImportPath, ServerConfig, ServiceEntry
from grpcsecure.server.reload.expiry import has_little_left, render_rest, stage
from grpcsecure.server.reload.maintenance import ExpiryWatch
from grpcsecure.server.snapshot import InForce, build_snapshot
from grpcsecure.tls.certificate import parse_certificate
from grpcsecure.tls.material import Material

NOW = datetime(2026, 11, 25, 12, tzinfo=timezone.utc)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def certificate(*, lasts, left=None, name="dns:ada.test"):
    """Return a certificate of lifetime `lasts` that expires `left` after `NOW`."""
    parsed = parse_certificate(
        client(name, authority("clients")).certificate.public_bytes(Encoding.DER)
    )
    end = NOW + (lasts if left is None else left)
    return replace(parsed, not_before=end - lasts, not_after=end)


@pytest.mark.parametrize(
    ("lasts", "announcements"),
    [
        (365 * DAY, [30 * DAY, 7 * DAY, DAY]),
        (90 * DAY, [30 * DAY, 7 * DAY, DAY]),
        (60 * DAY, [20 * DAY, 7 * DAY, DAY]),
        (30 * DAY, [10 * DAY, 7 * DAY, DAY]),
        (21 * DAY, [7 * DAY, 7 * DAY, DAY]),
        (9 * DAY, [3 * DAY, DAY]),
        (DAY, [8 * HOUR]),
        (3 * HOUR, [HOUR]),
        (6 * MINUTE, [2 * MINUTE]),
    ],
)
def test_announcements(lasts, announcements):
    """Warnings are due 30, 7, 1 days or a third of the lifetime before the expiry."""
    leaf = certificate(lasts=lasts)
    start = leaf.not_before
    assert stage(leaf, start) == 0
    moments = [*announcements, timedelta(0)]
    for ahead in moments:
        due = sum(ahead <= other for other in moments)
        at = leaf.not_after - ahead
        assert stage(leaf, at) == due
        assert stage(leaf, at - SECOND) == due - moments.count(ahead)
    assert stage(leaf, leaf.not_after + DAY) == len(moments)


def test_little_is_left_from_the_first_announcement_on():
    """`has_little_left` is true from the first warning on, when a renewal is due."""
    leaf = certificate(lasts=90 * DAY)
    assert not has_little_left(leaf, leaf.not_after - 30 * DAY - SECOND)
    assert has_little_left(leaf, leaf.not_after - 30 * DAY)
    assert has_little_left(leaf, leaf.not_after + DAY)


@pytest.mark.parametrize(
    ("left", "text"),
    [
        (61 * DAY, "61 days (2027-01-25)"),
        (2 * DAY, "2 days (2026-11-27)"),
        (2 * DAY - SECOND, "47 hours (2026-11-27 11:59 UTC)"),
        (3 * HOUR, "3 hours (2026-11-25 15:00 UTC)"),
        (2 * HOUR - SECOND, "119 minutes (13:59 UTC)"),
        (2 * MINUTE, "2 minutes (12:02 UTC)"),
        (90 * SECOND, "90 seconds (12:01:30 UTC)"),
        (SECOND, "1 second (12:00:01 UTC)"),
        (0 * SECOND, "0 seconds (12:00:00 UTC)"),
        (-SECOND, "expired since 2026-11-25 11:59 UTC"),
    ],
)
def test_remaining_lifetime_as_text(left, text):
    """The text has the coarsest useful unit, and the time of expiry."""
    assert render_rest(certificate(lasts=90 * DAY, left=left), NOW) == text


class Announced:
    """An `ExpiryWatch` of these certificates, and its log lines."""

    def __init__(self, *leaves, cas=()):
        self.reminders = []
        self.in_force = InForce(self.snapshot(*leaves, cas=cas))
        self.watch = ExpiryWatch(self.in_force, self.reminders.append)
        self._lines = LogRecorder()
        self._seen = 0

    def snapshot(self, *leaves, cas=()):
        """Return a snapshot with a listener for each leaf."""
        config = ServerConfig(
            services=(ServiceEntry(servicer=ImportPath("a", "B")),),
            listeners=tuple(
                Listener(name=f"l{n}", address=TcpAddress("127.0.0.1", 0), tls=None)
                for n in range(len(leaves))
            ),
        )
        materials = {
            f"l{number}": Material(
                generation=1,
                certificate_chain=b"",
                private_key=b"",
                chain=(leaf,),
                client_cas=tuple(cas),
            )
            for number, leaf in enumerate(leaves)
        }
        return build_snapshot(config, materials, pins={}, generation=1)

    def at(self, now):
        """Check; return the new lines: listener, role, subject, remaining lifetime."""
        logger = logging.getLogger("grpcsecure.server")
        logger.addHandler(self._lines)
        try:
            self.watch.check(now)
        finally:
            logger.removeHandler(self._lines)
        lines = self._lines.all("certificate.expiring")
        new, self._seen = lines[self._seen :], len(lines)
        return [
            (one["listener"], one["role"], one["subject"], one["lives"].split("(")[0])
            for one in new
        ]


class TestExpiryWatch:
    """Each stage is logged once."""

    def test_each_stage_once(self):
        """Repeated checks log a stage once; missed stages are not logged separately."""
        leaf = certificate(lasts=90 * DAY)
        end = leaf.not_after
        announced = Announced(leaf)
        assert announced.at(end - 60 * DAY) == []
        line = ("l0", "certificate", "CN=ada.test", "30 days ")
        assert announced.at(end - 30 * DAY) == [line]
        assert announced.at(end - 30 * DAY) == []
        assert announced.at(end - 8 * DAY) == []
        # After a laptop slept, 7 days and 1 day are due at once: one line for both.
        assert len(announced.at(end - 5 * HOUR)) == 1
        assert announced.at(end - HOUR) == []
        ((*_, lives),) = announced.at(end + HOUR)
        assert lives.startswith("expired since")
        assert announced.at(end + DAY) == []

    def test_renewed_certificate_starts_again(self):
        """After a renewal, only the new certificate is logged, when its time comes."""
        old = certificate(lasts=90 * DAY)
        new = replace(certificate(lasts=90 * DAY), not_after=old.not_after + 60 * DAY)
        announced = Announced(old)
        assert len(announced.at(old.not_after - DAY)) == 1
        announced.in_force.snapshot = announced.snapshot(new)
        assert announced.at(old.not_after) == []
        assert len(announced.at(new.not_after - 30 * DAY)) == 1

    def test_cas_and_all_listeners(self):
        """An expiring client CA, which will refuse all clients, is logged too."""
        leaf = certificate(lasts=365 * DAY)
        ca = certificate(lasts=365 * DAY, left=20 * DAY, name="dns:ca.test")
        announced = Announced(leaf, leaf, cas=[ca])
        assert [one[:3] for one in announced.at(NOW)] == [
            ("l0", "client_ca", "CN=ca.test"),
            ("l1", "client_ca", "CN=ca.test"),
        ]
        assert announced.at(NOW) == []

    def test_reminds_with_every_announcement(self):
        """Each new stage repeats the last rejection of a reload."""
        leaf = certificate(lasts=90 * DAY)
        announced = Announced(leaf)
        moments = [leaf.not_after - left for left in (30 * DAY, 7 * DAY, DAY)]
        for moment in moments:
            announced.at(moment)
            announced.at(moment)
        assert announced.reminders == moments
