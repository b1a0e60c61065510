"""The model of the engines, held to handshakes and calls with a real server.

A grpcio or cryptography that takes other certificates than the model says fails here.
"""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from support.engine_wire import LISTENERS, VERSIONS, Credential, EngineServer
from support.forged_certificates import ML_DSA, issued, key_pem, new_key, root

from grpcsecure.tls.assessment import PresentedCertificate, assess
from grpcsecure.tls.engine_model import CLIENT_KEYS
from grpcsecure.tls.recheck import Rechecker
from grpcsecure.tls.simulated_handshake import simulate_handshake

pytestmark = pytest.mark.usefixtures("examples_importable")

CA = root("CA of keys")

#: Client keys by the names of the model's table, RSA by length; those of type RSA-PSS
#: are below.
KEYS = (
    *("RSA 1024", "RSA 2048", "RSA 4096"),
    *(
        kind
        for kind in CLIENT_KEYS
        if kind not in ("RSA", "RSA-PSS") and (kind in ML_DSA or "ML-DSA" not in kind)
    ),
)


@pytest.fixture(scope="module", name="server")
def _server():
    with EngineServer([CA.der()]) as server:
        yield server


def predicted(server, pair, credential, version):
    """Return the state that the model predicts for the peer of a call."""
    listener, now = server.listeners[pair], datetime.now(timezone.utc)
    simulated = simulate_handshake(
        listener,
        server.material,
        credential.leaf,
        credential.chain,
        now=now,
        version=version,
    )
    if simulated.refusal is not None:
        return "refused"
    if simulated.result is None:
        return "anonymous"
    assessment = assess(
        simulated.result,
        PresentedCertificate.read(credential.leaf),
        rechecks=Rechecker(server.material, listener.engine_in_use),
        now=now,
    )
    return "verified" if assessment.reason is None else "claimed"


def compared(server, credential):
    """Return the differences between model and wire, on each listener and version."""
    found = {
        (engine.value, mode.value, version.value): (
            predicted(server, (engine, mode), credential, version),
            server.call((engine, mode), credential, version),
        )
        for engine, mode in LISTENERS
        for version in VERSIONS
    }
    return {place: both for place, both in found.items() if both[0] != both[1]}


@pytest.mark.parametrize("kind", KEYS)
def test_client_keys(server, kind):
    """Each type of client key, in each mode and TLS version, on both engines."""
    key = new_key(kind)
    leaf = issued(CA, key=key).der()
    assert compared(server, Credential(leaf, (), key_pem(key))) == {}
