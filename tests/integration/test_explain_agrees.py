"""`explain` and `serve` agree for every listener, client and method.

A server is loaded from the config that is explained. The status it returns to a client
equals the status in the explanation for that client's certificate.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import datetime, timezone
from itertools import product

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from support.certificates import make_specimens
from support.explaining import ANONYMOUS, CONFIG, ask, load, tls
from support.services import PATIENCE

import grpcsecure
from grpcsecure.devcerts import Profile, Validity, issue, make_authority, parse_server
from grpcsecure.devcerts.credentials import SERVER_AUTH
from grpcsecure.explain.query_subject import QuerySubject
from grpcsecure.tls.certificate import parse_certificate, parse_pem_certificates

#: A listener for each mode and engine, and one in plaintext for health alone.
LISTENERS = f"""\
  {{}}
  bridged: {{address: '127.0.0.1:0', {tls("require_and_verify, engine: bridge")}}}
  blind: {{address: '127.0.0.1:0', {tls("dont_request", client_ca=False)}}}
  given: {{address: '127.0.0.1:0', {tls("request_and_verify")}}}
  lenient: {{address: '127.0.0.1:0', {tls("request_but_dont_verify")}}}
  any: {{address: '127.0.0.1:0', {tls("require_but_dont_verify", client_ca=False)}}}
  checked: {{address: '127.0.0.1:0', {tls("require_but_dont_verify")}}}
  plain:
    address: 127.0.0.1:0
    plaintext: true
    services: [grpc.health.v1.Health]
""".replace("  {}\n", "")

RULES = """\
identities:
  client: {spiffe: "spiffe://grpcsecure.test/client"}
  named: {common_name: self-signed}
  unit: {fingerprint: "SELF_SIGNED"}
  old-unit: {fingerprint: "EXPIRED"}
authorization:
  rules:
    hello: {allow: [client, unit, old-unit], methods: ["/helloworld.Greeter/SayHello"]}
    many: {allow: [verified], methods: ["*/SayHelloManyTimes"], listeners: [given]}
    not-named: {deny: [named], methods: ["/helloworld.Greeter/SayHelloManyTimes"]}
    health: {allow: [anyone], methods: ["/grpc.health.v1.Health/Check"]}
    rest: {allow: [client], methods: ["/helloworld.Greeter/*"]}
    env: {allow: [anyone], methods: ["*/SayHello"], metadata: {x-env: [test]}}
    soon: {deny: [client], methods: ["/helloworld.Greeter/*"], enforce: false}
