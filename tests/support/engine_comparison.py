"""Compares what the model of the engines says with handshakes and calls."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from random import Random
from typing import TYPE_CHECKING

import grpc
import pytest
from OpenSSL import crypto
from support.engine_wire import EngineServer
from support.random_certificates import random_case

from grpcsecure.errors import CertificateError
from grpcsecure.model.listener import Engine, TlsVersion
from grpcsecure.model.modes import ClientCertificateMode
from grpcsecure.tls.assessment import PresentedCertificate, assess
from grpcsecure.tls.boringssl import parsed_certificate as native
from grpcsecure.tls.certificate import parse_certificate
from grpcsecure.tls.der import DerError
from grpcsecure.tls.pem import render_pem
from grpcsecure.tls.recheck import Rechecker
from grpcsecure.tls.simulated_handshake import simulate_handshake

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from support.random_certificates import Case

__all__ = ["BOTH", "differences", "needs_measured", "predicted", "random_cases"]

#: Older releases accept a few more keys, and names under constraints.
needs_measured = pytest.mark.skipif(
    tuple(map(int, grpc.__version__.split(".")[:2])) < (1, 85),
    reason="the model is of grpcio 1.85",
)

#: A listener of each engine that refuses clients which it cannot verify.
BOTH = tuple(
    (engine, ClientCertificateMode.REQUIRE_AND_VERIFY)
    for engine in (Engine.GRPC, Engine.BRIDGE)
)


def predicted(listener, material, client, version=TlsVersion.TLS_1_3):
    """Return the state that the model predicts for the peer of a client's call."""
    now = datetime.now(timezone.utc)
    simulated = simulate_handshake(
        listener, material, client.leaf, client.chain, now=now, version=version
    )
    if simulated.refusal is not None:
        return "refused"
    if simulated.result is None:
        return "anonymous"
    assessment = assess(
        simulated.result,
        PresentedCertificate.read(client.leaf),
        rechecks=Rechecker(material, listener.engine_in_use),
        now=now,
    )
    return "verified" if assessment.reason is None else "claimed"


def differences(cases: Iterable[Case], pairs=BOTH) -> Iterator[str]:
    """Yield a description of each client that is not served as the model says.

    One server has the client CAs of all cases; the model is asked with those of the
    client's own case.
    """
    cases = [
        case
        for case in cases
        if can_present(case.client) and any(map(can_trust, case.anchors))
    ]
    # The order of CAs with one name counts only among few.
    twins = [case for case in cases if "twins" in case.words]
    for start in range(0, len(twins), _FEW):
        yield from _differences(twins[start : start + _FEW], pairs)
    yield from _differences([case for case in cases if case not in twins], pairs)


def _differences(cases, pairs):
    anchors = dict.fromkeys(each for case in cases for each in case.anchors)
    with EngineServer([each for each in anchors if can_trust(each)], pairs) as server:
        for case in cases:
            own = [each for each in case.anchors if can_trust(each)]
            material = replace(
                server.material, client_ca=render_pem("CERTIFICATE", own)
            )
            for pair, listener in server.listeners.items():
                found = server.call(pair, case.client)
                expected = predicted(listener, material, case.client)
                if found != expected:
                    yield f"{listener.name}: {found}, not {expected}: {case.words}"


def can_trust(der: bytes) -> bool:
    """Whether both engines, and the server itself, load a client CA."""
    try:
        native.parse_certificate(der)
        crypto.load_certificate(crypto.FILETYPE_ASN1, der)
        parse_certificate(der)
    except (DerError, crypto.Error, CertificateError):
        return False
    return True


def can_present(client) -> bool:
    """Whether OpenSSL, in the test's client, loads what it has to send."""
    try:
        for der in (client.leaf, *client.chain):
            crypto.load_certificate(crypto.FILETYPE_ASN1, der)
    except crypto.Error:
        return False
    return True


#: The most cases with two CAs of one name that share a server.
_FEW = 7


def random_cases(seed: str, size: int) -> list[Case]:
    """Return random cases that can share a server."""
    rng = Random(seed)
    return [random_case(rng, number) for number in range(size)]
