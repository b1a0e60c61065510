"""Tests of the CAs that can verify no client on an engine."""

from __future__ import annotations

import pytest
from support.forged_certificates import (
    CA_USAGE,
    NOW,
    NULL,
    SERVER,
    basic,
    constraints,
    date,
    dns,
    extension,
    new_key,
    purposes,
    root,
    usage,
)

from grpcsecure.model.listener import Engine
from grpcsecure.tls.client_authorities import why_not_verifiable

CA = basic(), usage(CA_USAGE)
KEY = "unable to decode issuer public key"
WEAK = "CA certificate key too weak"
BROKEN = "BoringSSL cannot parse it, and gRPC ignores it and every CA after it"
PURPOSE = "unsupported certificate purpose"
CRITICAL = "unhandled critical extension"
EXPIRED = "certificate has expired"
EARLY = "certificate is not yet valid"
NO_ISSUER = "unable to get local issuer certificate"
NO_CA = "invalid CA certificate"

#: A CA, and why it verifies no client: on engine `grpc`, and on the bridge.
AUTHORITIES = {
    **{
        kind: ({"key": new_key(kind)}, None, None)
        for kind in ("P-224", "P-256", "P-384", "P-521", "RSA 2048", "Ed25519")
    },
    **{
        kind: ({"key": new_key(kind)}, KEY, None)
        for kind in ("secp256k1", "brainpoolP256r1", "Ed448", "DSA")
    },
    "RSA 1024": ({"key": new_key("RSA 1024")}, None, WEAK),
    "purpose": ({"extensions": (*CA, purposes(SERVER))}, None, PURPOSE),
    "critical": (
        {"extensions": (*CA, extension("1.2.3.4", NULL, critical=True))},
        None,
        CRITICAL,
    ),
    "no keyCertSign": ({"extensions": (basic(), usage(0x80))}, NO_ISSUER, NO_CA),
    "expired": ({"not_after": date(-0.5)}, EXPIRED, EXPIRED),
    "not yet valid": ({"not_before": date(1)}, EARLY, EARLY),
    "version 1": ({"version": 1, "extensions": ()}, None, None),
    "path length 0": ({"extensions": (basic(length=0), usage(CA_USAGE))}, None, None),
    "constraint": ({"extensions": (*CA, constraints((dns("a.test"),)))}, None, None),
    "version 4": ({"version": 4}, BROKEN, None),
}


@pytest.mark.parametrize("name", AUTHORITIES)
def test_each_engine_says_why(name):
    """None for a CA that can verify clients; otherwise the engine's first error."""
    changes, grpc, bridge = AUTHORITIES[name]
    der = root(**changes).der()
    assert why_not_verifiable(Engine.GRPC, der, NOW) == grpc
    assert why_not_verifiable(Engine.BRIDGE, der, NOW) == bridge


def test_what_is_no_certificate_does_not_load():
    """Bytes that are no certificate verify no client."""
    for engine in (Engine.GRPC, Engine.BRIDGE):
        assert why_not_verifiable(engine, b"0\x03\x02\x01\x01", NOW) is not None
