"""What is remembered of peers: of each while it is there, and by one judge only."""

from __future__ import annotations

import gc

import pytest
from support.policies import certificate

from grpcsecure.server.rpc.bridged_caller import BridgedView
from grpcsecure.server.rpc.principals import Judge
from grpcsecure.tls.openssl.handshake_result import HandshakeResult
from grpcsecure.tls.verify import Presented


@pytest.fixture(name="judge")
def _judge():
    """Judges by no client CA and no rules."""
    return Judge("public", rechecks=None, policy=None)


def presented():
    """Return what nobody verified."""
    return Presented(certificate=certificate(), verified=False, problem="unknown")


def test_every_peer_is_remembered_however_many_there_are(judge):
    """A table with a bound would judge all of them anew at every look at them."""
    peers = [presented() for _ in range(5000)]
    first = [judge.judge(peer) for peer in peers]
    assert all(judge.judge(peer) is of for peer, of in zip(peers, first, strict=True))


def test_judgement_of_another_snapshot_does_not_count(judge):
    """What one generation found is found anew by the next, and back."""
    peer = presented()
    other = Judge("public", rechecks=None, policy=None)
    before = judge.judge(peer)
    assert other.judge(peer) is not before
    assert judge.judge(peer) is not before


def test_judgement_does_not_keep_its_judge():
    """Nor with it the rules of a generation that is gone."""
    judge = Judge("public", rechecks=None, policy=None)
    peer = presented()
    judge.judge(peer)
    assert not any(referrer is peer.memo.note for referrer in gc.get_referrers(judge))


def test_nothing_is_left_of_a_peer_that_is_gone(judge):
    """It goes without a collector of circles, which takes its time."""
    gc.collect()
    gc.disable()
    try:
        judge.judge(presented())
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_certificate_of_a_connection_is_read_once():
    """At its first call; at the others what was read is there."""
    facts = HandshakeResult(
        listener="public",
        address="ipv4:127.0.0.1:1",
        generation=1,
        certificate=b"unreadable",
        tls_version="TLSv1.3",
    )
    first = BridgedView.presented_by(facts)
    assert first is BridgedView.presented_by(facts)
    assert not first.certificate.is_readable
