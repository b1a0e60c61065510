"""What a mode and the clock make of a peer's certificate."""

from __future__ import annotations

from datetime import timedelta

import pytest

from grpcsecure.model.modes import ClientCertificateMode as Mode
from grpcsecure.model.peer import AnonymousPeer, ClaimedPeer, VerifiedPeer
from grpcsecure.tls.peer import parse_certificate, parse_pem_certificates
from grpcsecure.tls.verify import judge

ADDRESS = "ipv4:127.0.0.1:51234"


@pytest.fixture(name="pem")
def _pem(certificates):
    """A client's certificate as `auth_context` has it."""
    return (certificates / "client.pem").read_bytes()


@pytest.fixture(name="client")
def _client(pem):
    """The same as values."""
    return parse_certificate(*parse_pem_certificates(pem))


def at(moment, *, mode=Mode.REQUIRE_AND_VERIFY, **auth_context):
    """Judge at a moment."""
    values = {name: [value] for name, value in auth_context.items()}
    return judge(values, mode=mode, listener="public", address=ADDRESS, now=moment)


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
    """What the peer sent after its certificate is there, as DER."""
    more = (certificates / "ca.pem").read_bytes()
    peer = at(client.not_before, x509_pem_cert=pem, x509_pem_cert_chain=more)
    assert peer.chain == parse_pem_certificates(more)


def test_long_chain_is_not_kept(pem, client, certificates):
    """What a peer sends besides its certificate cannot fill the memory."""
    from grpcsecure.tls import verify

    more = (certificates / "ca.pem").read_bytes() * 100
    before = verify._cached_parse.cache_info().currsize
    peer = at(client.not_before, x509_pem_cert=pem, x509_pem_cert_chain=more)
    assert len(peer.chain) == 100
    assert verify._cached_parse.cache_info().currsize == before


def test_no_certificate_is_anonymous(client):
    """Nobody is verified without one, whatever the mode."""
    for mode in Mode:
        assert isinstance(at(client.not_before, mode=mode), AnonymousPeer)


def test_mode_that_does_not_ask_knows_nobody(pem, client):
    """A certificate that nobody asked for is not believed."""
    peer = at(client.not_before, mode=Mode.DONT_REQUEST, x509_pem_cert=pem)
    assert isinstance(peer, AnonymousPeer)


@pytest.mark.parametrize("mode", [m for m in Mode if m.asks and not m.verifies])
def test_mode_that_does_not_verify_claims_only(pem, client, mode):
    """A name that nobody checked is never a verified one."""
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
    """What we cannot read is not verified, not anonymous, and in force at no time."""
    peer = at(client.not_before, mode=mode, x509_pem_cert=damaged)
    assert isinstance(peer, ClaimedPeer)
    assert peer.unverified_reason
    assert peer.certificate.subject == ""
    assert peer.certificate.why_not_in_force(client.not_before) is not None
