"""Assessment of a peer's certificate by mode, clock and client CAs."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import NamedTuple

import pytest

from grpcsecure.model.modes import ClientCertificateMode as Mode
from grpcsecure.model.peer import ClaimedPeer, VerifiedPeer
from grpcsecure.server.rpc import peer_cache
from grpcsecure.server.rpc.peer_cache import native_connection
from grpcsecure.tls.assessment import PresentedCertificate, assess
from grpcsecure.tls.certificate import parse_certificate, parse_pem_certificates
from grpcsecure.tls.handshake_result import HandshakeResult

ADDRESS = "ipv4:127.0.0.1:51234"

EARLIEST = datetime.min.replace(tzinfo=timezone.utc)
LATEST = datetime.max.replace(tzinfo=timezone.utc)


@pytest.fixture(name="pem")
def _pem(certificates):
    """A client's certificate as `auth_context` has it."""
    return (certificates / "client.pem").read_bytes()


@pytest.fixture(name="client")
def _client(pem):
    """The same as values."""
    return parse_certificate(*parse_pem_certificates(pem))


class Verdict(NamedTuple):
    """A verdict on any chain, the same at all times by default."""

    reason: str | None = None
    code: int | None = None
    since: datetime = EARLIEST
    until: datetime = LATEST
    is_unvouched: bool = False


class Material:
    """Client CAs in force that give the same verdict on every chain."""

    def __init__(self, verdict=Verdict()):  # noqa: B008 - it cannot be changed
        self._verdict = verdict

    def verdict(self, leaf, chain, now):
        """Return the verdict."""
        return self._verdict


def at(moment, *, mode=Mode.REQUIRE_AND_VERIFY, verdict=Verdict(), **auth_context):  # noqa: B008 - it cannot be changed
    """Return the peer of a native connection at a moment."""
    values = {name: [value] for name, value in auth_context.items()}
    connection = native_connection(values, mode)
    if connection is None:
        return None
    assessment = assessed(connection.result, rechecks=Material(verdict), now=moment)
    assert assessment.since <= moment < assessment.until or assessment.reason
    return assessment.peer(listener="public", address=ADDRESS, identities=frozenset())


def assessed(result, *, rechecks, now):
    """Return the assessment of a handshake with a certificate."""
    presented = PresentedCertificate.read(result.certificate)
    return assess(result, presented, rechecks=rechecks, now=now)


def handshake(client, **verdict):
    """Return the result of a handshake of the client."""
    return HandshakeResult(listener="public", certificate=client.der, **verdict)


def test_certificate_within_its_dates_is_verified(pem, client):
    """The handshake checked the chain, and the dates hold now."""
    peer = at(client.not_before, x509_pem_cert=pem)
    assert peer == VerifiedPeer(listener="public", address=ADDRESS, certificate=client)
    assert isinstance(at(client.not_after, x509_pem_cert=pem), VerifiedPeer)


def test_expired_since_the_handshake_is_claimed(pem, client):
    """A connection, or a resumed session, does not outlive its certificate."""
    peer = at(client.not_after + timedelta(seconds=1), x509_pem_cert=pem)
    assert isinstance(peer, ClaimedPeer)
    assert (peer.unverified_reason, peer.unverified_code) == (
        "certificate has expired",
        10,
    )
    assert peer.certificate == client


def test_certificate_of_the_future_is_claimed(pem, client):
    """A clock that was set back does not keep a peer verified."""
    peer = at(client.not_before - timedelta(seconds=1), x509_pem_cert=pem)
    assert (peer.unverified_reason, peer.unverified_code) == (
        "certificate is not yet valid",
        9,
    )


def test_chain_comes_along(pem, client, certificates):
    """The certificates that the peer sent after its own are kept, as DER."""
    more = (certificates / "ca.pem").read_bytes()
    peer = at(client.not_before, x509_pem_cert=pem, x509_pem_cert_chain=more)
    assert peer.chain == parse_pem_certificates(more)


def test_long_chains_are_kept_apart(pem, certificates):
    """The certificates that a peer sends besides its own fill little memory."""
    more = (certificates / "ca.pem").read_bytes() * 100
    before = peer_cache._cached_native.cache_info().currsize
    values = {"x509_pem_cert": [pem], "x509_pem_cert_chain": [more]}
    connection = native_connection(values, Mode.REQUIRE_AND_VERIFY)
    assert len(connection.result.chain) == 100
    assert native_connection(values, Mode.REQUIRE_AND_VERIFY) is connection
    assert peer_cache._cached_native.cache_info().currsize == before
    assert peer_cache._cached_native_of_long.cache_info().maxsize * len(more) < 32 << 20


