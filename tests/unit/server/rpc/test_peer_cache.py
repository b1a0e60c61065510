"""The peer of a connection is resolved once per snapshot, and kept with it."""

from __future__ import annotations

import gc

import pytest
from support.bridge_certs import authority, certificate

from grpcsecure.server.rpc.peer_cache import Connection, PeerResolver
from grpcsecure.tls.handshake_result import HandshakeResult


@pytest.fixture(name="resolver")
def _resolver():
    """A resolver without client CAs and rules."""
    return PeerResolver("public", rechecks=None, policy=None)


@pytest.fixture(name="leaf", scope="module")
def _leaf():
    """A client's certificate."""
    return certificate("client", issuer=authority("ca")).der


@pytest.fixture(name="connect")
def _connect(leaf):
    """A function that returns a connection whose certificate was not verified."""

    def connect(certificate=leaf):
        return Connection(
            HandshakeResult(
                listener="public", certificate=certificate, unverified_reason="unknown"
            )
        )

    return connect


def test_every_connection_is_resolved_once(resolver, connect):
    """Also with many peers, where a bounded cache would resolve all of them again."""
    connections = [connect() for _ in range(2000)]
    first = [resolver.resolve(one) for one in connections]
    again = [resolver.resolve(one) for one in connections]
    assert all(one is other for one, other in zip(first, again, strict=True))


def test_answer_of_another_snapshot_does_not_count(resolver, connect):
    """Each generation resolves a connection again, also after a change and back."""
    connection = connect()
    other = PeerResolver("public", rechecks=None, policy=None)
    before = resolver.resolve(connection)
    assert other.resolve(connection) is not before
    assert resolver.resolve(connection) is not before


def test_connection_does_not_keep_its_resolver(connect):
    """The cached peer does not keep the resolver and rules of an old generation."""
    resolver = PeerResolver("public", rechecks=None, policy=None)
    connection = connect()
    resolver.resolve(connection)
    assert not [
        referrer
        for referrer in gc.get_referrers(resolver)
        if referrer is connection or isinstance(referrer, tuple)
    ]


def test_nothing_is_left_of_a_closed_connection(resolver, connect):
    """It is in no reference cycle, so it is freed at once."""
    gc.collect()
    gc.disable()
    try:
        resolver.resolve(connect())
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_certificate_of_a_connection_is_read_once(connect):
    """It is parsed at the first call; later calls reuse the result."""
    connection = connect(b"unreadable")
    first = connection.presented(b"unreadable")
    assert first is connection.presented(b"unreadable")
    assert not first.certificate.is_readable


def test_connection_without_a_certificate_is_anonymous(resolver, connect):
    """A connection without certificate is anonymous, on any engine and in any mode."""
    for connection in (None, connect(None)):
        assert resolver.resolve(connection).assessment is None
        assert resolver.resolve(connection).peer("unix:").certificate is None
