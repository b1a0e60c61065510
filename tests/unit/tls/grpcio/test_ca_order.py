"""Tests of the client CAs that gRPC gets of several with one name."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from grpcsecure.devcerts import Profile, Validity, issue
from grpcsecure.devcerts.credentials import CA_USAGE, new_key
from grpcsecure.tls.certificate import parse_certificate
from grpcsecure.tls.grpcio.ca_order import next_change, select_cas

NOW = datetime.now(timezone.utc).replace(microsecond=0)
DAY = timedelta(days=1)
KEY = new_key()


def ca(name, start, end):
    """Return a CA that is valid from one day until another, counted from today."""
    profile = Profile(
        subject=name,
        validity=Validity(NOW + start * DAY, NOW + end * DAY),
        purposes=(),
        usage=CA_USAGE,
        is_ca=True,
    )
    der = issue(profile, key=KEY).certificate.public_bytes(Encoding.DER)
    return parse_certificate(der)


OLD = ca("clients", -400, -1)
ENDING = ca("clients", -300, 10)
LASTING = ca("clients", -200, 50)
FUTURE = ca("clients", 5, 90)
OLD_IN_CAPITALS = ca("CLIENTS", -400, -1)
OTHER = ca("other", -400, -2)


@pytest.mark.parametrize(
    ("cas", "selected"),
    [
        ([OLD], [OLD]),
        ([OTHER, OLD], [OTHER, OLD]),
        ([OLD, LASTING], [LASTING]),
        ([LASTING, OLD], [LASTING]),
        ([OLD_IN_CAPITALS, LASTING], [LASTING]),
        ([ENDING, LASTING], [LASTING, ENDING]),
        ([FUTURE, OLD, ENDING, LASTING], [LASTING, ENDING]),
        ([OLD, FUTURE], [OLD, FUTURE]),
        ([OLD, OTHER, ENDING], [ENDING, OTHER]),
    ],
)
def test_those_in_force_remain_the_last_to_expire_first(cas, selected):
    """A CA leaves only where another one with its name is in force."""
    assert select_cas(cas, NOW) == tuple(selected)


@pytest.mark.parametrize("moment", [ENDING.not_after, FUTURE.not_before])
def test_selection_changes_at_each_date(moment):
    """Until the next date the same CAs remain, and others from then on."""
    cas = [ENDING, FUTURE, LASTING, OTHER]
    before = moment - timedelta(microseconds=1)
    assert next_change(cas, before) == moment
    assert select_cas(cas, before) != select_cas(cas, moment)


@pytest.mark.parametrize("cas", [[], [LASTING], [LASTING, OTHER], [OLD, OLD]])
def test_nothing_changes_without_another_of_the_name(cas):
    """Other CAs cost no second look, nor do those whose dates have passed."""
    assert next_change(cas, NOW).year == 9999
