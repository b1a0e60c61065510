"""Tests of simulated handshakes, with the clients of the table of modes."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from support.matrix_certs import make_matrix_certificates
from support.memory_handshakes import ders_of, material_of

from grpcsecure.devcerts import Profile, Validity, issue
from grpcsecure.model.listener import Engine, Listener, TcpAddress, TlsSettings
from grpcsecure.model.matrix import CLIENTS
from grpcsecure.model.modes import ClientCertificateMode
from grpcsecure.tls.handshake_result import NOT_CHECKED
from grpcsecure.tls.simulated_handshake import simulate_handshake

NOW = datetime.now(timezone.utc)

#: The clients with a certificate, except the one with a wrong key, which a simulation
#: without the key cannot detect.
PRESENTING = [kind for kind in CLIENTS if kind.name not in {"none", "wrong-key"}]


@pytest.fixture(name="certificates", scope="module")
def _certificates():
    return make_matrix_certificates()


def listener(mode, engine=Engine.AUTO):
    """Return a listener; its files are not read."""
    tls = TlsSettings(
        certificate=Path("/server.pem"),
        private_key=Path("/server.key"),
        client_certificate=mode,
        engine=engine,
    )
    return Listener(name="public", address=TcpAddress("127.0.0.1", 0), tls=tls)


def material(certificates, *, client_ca=True):
    """Return the key material of the matrix."""
    made = material_of(certificates.server)
    return replace(made, client_ca=certificates.client_ca) if client_ca else made


def simulate(one, listener_, material_):
    """Return the simulated handshake of a credential."""
    leaf, chain = ders_of(one)
    return simulate_handshake(listener_, material_, leaf, chain, now=NOW)


@pytest.mark.parametrize("kind", PRESENTING, ids=lambda kind: kind.name)
@pytest.mark.parametrize("mode", ClientCertificateMode, ids=lambda mode: mode.value)
def test_it_is_as_the_table_of_modes_says(certificates, mode, kind):
    """The outcome (refused, verified or claimed) is that of the table of modes."""
    simulated = simulate(
        certificates.clients[kind.name], listener(mode), material(certificates)
    )
    assert (simulated.refusal is None) is kind.is_served_by(mode)
    if simulated.refusal is not None:
        assert simulated.refusal == kind.reason
    elif mode.asks:
        assert simulated.result.unverified_reason == kind.reason
    else:
        assert simulated.result is None


@pytest.mark.parametrize("kind", PRESENTING, ids=lambda kind: kind.name)
def test_without_a_client_ca_no_certificate_is_verified(certificates, kind):
    """Certificates are accepted unchecked, except those refused in every mode."""
    mode = ClientCertificateMode.REQUIRE_BUT_DONT_VERIFY
    simulated = simulate(
        certificates.clients[kind.name],
        listener(mode),
        material(certificates, client_ca=False),
    )
    if kind.is_served_by(mode):
        assert simulated.result.unverified_reason == NOT_CHECKED
    else:
        assert simulated.refusal == kind.reason


def test_plaintext_sees_no_certificate(certificates):
    """There is no handshake: every caller is anonymous."""
    plain = Listener(name="plain", address=TcpAddress("127.0.0.1", 0), tls=None)
    simulated = simulate(certificates.clients["trusted"], plain, None)
    assert (simulated.refusal, simulated.result) == (None, None)


def test_the_bridge_refuses_weak_keys_and_grpc_does_not(certificates):
    """The simulation includes OpenSSL's security level, which refuses short keys."""
    profile = Profile(subject="weak", validity=Validity(NOW, NOW + timedelta(days=1)))
    weak = issue(
        profile, issuer=certificates.ca, key=rsa.generate_private_key(65537, 1024)
    )
    mode = ClientCertificateMode.REQUIRE_AND_VERIFY
    given = material(certificates)
    by_bridge = simulate(weak, listener(mode, Engine.BRIDGE), given)
    assert by_bridge.refusal == "EE certificate key too weak"
    assert simulate(weak, listener(mode, Engine.GRPC), given).refusal is None
