"""Tests of `explain` where SPIFFE trust domains have CAs of their own."""

from __future__ import annotations

import json

import pytest
from support.certificates import make_certificates
from support.explaining import CONFIG, ask, caller
from support.explaining import load as load_text

from grpcsecure.explain.calls import Basis
from grpcsecure.explain.query_subject import QuerySubject
from grpcsecure.explain.render.explain_json import render_call_json
from grpcsecure.tls.certificate import parse_certificate, parse_pem_certificates

OWN, PARTNER = "spiffe://grpcsecure.test/client", "spiffe://partner.test/client"
TEXT = (
    CONFIG.replace(
        "client_ca: certs/ca.pem",
        "client_ca: {grpcsecure.test: certs/ca.pem, partner.test: partner/ca.pem}",
    )
    + f"""\
  lenient: {{address: '127.0.0.1:0', tls: {{certificate: certs/server.pem,
    private_key: certs/server.key, client_certificate: request_but_dont_verify,
    client_ca: {{grpcsecure.test: certs/ca.pem}}}}}}
identities:
  own: {{spiffe: "{OWN}"}}
  partner: {{spiffe: "{PARTNER}"}}
authorization:
  rules:
    all: {{allow: [own, partner], methods: ["*"]}}
"""
)


@pytest.fixture(name="folder", scope="module")
def _folder(tmp_path_factory):
    """A directory with `certs/` and `partner/`, of two CAs."""
    folder = tmp_path_factory.mktemp("explain")
    for name, clients in (("certs", (OWN, PARTNER)), ("partner", (OWN,))):
        make_certificates(
            folder / name, clients=tuple(f"spiffe:{uri}" for uri in clients)
        )
    return folder


@pytest.fixture(name="loaded", scope="module")
def _loaded(folder):
    """The config above."""
    return load_text(folder, TEXT, with_services=False)


def subject(folder, file):
    """Return the subject of a client certificate."""
    leaf, *chain = parse_pem_certificates((folder / file).read_bytes())
    return QuerySubject(
        file=file, certificate=parse_certificate(leaf), chain=tuple(chain)
    )


REFUSED = (
    "not verified (trust domain {} is not vouched for by its CA): require_and_verify"
    " refuses its calls"
)


@pytest.mark.parametrize(
    ("file", "words", "basis"),
    [
        ("certs/client.pem", "verified by certs/ca.pem", Basis.RULE),
        ("certs/client-2.pem", REFUSED.format("partner.test"), Basis.CERTIFICATE),
        ("partner/client.pem", REFUSED.format("grpcsecure.test"), Basis.CERTIFICATE),
    ],
)
def test_certificate_is_judged_by_the_ca_of_its_domain(
    folder, loaded, file, words, basis
):
    """The words name the file of its own domain, or the reason and the effect."""
    explanation = ask(loaded, subject(folder, file), listener="public")
    (verdict,) = explanation.verdicts
    assert verdict.caller.words == f"certificate {file}: {words}"
    assert verdict.basis is basis
    assert verdict.status == ("OK" if basis is Basis.RULE else "UNAUTHENTICATED")
    place = (
        loaded.document.key("listeners", "public", "tls", "client_ca")
        if basis is Basis.CERTIFICATE
        else loaded.document.key("authorization", "rules", "all")
    )
    assert verdict.place == place
    shown = json.loads(render_call_json(explanation))["verdicts"][0]
    assert shown["listener"]["trust_domains"] == {
        "grpcsecure.test": "certs/ca.pem",
        "partner.test": "partner/ca.pem",
    }
    assert shown["basis"] == basis.value


@pytest.mark.parametrize(
    ("listener", "uri", "status"),
    [
        ("public", OWN, "OK"),
        ("public", PARTNER, "OK"),
        ("public", "spiffe://other.test/x", "UNAUTHENTICATED"),
        ("lenient", OWN, "OK"),
        ("lenient", PARTNER, "UNAUTHENTICATED"),
    ],
)
def test_caller_of_a_domain_without_cas_is_not_verified(loaded, listener, uri, status):
    """A caller that is only named is taken to be verified if its domain has CAs."""
    (verdict,) = ask(loaded, caller(spiffe=uri), listener=listener).verdicts
    assert verdict.status == status
    if status != "OK":
        domain = uri.split("/")[2]
        reason = f"not verified, no client CA is given for trust domain {domain}"
        assert reason in verdict.caller.words


def test_listener_names_the_files_and_the_tie(loaded):
    """Both files verify clients; a SPIFFE id needs the one of its domain."""
    (verdict,) = ask(loaded, caller(spiffe=OWN), listener="public").verdicts
    facts = verdict.listener
    assert facts.client_ca == "certs/ca.pem or partner/ca.pem"
    assert facts.lets_in == (
        "only clients with a certificate signed by certs/ca.pem or partner/ca.pem"
    )
    assert facts.names == (
        "proved by the certificate; a SPIFFE id only by a CA of its own trust domain"
    )
