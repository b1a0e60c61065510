"""Each mode with each type of client, on real connections: the table of modes."""

from __future__ import annotations

import ssl
from dataclasses import replace
from typing import NamedTuple

import pytest
from support.bridge import (
    BridgedServer,
    material,
    settings,
    tls_connect,
    tls_context,
    try_call,
)
from support.bridge_certs import (
    ANY_USAGE,
    CLIENT_AUTH,
    DAY,
    NO_SIGNATURE_USAGE,
    NOW,
    SERVER_AUTH,
    Pair,
    authority,
    certificate,
    forged_key,
    new_key,
)
from support.http2 import PREFACE

from grpcsecure.model.matrix import CLIENTS, ClientKind
from grpcsecure.model.modes import ClientCertificateMode

MODES = tuple(mode.value for mode in ClientCertificateMode)


class World(NamedTuple):
    """The CA, the clients of the table by name, and the server."""

    ca: Pair
    clients: dict[str, Pair | None]
    server: BridgedServer


def make_clients(ca, old_ca, anchor):
    """Return the clients of the table by the names of its rows."""
    unknown_ca = authority("unknown CA")
    middle = authority("intermediate", issuer=ca)
    no_ca = certificate("no CA", issuer=ca)

    def client(name, **arguments):
        arguments.setdefault("extended", CLIENT_AUTH)
        return certificate(name, key="client", **arguments)

    trusted = client("a", issuer=ca)
    return {
        "none": None,
        "trusted": trusted,
        "no-eku": client("b", issuer=ca, extended=None),
        "any-eku": client("c", issuer=ca, extended=ANY_USAGE),
        "server-eku": client("d", issuer=ca, extended=SERVER_AUTH),
        "expired": client("e", issuer=ca, start=NOW - 3 * DAY, end=NOW - DAY),
        "not-yet-valid": client("f", issuer=ca, start=NOW + DAY, end=NOW + 3 * DAY),
        "no-signature": client("g", issuer=ca, usage=NO_SIGNATURE_USAGE),
        "self-signed": client("h"),
        "pinned": client("n"),
        "other-ca": client("i", issuer=unknown_ca),
        "expired-ca": client("m", issuer=old_ca),
        "intermediate": client("j", issuer=middle, send=(middle.certificate,)),
        "no-chain": client("k", issuer=middle),
        "partial-chain": client("o", issuer=anchor),
        "issuer-no-ca": client("l", issuer=no_ca, send=(no_ca.certificate,)),
        "wrong-key": replace(
            trusted, key_text=forged_key(trusted.key, new_key("thief"))
        ),
    }


@pytest.fixture(scope="module")
def world(pair, ca):
    """One bridge with a listener for each mode."""
    old_ca = authority("old CA", start=NOW - 9 * DAY, end=NOW - DAY)
    anchor = authority("anchor", issuer=authority("absent root"))
    clients = make_clients(ca, old_ca, anchor)
    trusted = [ca, old_ca, anchor, clients["pinned"]]
    listeners = {
        mode: (settings(mode), material(pair, client_ca=trusted)) for mode in MODES
    }
    with BridgedServer(listeners) as server:
        yield World(ca, clients, server)


VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}


def is_served(port, context):
    """Return whether the server answers HTTP/2 with SETTINGS, and not with an alert."""
    try:
        with tls_connect(port, context) as connection:
            connection.sendall(PREFACE)
            return connection.recv(9)[3:4] == b"\x04"
    except (ssl.SSLError, ConnectionError):
        return False


class Case(NamedTuple):
    """A client and a mode, and the expected result."""

    row: ClientKind
    mode: str
    is_served: bool

    @property
    def refusal(self):
        """The reason in the log if it is refused."""
        if not self.row.depth:
            return self.row.reason
        return f"{self.row.reason} (certificate {self.row.depth} of the chain)"


CASES = [
    pytest.param(Case(row, mode.value, served), id=f"{row.name}-{mode.value}")
    for row in CLIENTS
    for mode, served in row.by_mode()
]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("case", CASES)
def test_mode_serves_or_refuses_a_client(world, tmp_path, case, version):
    """Each mode accepts and refuses exactly the clients of the table, with a reason."""
    context = tls_context(
        world.ca,
        world.clients[case.row.name],
        folder=tmp_path,
        version=VERSIONS[version],
    )
    assert is_served(world.server.port(case.mode), context) == case.is_served
    if not case.is_served:
        assert world.server.observer.refusal(listener=case.mode, reason=case.refusal)


#: The cases that grpcio's client can make: BoringSSL does not send the others.
GRPCIO_CASES = [
    case
    for case in CASES
    if case.values[0].row.name not in ("no-signature", "wrong-key")
]


@pytest.mark.parametrize("case", GRPCIO_CASES)
def test_call_arrives_with_the_result_of_its_handshake(world, case):
    """A grpcio client is accepted or refused; the server knows if it is verified."""
    world.server.seen.clear()
    error = try_call(
        world.server.target(case.mode), world.ca, world.clients[case.row.name]
    )
    assert (error is None) == case.is_served
    if not case.is_served:
        assert world.server.observer.refusal(listener=case.mode, reason=case.refusal)
        assert world.server.seen == []
        return
    [(_, result)] = world.server.seen
    presented = case.row.name != "none" and case.mode != "dont_request"
    assert result.listener == case.mode
    assert (result.certificate is not None) == presented
    assert result.verified == (presented and case.row.reason is None)
    if presented and case.row.reason is not None:
        assert result.unverified_reason == case.row.reason
        assert result.unverified_code
    else:
        assert result.unverified_reason is None
