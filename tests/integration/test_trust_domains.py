"""SPIFFE trust domains that are tied to their CAs, on the wire of both engines."""

from __future__ import annotations

import sys
import threading
from datetime import datetime, timezone

import grpc
import pytest
from support.explaining import HELLO, ask
from support.recording_peers import recorded_peers
from support.reloading import (
    PATIENCE,
    Site,
    authority,
    channel,
    greet,
    open_channel,
    refusal,
    serving,
    text_of,
)
from support.trust_domain_clients import (
    CLIENTS,
    IDENTITIES,
    authorities,
    make_client,
    write_bundles,
)

from grpcsecure import PeerState
from grpcsecure.config.source import read_source
from grpcsecure.explain.loaded_config import load_for_explain
from grpcsecure.explain.query_subject import QuerySubject
from grpcsecure.tls.certificate import parse_certificate, parse_pem_certificates

#: A call is refused, or meets the sweep that closes such bridged connections.
REFUSED = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNAVAILABLE)

#: A listener for each engine and kind of mode: those that verify, and one that lets
#: every client in.
LISTENERS = {
    "grpc": {"engine": "grpc", "client_certificate": "require_and_verify"},
    "bridge": {"engine": "bridge", "client_certificate": "require_and_verify"},
    "optional": {"engine": "bridge", "client_certificate": "request_and_verify"},
    "lenient": {"engine": "bridge", "client_certificate": "request_but_dont_verify"},
}

RULES = {
    "hello": {"allow": ["anyone"], "methods": [HELLO]},
    "many": {"allow": ["corp", "corp-uri"], "methods": ["*/SayHelloManyTimes"]},
    "all": {"allow": ["verified"], "methods": ["*/SayHelloToAll"]},
    "no-other": {"deny": ["other"], "methods": ["*/Chat"]},
    "chat": {"allow": ["anyone"], "methods": ["*/Chat"]},
}


@pytest.fixture(name="cas", scope="module")
def _cas():
    """The CAs of both trust domains."""
    return authorities()


@pytest.fixture(name="clients", scope="module")
def _clients(cas):
    """The certificate of each client."""
    return {name: make_client(cas, one) for name, one in CLIENTS.items()}


def site_in(folder, cas, *, rules=RULES):
    """Return a site with all listeners, whose trust domains are tied to their CAs."""
    site = Site(folder, "bridge", servicer="support.recording_peers:PeerRecorder")
    domains = write_bundles(site, cas)
    pair = {key: site.tls[key] for key in ("certificate", "private_key")}
    site.config["listeners"] = {
        name: {
            "address": "127.0.0.1:0",
            "tls": {**pair, **tls, "client_ca": domains},
        }
        for name, tls in LISTENERS.items()
    }
    if rules:
        site.config["identities"] = IDENTITIES
        site.allow(**rules)
    site.write()
    return site


@pytest.fixture(name="world", scope="module")
def _world(tmp_path_factory, cas):
    """A running server with all listeners, and what `explain` loads of its config."""
    site = site_in(tmp_path_factory.mktemp("domains"), cas)
    path = [*sys.path]
    with serving(site) as running:
        loaded = load_for_explain(
            read_source(str(site.path)),
            profile=None,
            environ={},
            now=datetime.now(timezone.utc),
            with_services=True,
        )
        yield running, loaded
    sys.path[:] = path


def status(stub, method):
    """Return the name of the status of a call; the recorder has one method only.

    A call that meets the sweep, which closes the connections of refused clients about
    once a second, is made again on a new connection.
    """
    call = stub(method)
    for _ in range(9):
        try:
            for _ in call(b"", timeout=PATIENCE):
                break
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                continue
            code = error.code()
            return "OK" if code is grpc.StatusCode.UNIMPLEMENTED else code.name
        return "OK"
    return "UNAVAILABLE"


def expected(client, listener, method):
    """Return the status of a call, from the table of clients alone."""
    if not client.is_verified and listener != "lenient":
        return "UNAUTHENTICATED"
    claims_other = "spiffe://other.example/app" in client.uris
    allowed = {
        "SayHello": True,
        "SayHelloManyTimes": bool({"corp", "corp-uri"} & {*client.granted}),
        "SayHelloToAll": client.is_verified,
        "Chat": not claims_other,
    }[method.rpartition("/")[2]]
    if not allowed:
        return "PERMISSION_DENIED" if client.is_verified else "UNAUTHENTICATED"
    return "OK"


METHODS = [
    HELLO,
    *(f"/helloworld.Greeter/{m}" for m in ("SayHelloManyTimes", "SayHelloToAll")),
    "/helloworld.Greeter/Chat",
]


@pytest.mark.parametrize("listener", LISTENERS)
@pytest.mark.parametrize("name", CLIENTS)
def test_only_the_ca_of_its_trust_domain_vouches_for_an_id(
    world, clients, name, listener
):
    """Calls, the peer of servicers and `explain --cert` agree with the table."""
    running, loaded = world
    client, own = CLIENTS[name], clients[name]
    leaf, *chain = parse_pem_certificates(own.certificate_pem)
    subject = QuerySubject(
        file="client.pem", certificate=parse_certificate(leaf), chain=tuple(chain)
    )
    address = running.server.addresses[listener]
    wire, explained, table = {}, {}, {}
    with open_channel(running.site, address, own) as connection:
        for method in METHODS:
            wire[method] = status(connection.unary_stream, method)
            (verdict,) = ask(loaded, subject, method, listener=listener).verdicts
            explained[method] = verdict.status
            table[method] = expected(client, listener, method)
    assert wire == table
    assert explained == table
    assert (client.reason or "verified") in verdict.caller.words
    peers = recorded_peers("")
    if table[HELLO] == "OK":
        [peer] = peers
        state = PeerState.VERIFIED if client.is_verified else PeerState.CLAIMED
        assert (peer.state, peer.unverified_reason) == (state, client.reason)
        assert peer.identities == {*client.granted}
    else:
        assert peers == []


