"""What each mode makes of each kind of client: the table of modes, on the wire."""

from __future__ import annotations

import ssl
from typing import NamedTuple

import pytest
from cryptography import x509
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

from grpcsecure.tls.bridge.facts import RefusalKind

MODES = (
    "dont_request",
    "request_but_dont_verify",
    "request_and_verify",
    "require_but_dont_verify",
    "require_and_verify",
)

#: Client, then for each mode: accepted (A) or refused (R), then why it is refused, or
#: why it is not verified where it is accepted; OpenSSL's words.
TABLE = (
    ("no certificate", "AAARR", "no client certificate"),
    ("trusted", "AAAAA", None),
    ("no extended key usage", "AAAAA", None),
    ("any usage", "AARAR", "unsupported certificate purpose"),
    ("server usage", "AARAR", "unsupported certificate purpose"),
    ("expired", "AARAR", "certificate has expired"),
    ("not yet valid", "AARAR", "certificate is not yet valid"),
    ("may not sign", "ARRRR", "key usage bit incorrect"),
    ("self-signed", "AARAR", "self-signed certificate"),
    ("unknown CA", "AARAR", "unable to get local issuer certificate"),
    ("chain sent", "AAAAA", None),
    ("chain not sent", "AARAR", "unable to get local issuer certificate"),
    ("issuer is no CA", "AARAR", "invalid CA certificate (certificate 1 of the chain)"),
    ("expired CA", "AARAR", "certificate has expired (certificate 1 of the chain)"),
    ("pinned", "AAAAA", None),
)


class World(NamedTuple):
    """The CA of everybody, the clients of the table by name, and the server."""

    ca: Pair
    clients: dict[str, Pair | None]
    server: BridgedServer


def make_clients(ca, old_ca):
    """Return the clients of the table, by name."""
    stranger = authority("stranger CA")
    middle = authority("intermediate", issuer=ca)
    no_ca = certificate("no CA", issuer=ca)

    def client(name, **arguments):
        arguments.setdefault("extended", CLIENT_AUTH)
        return certificate(name, key="client", **arguments)

    return {
        "no certificate": None,
        "trusted": client("a", issuer=ca),
        "no extended key usage": client("b", issuer=ca, extended=None),
        "any usage": client("c", issuer=ca, extended=ANY_USAGE),
        "server usage": client("d", issuer=ca, extended=SERVER_AUTH),
        "expired": client("e", issuer=ca, start=NOW - 3 * DAY, end=NOW - DAY),
        "not yet valid": client("f", issuer=ca, start=NOW + DAY, end=NOW + 3 * DAY),
        "may not sign": client("g", issuer=ca, usage=NO_SIGNATURE_USAGE),
        "self-signed": client("h"),
        "unknown CA": client("i", issuer=stranger),
        "chain sent": client("j", issuer=middle, send=(middle.certificate,)),
        "chain not sent": client("k", issuer=middle),
        "issuer is no CA": client("l", issuer=no_ca, send=(no_ca.certificate,)),
        "expired CA": client("m", issuer=old_ca),
        "pinned": client("n"),
    }


@pytest.fixture(scope="module")
def world():
    """One bridge with a listener for each mode."""
    ca = authority("test CA")
    old_ca = authority("old CA", start=NOW - 9 * DAY, end=NOW - DAY)
    clients = make_clients(ca, old_ca)
    pair = certificate("localhost", issuer=ca, names=[x509.DNSName("localhost")])
    trusted = [ca, old_ca, clients["pinned"]]
    listeners = {
        mode: (settings(mode), material(pair, client_ca=trusted)) for mode in MODES
    }
    with BridgedServer(listeners) as server:
        yield World(ca, clients, server)


VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])


def is_served(port, context):
    """Say whether HTTP/2 gets an answer through TLS (SETTINGS), or an alert does."""
    try:
        with tls_connect(port, context) as connection:
            connection.sendall(PREFACE)
            return connection.recv(9)[3:4] == b"\x04"
    except (ssl.SSLError, ConnectionError):
        return False


class Case(NamedTuple):
    """A client at a mode, and what is to come of it."""

    client: str
    mode: str
    is_served: bool
    #: Why it is refused, or why it is not verified.
    why: str | None


CASES = [
    pytest.param(Case(client, mode, outcome == "A", why), id=f"{client}-{mode}")
    for (client, outcomes, why) in TABLE
    for (mode, outcome) in zip(MODES, outcomes, strict=True)
]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("case", CASES)
def test_mode_serves_or_refuses_a_client(world, tmp_path, case, version):
    """Each mode accepts and refuses exactly what the table says, and says why."""
    context = tls_context(
        world.ca,
        world.clients[case.client],
        folder=tmp_path,
        version=VERSIONS[version],
    )
    assert is_served(world.server.port(case.mode), context) == case.is_served
    if not case.is_served:
        assert world.server.observer.refusal(listener=case.mode, reason=case.why)


@pytest.mark.parametrize("case", CASES)
def test_call_arrives_with_its_verdict(world, case):
    """A grpcio client gets through or not, and the server knows how far to trust it."""
    if case.client == "may not sign":
        pytest.skip("BoringSSL, which grpcio's client has too, does not send this one")
    world.server.seen.clear()
    error = try_call(
        world.server.target(case.mode), world.ca, world.clients[case.client]
    )
    assert (error is None) == case.is_served
    if not case.is_served:
        assert world.server.observer.refusal(listener=case.mode, reason=case.why)
        assert world.server.seen == []
        return
    [(_, facts)] = world.server.seen
    presented = case.client != "no certificate" and case.mode != "dont_request"
    assert facts.listener == case.mode
    assert (facts.certificate is not None) == presented
    assert facts.verified == (presented and case.why is None)
    if presented and case.why is not None:
        assert facts.unverified_reason == case.why.partition(" (")[0]
        assert facts.unverified_code
    else:
        assert facts.unverified_reason is None


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("mode", MODES)
def test_possession_of_the_key_is_proven_wherever_a_certificate_counts(
    world, tmp_path, mode, version
):
    """A certificate whose key the client does not have is refused in every mode."""
    thief = Pair(
        certificate=world.clients["trusted"].certificate,
        key=world.clients["trusted"].key,
        key_text=forged_key(world.clients["trusted"].key, new_key("thief")),
    )
    context = tls_context(world.ca, thief, folder=tmp_path, version=VERSIONS[version])
    served = is_served(world.server.port(mode), context)
    assert served == (mode == "dont_request")
    if not served:
        refusal = world.server.observer.refusal(listener=mode, reason="bad signature")
        assert refusal.kind is RefusalKind.BAD_CERTIFICATE
