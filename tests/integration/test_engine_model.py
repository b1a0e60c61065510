"""The model of the engines, held to handshakes and calls with a real server.

A grpcio or cryptography that takes other certificates than the model says fails here.
"""

from __future__ import annotations

import pytest
from support.engine_comparison import BOTH, differences, needs_measured, predicted
from support.engine_corpus import CORPUS, documented
from support.engine_wire import LISTENERS, VERSIONS, Credential, EngineServer
from support.forged_certificates import (
    ML_DSA,
    issued,
    key_pem,
    new_key,
    pss_info,
    pss_key_pem,
    root,
)

from grpcsecure.tls.engine_model import CHAINS, CLIENT_KEYS, TICKET_LIMIT

pytestmark = needs_measured

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


def test_documented_chains():
    """Each row of the table in the docs is what a handshake and a call show."""
    cases = documented()
    anchors = dict.fromkeys(
        each for row in cases.values() for case in row for each in case.anchors
    )
    with EngineServer([*anchors], BOTH) as server:
        shown = {
            presents: tuple(
                {server.call(pair, case.client) == "verified" for case in row}
                for pair in BOTH
            )
            for presents, row in cases.items()
        }
    assert shown == {row.presents: ({row.grpc}, {row.bridge}) for row in CHAINS}


def test_client_key_of_type_rsa_pss(server):
    """A key that may sign with RSA-PSS alone, in each mode and TLS version."""
    key = new_key("RSA 2048")
    leaf = issued(CA, key=key, info=pss_info(key)).der()
    assert compared(server, Credential(leaf, (), pss_key_pem(key))) == {}


# Between one and two tickets per buffer it may depend on the moment.
@pytest.mark.parametrize("size", [TICKET_LIMIT - 99, 60_000, 66_000, 102_388, 102_500])
def test_long_chains(server, size):
    """The bytes of leaf and chain that each engine serves, by TLS version."""
    leaf, padding = issued(CA).der(), size - 800
    for _ in range(3):
        extra = issued(CA, "x" * padding).der()
        padding += size - len(leaf) - len(extra)
    credential = Credential(leaf, (extra,), key_pem(new_key("P-256", 2)))
    assert compared(server, credential) == {}
