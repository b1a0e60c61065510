"""What a servicer asks of a bridged connection, and what is kept to answer it."""

from __future__ import annotations

import weakref

import pytest
from cryptography import x509
from support.bridge_certs import authority, certificate

from grpcsecure.server.rpc.bridged_caller import BridgedCaller
from grpcsecure.tls.bridge.parent.auth_context import auth_context
from grpcsecure.tls.memo import Memo
from grpcsecure.tls.openssl.handshake_result import HandshakeResult
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
    return BridgedCaller(f"unix-abstract:{number}", facts)


def test_properties_of_every_connection_are_composed_once(leaf):
    """A table with a bound would compose them anew where connections are many."""
    callers = [caller(leaf, number=number) for number in range(1500)]
    first = [one.auth_context()["x509_pem_cert"][0] for one in callers]
    second = [one.auth_context()["x509_pem_cert"][0] for one in callers]
    assert all(one is other for one, other in zip(first, second, strict=True))


def test_nothing_is_left_of_a_connection_that_is_gone(leaf):
    """No table keeps what a client sent that has left."""

    class Watched(Memo):
        """One that can be referred to without being kept."""

    one = caller(leaf, chain=(leaf,), memo=Watched())
    gone = weakref.ref(one.facts.memo)
    assert set(TEXTS) < set(one.auth_context())
    assert one.peer_identities() == [b"ada.test", b"b.test"]
    del one
    assert gone() is None


def test_text_of_a_long_chain_is_not_kept_beside_it(leaf):
    """It says the same at each call, in the same order, and is made for that call."""
    chain = (leaf,) * (100 * 1024 // len(leaf))
    one = caller(leaf, chain=chain)
    first, second = one.auth_context(), one.auth_context()
    for name in TEXTS:
        assert first[name] == second[name]
        assert first[name][0] is not second[name][0]
    assert [block.der for block in parse_pem(first[TEXTS[1]][0])] == [*chain]
    assert [*first.items()] == [*auth_context(one.facts).items()]
    short = caller(leaf, chain=(leaf,)).auth_context()
    assert [*first] == [*short]
    assert {name: first[name] for name in first if name not in TEXTS} == {
        name: short[name] for name in short if name not in TEXTS
    }


def test_answers_are_the_callers_own(leaf):
    """What a servicer does to them changes nothing for the next one that asks."""
    one = caller(leaf)
    one.auth_context()["x509_common_name"].append(b"admin")
    one.auth_context()["more"] = []
    one.peer_identities().append(b"admin")
    assert one.auth_context() == auth_context(one.facts)
    assert one.peer_identities() == [b"ada.test", b"b.test"]
    assert one.peer_identity_key() == "x509_subject_alternative_name"
    nobody = caller(None)
    assert nobody.auth_context() == auth_context(nobody.facts)
    assert nobody.peer_identities() is None
    assert nobody.peer_identity_key() is None
