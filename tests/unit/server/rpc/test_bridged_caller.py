"""Answers of a bridged connection to servicers, and what it keeps for them."""

from __future__ import annotations

import os
import weakref

import pytest
from cryptography import x509
from support.bridge_certs import authority, certificate

from grpcsecure.model.modes import ClientCertificateMode
from grpcsecure.server.rpc.bridged_caller import BridgedConnection, BridgedView
from grpcsecure.tls.bridge.parent.auth_context import auth_context
from grpcsecure.tls.bridge.parent.registry import Registry
from grpcsecure.tls.handshake_result import HandshakeResult
from grpcsecure.tls.pem import parse_pem

TEXTS = ("x509_pem_cert", "x509_pem_cert_chain")


@pytest.fixture(name="leaf", scope="module")
def _leaf():
    """A client's certificate with two names."""
    names = [x509.DNSName("ada.test"), x509.DNSName("b.test")]
    return certificate("client", issuer=authority("ca"), names=names).der


def caller(leaf, *, number=1, **more):
    """Return the caller on a connection."""
    facts = HandshakeResult(
        listener="public",
        address=f"ipv4:127.0.0.1:{number}",
        generation=1,
        certificate=leaf,
        tls_version="TLSv1.3",
        **more,
    )
    return BridgedConnection(f"unix-abstract:{number}", facts)


def test_properties_of_every_connection_are_composed_once(leaf):
    """Also with many connections, where a bounded cache would lose some of them."""
    callers = [caller(leaf, number=number) for number in range(1500)]
    first = [one.auth_context()["x509_pem_cert"][0] for one in callers]
    second = [one.auth_context()["x509_pem_cert"][0] for one in callers]
    assert all(one is other for one, other in zip(first, second, strict=True))


def test_nothing_is_left_of_a_closed_connection(leaf):
    """No cache keeps the certificates of a client that has disconnected."""

    class Watched(BridgedConnection):
        """A connection that takes weak references."""

    one = Watched("unix-abstract:1", caller(leaf, chain=(leaf,)).result)
    gone = weakref.ref(one)
    assert set(TEXTS) < set(one.auth_context())
    assert one.peer_identities() == [b"ada.test", b"b.test"]
    del one
    assert gone() is None


def test_pem_text_of_a_long_chain_is_not_cached(leaf):
    """It is encoded for each call, with the same text and order of properties."""
    chain = (leaf,) * (100 * 1024 // len(leaf))
    one = caller(leaf, chain=chain)
    first, second = one.auth_context(), one.auth_context()
    for name in TEXTS:
        assert first[name] == second[name]
        assert first[name][0] is not second[name][0]
    assert [block.der for block in parse_pem(first[TEXTS[1]][0])] == [*chain]
    assert [*first.items()] == [*auth_context(one.result).items()]
    short = caller(leaf, chain=(leaf,)).auth_context()
    assert [*first] == [*short]
    assert {name: first[name] for name in first if name not in TEXTS} == {
        name: short[name] for name in short if name not in TEXTS
    }


def test_results_are_copies(leaf):
    """A servicer that changes an answer changes nothing for the next one."""
    one = caller(leaf)
    one.auth_context()["x509_common_name"].append(b"admin")
    one.auth_context()["more"] = []
    one.peer_identities().append(b"admin")
    assert one.auth_context() == auth_context(one.result)
    assert one.peer_identities() == [b"ada.test", b"b.test"]
    assert one.peer_identity_key() == "x509_subject_alternative_name"
    anonymous = caller(None)
    assert anonymous.auth_context() == auth_context(anonymous.result)
    assert anonymous.peer_identities() is None
    assert anonymous.peer_identity_key() is None


class Running:
    """A call whose end grpcio does not report."""

    def add_callback(self, _callback):
        """Accept a callback that is never called."""
        return True


def test_calls_of_ended_connections_are_forgotten(leaf):
    """They keep no drain waiting, and nothing of them is left."""
    view = BridgedView("public", ClientCertificateMode.REQUIRE_AND_VERIFY, None)
    view.registry = Registry()
    ended, current = (caller(leaf, number=number) for number in range(2))
    for number, one in enumerate((ended, current)):
        assert view.registry.add(
            number, one.name, one, os.open(os.devnull, os.O_RDONLY)
        )
        view.begin(Running(), one)
    view.registry.remove(0)
    assert view.is_busy()
    assert view.running.on(ended.name) == 0
    view.registry.remove(1)
    assert not view.is_busy()