@pytest.mark.parametrize("listener", LISTENERS)
def test_modes_that_verify_refuse_it_without_rules_too(
    tmp_path, cas, clients, listener
):
    """Without `authorization` a mode that verifies still refuses the calls."""
    site = site_in(tmp_path, cas, rules=None)
    with serving(site) as running:
        address = running.server.addresses[listener]
        refused = (None,) if listener == "lenient" else REFUSED
        with channel(site, address, clients["corp by the partner"]) as greeter:
            assert refusal(greeter) in refused
        with channel(site, address, clients["corp"]) as greeter:
            assert refusal(greeter) is None
    recorded_peers("Ada")


@pytest.mark.parametrize("engine", ["grpc", "bridge"])
def test_reload_ties_and_unties_trust_domains(tmp_path, cas, clients, engine):
    """A new mapping decides the next call of a connection that is open already."""
    site = Site(tmp_path, engine, client_certificate="require_and_verify")
    domains = write_bundles(site, cas)
    site.put("ca.pem", text_of(cas["corp"], cas["partner"]))
    site.config["identities"] = IDENTITIES
    site.allow(hello={"allow": ["corp"], "methods": [HELLO]})
    site.write()
    own = clients["corp by the partner"]
    gone = threading.Event()
    with serving(site) as running:
        with channel(site, running.address, own, gone=gone) as greeter:
            greet(greeter)
            site.tls["client_ca"] = domains
            site.write()
            running.server.reload()
            changes = running.applied()["changed"]
            assert (
                changes == "public: trust domains (+ corp.example, + partner.example)"
            )
            assert refusal(greeter) in REFUSED
            if engine == "bridge":
                assert gone.wait(PATIENCE)
        with channel(site, running.address, clients["corp"]) as greeter:
            greet(greeter)
            site.put("corp.pem", text_of(cas["corp"], cas["partner"]))
            running.server.reload()
            changes = running.applied()["changed"]
            assert changes == "public: trust domains (~ corp.example)"
            greet(greeter)
        with channel(site, running.address, own) as greeter:
            greet(greeter)
            del site.tls["client_ca"]["corp.example"]
            site.write()
            running.server.reload()
            changes = running.applied()["changed"]
            assert changes == (
                "public: client CAs (- CN=corp), trust domains (- corp.example)"
            )
            assert refusal(greeter) in REFUSED


def test_connection_of_a_mode_that_does_not_verify_stays(tmp_path, cas, clients):
    """Such a client is let in as claimed, and its connection is not swept."""
    site = site_in(tmp_path, cas)
    gone = threading.Event()
    with serving(site) as running:
        address = running.server.addresses["lenient"]
        own = clients["corp by the partner"]
        other = running.server.addresses["bridge"]
        with channel(site, address, own, gone=gone) as greeter:
            greet(greeter)
            # The sweep that closes the second connection has seen the first one.
            swept = threading.Event()
            with channel(site, other, own, gone=swept) as second:
                assert refusal(second) in REFUSED
                assert swept.wait(PATIENCE)
            running.log.wait("connection.closed")
            greet(greeter)
        assert [line["listener"] for line in running.log.all("connection.closed")] == [
            "bridge"
        ]
    recorded_peers("Ada")


@pytest.mark.parametrize("engine", ["grpc", "bridge"])
def test_trust_domains_whose_cas_have_the_same_name(tmp_path, engine):
    """As SPIRE's do by default: CAs are told apart by their keys."""
    site = Site(tmp_path, engine, client_certificate="require_and_verify")
    cas = {name: authority("O=SPIRE") for name in ("corp", "partner")}
    site.tls["client_ca"] = write_bundles(site, cas)
    site.config["identities"] = IDENTITIES
    site.allow(hello={"allow": ["corp", "partner"], "methods": [HELLO]})
    site.write()
    outcomes = {}
    with serving(site) as running:
        for name in ("corp", "partner", "corp by the partner"):
            own = make_client(cas, CLIENTS[name])
            with channel(site, running.address, own) as greeter:
                outcomes[name] = refusal(greeter) in REFUSED
    assert outcomes == {"corp": False, "partner": False, "corp by the partner": True}


def test_connection_that_was_vouched_for_ends_with_its_identity(tmp_path, cas, clients):
    """In a mode that does not verify too, as if its CA had been removed."""
    site = Site(tmp_path, "bridge", client_certificate="request_but_dont_verify")
    domains = write_bundles(site, cas)
    site.put("ca.pem", text_of(cas["corp"], cas["partner"]))
    site.config["identities"] = IDENTITIES
    site.allow(hello={"allow": ["anyone"], "methods": [HELLO]})
    site.write()
    own, gone = clients["corp by the partner"], threading.Event()
    with serving(site) as running:
        with channel(site, running.address, own, gone=gone) as greeter:
            greet(greeter)
            site.tls["client_ca"] = domains
            site.write()
            running.server.reload()
            running.applied()
            assert gone.wait(PATIENCE)
        line = running.log.wait("connection.closed")
        assert line["reason"] == CLIENTS["corp by the partner"].reason
        with channel(site, running.address, own) as greeter:
            assert "claimed" in greet(greeter)