def test_no_certificate_is_anonymous(client):
    """A peer without a certificate is anonymous in every mode."""
    for mode in Mode:
        assert at(client.not_before, mode=mode) is None


def test_mode_that_does_not_ask_has_anonymous_peers_only(pem, client):
    """A certificate that was not asked for is not believed."""
    assert at(client.not_before, mode=Mode.DONT_REQUEST, x509_pem_cert=pem) is None


@pytest.mark.parametrize("mode", [m for m in Mode if m.asks and not m.verifies])
def test_mode_that_does_not_verify_claims_only(pem, client, mode):
    """A name that was not checked is never a verified one."""
    peer = at(client.not_before, mode=mode, x509_pem_cert=pem)
    assert isinstance(peer, ClaimedPeer)
    assert mode.value in peer.unverified_reason


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"no PEM",
        b"-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n",
    ],
)
@pytest.mark.parametrize("mode", [Mode.REQUIRE_AND_VERIFY, Mode.REQUEST_AND_VERIFY])
def test_unreadable_certificate_is_claimed_without_a_name(damaged, client, mode):
    """An unreadable certificate is not verified, not anonymous, and never in force."""
    peer = at(client.not_before, mode=mode, x509_pem_cert=damaged)
    assert isinstance(peer, ClaimedPeer)
    assert peer.unverified_reason
    assert peer.certificate.subject == ""
    assert peer.certificate.why_not_in_force(client.not_before) is not None


def test_material_of_now_has_the_last_word(pem, client):
    """A verified peer is only claimed once its CA is removed."""
    removed = Verdict("unable to get local issuer certificate", 20)
    peer = at(client.not_before, x509_pem_cert=pem, verdict=removed)
    assert isinstance(peer, ClaimedPeer)
    assert (peer.unverified_reason, peer.unverified_code) == removed[:2]


def test_without_client_ca_no_peer_is_verified(pem, client):
    """A listener that lost its client CA verifies no peer."""
    values = {"x509_pem_cert": [pem]}
    connection = native_connection(values, Mode.REQUIRE_AND_VERIFY)
    assessment = assessed(connection.result, rechecks=None, now=client.not_before)
    assert assessment.reason == "no client CA is in force"
    assert assessment.in_force


def test_handshake_that_did_not_verify_is_final(client):
    """Material that would verify a certificate today does not mend its handshake."""
    result = handshake(
        client, unverified_reason="self-signed certificate", unverified_code=18
    )
    assessment = assessed(result, rechecks=Material(), now=client.not_before)
    assert (assessment.reason, assessment.code) == ("self-signed certificate", 18)


@pytest.mark.parametrize("reason", [None, "", "self-signed certificate"])
def test_handshake_without_a_verdict_is_not_verified(client, reason):
    """Only a verdict makes a peer verified, with or without a reason beside it."""
    result = handshake(client, unverified_reason=reason)
    assessment = assessed(result, rechecks=Material(), now=client.not_before)
    assert assessment.reason


def test_assessment_holds_until_the_next_date(client):
    """An assessment expires before any of its dates can change it."""
    result = handshake(client, verified=True)
    soon = client.not_after - timedelta(days=1)
    listed = Verdict(since=client.not_before + timedelta(seconds=1), until=soon)
    assessment = assessed(
        result,
        rechecks=Material(listed),
        now=client.not_before + timedelta(seconds=2),
    )
    assert (assessment.since, assessment.until) == (listed.since, soon)
    alone = assessed(result, rechecks=Material(), now=client.not_after)
    assert alone.reason is None
    assert alone.since == client.not_before
    assert client.not_after < alone.until <= client.not_after + timedelta(seconds=1)


def test_same_text_is_the_same_object(pem):
    """The connection of the same certificates is found again by their text."""
    values = {"x509_pem_cert": [bytes(bytearray(pem))]}
    again = {"x509_pem_cert": [bytes(bytearray(pem))]}
    mode = Mode.REQUIRE_AND_VERIFY
    assert native_connection(values, mode) is native_connection(again, mode)
