"""`explain --cert` where the engines differ: by type of key, and by TLS version."""

from __future__ import annotations

import json

import pytest
from support.bridge_certs import authority, certificate
from support.explaining import CONFIG, ask, load, tls
from support.forged_certificates import issued, new_key, root

from grpcsecure.explain.query_subject import QuerySubject
from grpcsecure.explain.render.call_text import render_call_text
from grpcsecure.explain.render.explain_json import render_call_json
from grpcsecure.model.authorization import Effect
from grpcsecure.tls.certificate import parse_certificate
from grpcsecure.tls.pem import render_pem

LISTENERS = f"""\
  bridged: {{address: '127.0.0.1:0', {tls("require_and_verify, engine: bridge")}}}
  given: {{address: '127.0.0.1:0', {tls("request_and_verify")}}}
  lenient: {{address: '127.0.0.1:0', {tls("request_but_dont_verify")}}}
  modern:
    address: 127.0.0.1:0
    {tls("request_and_verify, min_version: TLSv1.3")}
"""

CA = root("CA of engines")
NONE, OLD, NEW = (), ("TLSv1.2",), ("TLSv1.3",)


@pytest.fixture(name="loaded", scope="module")
def _loaded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("engines")
    certs = folder / "certs"
    certs.mkdir()
    server = certificate("localhost", issuer=authority("server CA"), names=None)
    (certs / "ca.pem").write_bytes(render_pem("CERTIFICATE", [CA.der()]))
    (certs / "server.pem").write_bytes(server.certificate_pem)
    (certs / "server.key").write_bytes(server.key_pem)
    (certs / "server.key").chmod(0o600)
    return load(folder, CONFIG + LISTENERS, with_services=False)


def explanation(loaded, kind, chain=()):
    """Return the explanation of a call with a client key of a type."""
    leaf = issued(CA, key=new_key(kind)).der()
    subject = QuerySubject(
        file="client.pem", certificate=parse_certificate(leaf), chain=chain
    )
    return ask(loaded, subject)


def states(loaded, kind):
    """Return the state on each listener, in the TLS versions where it differs."""
    return {
        (verdict.listener.name, verdict.tls_versions): verdict.caller.state
        for verdict in explanation(loaded, kind).verdicts
    }


ALL = dict.fromkeys(("public", "bridged", "given", "lenient", "modern"), "verified")


def everywhere(**changes):
    """Return the states if TLS versions do not differ."""
    return {(name, NONE): state for name, state in (ALL | changes).items()}


def by_version(name, old, new):
    """Return the states of a listener in TLS 1.2 and 1.3."""
    return {(name, OLD): old, (name, NEW): new}


BRIDGED = ("bridged", "given", "lenient")

STATES = {
    "P-256": everywhere(),
    "P-521": {
        **by_version("public", "verified", "refused"),
        **{(name, NONE): "verified" for name in (*BRIDGED, "modern")},
    },
    "Ed25519": everywhere(public="refused"),
    "P-224": {
        ("public", NEW): "refused",
        ("public", OLD): "refused",
        **by_version("bridged", "refused", "refused"),
        **by_version("given", "refused", "anonymous"),
        **by_version("lenient", "refused", "anonymous"),
        ("modern", NONE): "anonymous",
    },
    "RSA 1024": everywhere(
        bridged="refused", given="refused", lenient="claimed", modern="refused"
    ),
}


@pytest.mark.parametrize("kind", STATES)
def test_state_by_engine_mode_and_version(loaded, kind):
    """A client is refused, is let in, or arrives without its certificate."""
    assert states(loaded, kind) == STATES[kind]


def test_text_says_which_version_and_why(loaded):
    """Each TLS version has its verdict, the newest first; the measured release too."""
    text = render_call_text(explanation(loaded, "P-521"))
    assert "on public (require_and_verify, TLSv1.3)" in text
    assert "on public (require_and_verify, TLSv1.2)" in text
    assert "on bridged (require_and_verify)" in text
    assert (
        "no client certificate: engine grpc (grpcio 1.85.3) offers no algorithm for its"
        " P-521 key (require_and_verify)"
    ) in text
    withheld = render_call_text(explanation(loaded, "P-224"))
    assert "certificate client.pem: not presented, so anonymous: engine bridge" in (
        withheld
    )


def test_json_has_the_versions(loaded):
    """An empty list stands for all."""
    verdicts = json.loads(render_call_json(explanation(loaded, "P-521")))["verdicts"]
    assert [(v["listener"]["name"], v["tls_versions"]) for v in verdicts][:3] == [
        ("public", ["TLSv1.3"]),
        ("public", ["TLSv1.2"]),
        ("bridged", []),
    ]


def test_whole_answer_needs_every_version(loaded):
    """A call is allowed if it is in each TLS version that the listener has."""
    answer = explanation(loaded, "P-521")
    assert {v.effect for v in answer.verdicts} == {Effect.ALLOW, Effect.DENY}
    assert not answer.is_allowed


@pytest.mark.parametrize(("size", "is_served"), [(8000, True), (9000, False)])
def test_long_chain_of_a_client_with_session_tickets(loaded, size, is_served):
    """On engine grpc, TLS 1.3 serves up to 8,432 bytes of certificates."""
    extra = issued(CA, "x" * (size - 800)).der()
    versions = {
        verdict.tls_versions: verdict.caller.state
        for verdict in explanation(loaded, "P-256", (extra,)).verdicts
        if verdict.listener.name == "public"
    }
    assert versions == (
        {NONE: "verified"} if is_served else {NEW: "refused", OLD: "verified"}
    )
