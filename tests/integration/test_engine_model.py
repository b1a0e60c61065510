"""The model of the engines, held to handshakes and calls with a real server.

A grpcio or cryptography that takes other certificates than the model says fails here.
"""

from __future__ import annotations

import pytest
from support.engine_comparison import differences, predicted
from support.engine_corpus import CORPUS
from support.engine_wire import LISTENERS, VERSIONS, Credential, EngineServer
from support.forged_certificates import ML_DSA, issued, key_pem, new_key, root

from grpcsecure.tls.engine_model import CLIENT_KEYS

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


def compared(server, credential):
    """Return the differences between model and wire, on each listener and version."""
    found = {
        (engine.value, mode.value, version.value): (
            predicted(
                server.listeners[engine, mode], server.material, credential, version
            ),
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


@pytest.mark.parametrize("kind", CORPUS)
def test_chains(kind):
    """Every chain of the corpus is served by each engine exactly as the model says."""
    assert [*differences(CORPUS[kind]())] == []
