"""The findings about client CAs agree with the checks of the engines."""

from __future__ import annotations

import pytest
from support.forged_certificates import (
    CA_USAGE,
    CLIENT,
    NOW,
    NULL,
    SERVER,
    basic,
    constraints,
    dns,
    extension,
    new_key,
    purposes,
    root,
    usage,
)

from grpcsecure.model.listener import Engine
from grpcsecure.tls.ca_support import ClientCa
from grpcsecure.tls.certificate import parse_certificate
from grpcsecure.tls.client_authorities import why_not_verifiable

CA = basic(), usage(CA_USAGE)
KINDS = (
    *("P-224", "P-256", "P-384", "P-521", "secp256k1", "brainpoolP256r1"),
    *("Ed25519", "Ed448", "DSA", "RSA 1024", "RSA 2048", "RSA 3072"),
)
UNKNOWN = extension("1.2.3.4", NULL, critical=True)
AUTHORITIES = {
    **{kind: {"key": new_key(kind)} for kind in KINDS},
    "for servers": {"extensions": (*CA, purposes(SERVER))},
    "for clients": {"extensions": (*CA, purposes(CLIENT))},
    "unknown critical": {"extensions": (*CA, UNKNOWN)},
    "no keyCertSign": {"extensions": (basic(), usage(0x80))},
    "path length 0": {"extensions": (basic(length=0), usage(CA_USAGE))},
    "constraint": {"extensions": (*CA, constraints((dns("a.test"),)))},
    "malformed purposes": {"extensions": (*CA, extension("2.5.29.37", NULL))},
    "malformed constraints": {
        "extensions": (*CA, extension("2.5.29.30", NULL, critical=True))
    },
}


@pytest.mark.parametrize("engine", [Engine.GRPC, Engine.BRIDGE], ids=lambda e: e.value)
@pytest.mark.parametrize("kind", AUTHORITIES)
def test_finding_is_the_verdict_of_the_engine(engine, kind):
    """A CA is usable exactly if the engine can verify a client by it."""
    der = root(**AUTHORITIES[kind]).der()
    expected = why_not_verifiable(engine, der, NOW)
    found = ClientCa(parse_certificate(der)).why_no_client(engine)
    assert (found is None) is (expected is None), (found, expected)
