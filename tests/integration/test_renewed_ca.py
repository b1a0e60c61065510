"""A CA that was renewed with the same name and key lets its clients in."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from support.bridge import eventually
from support.reloading import (
    Site,
    authority,
    channel,
    client,
    refusal,
    serving,
    text_of,
)

from grpcsecure.devcerts.credentials import CA_USAGE, Profile, Validity, issue, new_key

DAY = timedelta(days=1)


class Renewed:
    """CAs with one name and one key, and a client of them."""

    def __init__(self, name="renewed"):
        self.name = name
        self.key = new_key()
        self.client = client("dns:a.test", self.ca(-400 * DAY, DAY))

    def ca(self, start, end, now=None):
        """Return the CA with a validity relative to now."""
        now = now or datetime.now(timezone.utc)
        profile = Profile(
            subject=self.name,
            validity=Validity(now + start, now + end),
            purposes=(),
            usage=CA_USAGE,
            is_ca=True,
        )
        return issue(profile, key=self.key)

    def is_refused(self, running):
        """Whether a new connection of the client is refused."""
        with channel(running.site, running.address, self.client) as stub:
            return refusal(stub) is not None


@pytest.fixture(name="renewed", scope="module")
def _renewed():
    return Renewed()


@pytest.fixture(name="running", scope="module", params=["grpc", "bridge"])
def _running(request, tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("renewed"), request.param)
    with serving(site) as running:
        yield running


def put(running, *cas):
    """Put a CA file in force."""
    running.site.put("ca.pem", text_of(*cas))
    return running.applied()


@pytest.mark.parametrize("others", [0, 30])
def test_order_of_the_file_does_not_matter(running, renewed, others):
    """The client gets in with the expired CA first, last, and among many others."""
    old, new = renewed.ca(-400 * DAY, -DAY), renewed.ca(-10 * DAY, 30 * DAY)
    future = renewed.ca(DAY, 60 * DAY)
    rest = [authority(f"other {number}") for number in range(others)]
    half = others // 2
    put(running, old, *rest[:half], future, *rest[half:], new)
    assert not renewed.is_refused(running)
    put(running, new, *rest, future, old)
    assert not renewed.is_refused(running)
    put(running, old, running.site.ca, *rest, future)
    assert renewed.is_refused(running)


def test_ca_that_expires_later_gives_way_without_a_reload(running, renewed):
    """Its renewal is used from the next handshake on, valid before or only then."""
    rest = [authority(f"other {number}") for number in range(30)]
    successors = [(renewed, -DAY), (Renewed("second"), timedelta(seconds=1))]
    now = datetime.now(timezone.utc)
    both = timedelta(seconds=2)
    old = [each.ca(-400 * DAY, both, now) for each, _ in successors]
    new = [each.ca(start, 30 * DAY, now) for each, start in successors]
    put(running, *old, *rest, *new)
    for each, _ in successors:
        assert not each.is_refused(running)
    end = old[0].certificate.not_valid_after_utc + timedelta(seconds=1)
    eventually(lambda: datetime.now(timezone.utc) > end)
    for each, _ in successors:
        assert not each.is_refused(running)
    running.expect_nothing_more()