"""

CLIENTS = (
    "none",
    "client",
    "broken/client-self-signed",
    "broken/client-expired",
    "broken/client-not-yet-valid",
    "broken/client-other-ca",
    "broken/client-server-eku",
    "broken/client-intermediate",
)

METHODS = (
    "/helloworld.Greeter/SayHello",
    "/helloworld.Greeter/SayHelloManyTimes",
    "/helloworld.Greeter/Nothing",
    "/helloworld.Greeter/Chat",
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/check",
    "//",
)

#: Each method without metadata, and one with the metadata that a rule requires, also
#: with a further value.
CALLS = (
    *((method, ()) for method in METHODS),
    (METHODS[0], (("x-env", "test"),)),
    (METHODS[0], (("x-env", "test"), ("x-env", "prod"))),
)

CONFIGS = {
    "rules": RULES,
    "no rules": "",
    "default allow": RULES.replace(
        "authorization:\n", "authorization:\n  default: allow\n"
    ),
}


def fingerprint(path):
    """Return the digest of a certificate, as the config spells it."""
    (leaf, *_) = parse_pem_certificates(path.read_bytes())
    return parse_certificate(leaf).fingerprint


@pytest.fixture(name="folder", scope="module")
def _folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("agree")
    make_specimens(folder / "certs")
    return folder


def query_subject(folder, name):
    """Return the subject of the query: the client `name`, or an anonymous one."""
    if name == "none":
        return ANONYMOUS
    leaf, *chain = parse_pem_certificates((folder / f"certs/{name}.pem").read_bytes())
    return QuerySubject(
        file=name, certificate=parse_certificate(leaf), chain=tuple(chain)
    )


def write_weak_client(folder):
    """Write certificates of a server and of a client with a key too short for OpenSSL.

    Returns:
        The name of the client's files.
    """
    now = datetime.now(timezone.utc)
    ca = make_authority("CA", now=now, days=3)
    profile = Profile(subject="weak", validity=Validity.of(3, now=now))
    key = rsa.generate_private_key(65537, 1024)
    weak = issue(profile, issuer=ca, key=key)
    server = replace(
        profile, names=(parse_server("localhost"),), purposes=(SERVER_AUTH,)
    )
    certs = folder / "certs"
    certs.mkdir()
    (certs / "ca.pem").write_bytes(ca.certificate_pem)
    for name, one in (("server", issue(server, issuer=ca)), ("weak", weak)):
        (certs / f"{name}.pem").write_bytes(one.certificate_pem)
        (certs / f"{name}.key").write_bytes(one.key_pem)
        (certs / f"{name}.key").chmod(0o600)
    return "weak"


def connect(folder, address, name, *, plaintext):
    """Return a channel of the client `name`, with its certificate if it has one."""
    options = [
        ("grpc.ssl_target_name_override", "localhost"),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_retries", 0),
    ]
    if plaintext:
        return grpc.insecure_channel(address, options)
    certs = folder / "certs"
    pair = (None, None)
    if name != "none":
        pair = [(certs / f"{name}.{end}").read_bytes() for end in ("key", "pem")]
    credentials = grpc.ssl_channel_credentials((certs / "ca.pem").read_bytes(), *pair)
    return grpc.secure_channel(address, credentials, options)


def answer(channel, method, metadata):
    """Return the status of a call, or None if the client could not connect."""
    call = channel.unary_stream(method)
    try:
        for _ in call(b"", metadata=metadata, timeout=PATIENCE):
            break
    except grpc.RpcError as error:
        code = error.code()
        return None if code is grpc.StatusCode.UNAVAILABLE else code.name
    return "OK"


@pytest.mark.parametrize("rules", CONFIGS.values(), ids=CONFIGS)
def test_explanation_matches_the_server(folder, rules, monkeypatch):
    """For each listener, client, method and metadata `explain` predicts the status."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    certs = folder / "certs" / "broken"
    text = CONFIG + LISTENERS + rules
    for word, name in (("SELF_SIGNED", "self-signed"), ("EXPIRED", "expired")):
        text = text.replace(word, fingerprint(certs / f"client-{name}.pem"))
    (folder / "shop.yaml").write_text(text)
    loaded = load(folder, text)
    disagreements = []
    with grpcsecure.load(folder / "shop.yaml") as server:
        for listener, name in product(server.addresses, CLIENTS):
            plaintext = listener == "plain"
            with connect(
                folder, server.addresses[listener], name, plaintext=plaintext
            ) as channel:
                for method, metadata in CALLS:
                    explanation = ask(
                        loaded,
                        query_subject(folder, name),
                        method,
                        listener=listener,
                        metadata=metadata,
                        now=datetime.now(timezone.utc),
                    )
                    (verdict,) = explanation.verdicts
                    happened = answer(channel, method, metadata)
                    if happened != verdict.status:
                        words = verdict.status, verdict.caller.words
                        disagreements.append(
                            (listener, name, method, metadata, happened, words)
                        )
                    if verdict.status is None:
                        break  # a client that cannot connect cannot make other calls
    assert not disagreements


def test_engines_differ_in_weak_keys(tmp_path, monkeypatch):
    """TLS of grpcio accepts a short key, OpenSSL does not; `explain` predicts both."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    name = write_weak_client(tmp_path)
    text = CONFIG + LISTENERS
    (tmp_path / "shop.yaml").write_text(text)
    loaded = load(tmp_path, text)
    statuses = {}
    with grpcsecure.load(tmp_path / "shop.yaml") as server:
        for listener in ("public", "bridged"):
            address = server.addresses[listener]
            with connect(tmp_path, address, name, plaintext=False) as channel:
                happened = answer(channel, METHODS[0], ())
            explanation = ask(loaded, query_subject(tmp_path, name), listener=listener)
            assert explanation.verdicts[0].status == happened
            statuses[listener] = happened
    assert statuses == {"public": "OK", "bridged": None}
