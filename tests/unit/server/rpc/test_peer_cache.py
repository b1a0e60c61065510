"""Cached judgements of peers: one per connected peer, valid for one judge only."""

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
    """A judge without client CAs and rules."""
    return Judge("public", rechecks=None, policy=None)


def presented():
    """Return a presented certificate that is not verified."""
    return Presented(certificate=certificate(), verified=False, problem="unknown")


def test_judgement_of_every_peer_is_cached(judge):
    """Also with many peers, where a bounded cache would judge all of them again."""
    peers = [presented() for _ in range(5000)]
    first = [judge.judge(peer) for peer in peers]
    assert all(judge.judge(peer) is of for peer, of in zip(peers, first, strict=True))


def test_judgement_of_another_snapshot_does_not_count(judge):
    """Each generation judges a peer again, also when an older one comes back."""
    peer = presented()
    other = Judge("public", rechecks=None, policy=None)
    before = judge.judge(peer)
    assert other.judge(peer) is not before
    assert judge.judge(peer) is not before


def test_judgement_does_not_keep_its_judge():
    """A cached judgement does not keep the judge and rules of an old generation."""
    judge = Judge("public", rechecks=None, policy=None)
    peer = presented()
    judge.judge(peer)
    assert not any(referrer is peer.memo.note for referrer in gc.get_referrers(judge))


def test_nothing_is_left_of_a_disconnected_peer(judge):
    """Its judgement is in no reference cycle, so it is freed at once."""
    gc.collect()
    gc.disable()
    try:
        judge.judge(presented())
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_certificate_of_a_connection_is_read_once():
    """The first call parses it; the others use the cached result."""
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
