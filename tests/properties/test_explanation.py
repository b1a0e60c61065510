"""`explain` and the authorizer of a server agree for all rules, callers and calls.

The authorizer is the real one; only the handshake before it is simulated. The same with
sockets, for a few configs: tests/integration/test_explain_agrees.py.
"""

from __future__ import annotations

import json
from datetime import datetime, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.effort import repeats
from support.explaining import ANONYMOUS, CONFIG, HELLO, ask, load, tls

from grpcsecure.explain.calls import Basis
from grpcsecure.explain.query_subject import QuerySubject
from grpcsecure.server.rpc.audit import Auditor
from grpcsecure.server.rpc.authorizer import Authorizer
from grpcsecure.server.rpc.call_context import ListenerView
from grpcsecure.server.rpc.peer_cache import Connection
from grpcsecure.server.snapshot import InForce
from grpcsecure.tls.certificate import parse_certificate, parse_pem_certificates
from grpcsecure.tls.simulated_handshake import simulate_handshake

LISTENERS = f"""\
  given: {{address: '127.0.0.1:0', {tls("request_and_verify")}}}
  lenient: {{address: '127.0.0.1:0', {tls("request_but_dont_verify")}}}
"""

#: Names in the certificates of `certs dev --broken`, verified and only claimed.
IDENTITIES = {
    "client": {"spiffe": "spiffe://grpcsecure.test/client"},
    "by-name": {"common_name": "self-signed"},
    "expired": [{"common_name": "expired"}, {"dns": "other.test"}],
}

CERTIFICATES = ("client", "broken/client-self-signed", "broken/client-expired", None)
METHODS = (HELLO, "/helloworld.Greeter/Chat", "/helloworld.Greeter/Nothing", "//")
METADATA = st.lists(
    st.tuples(st.sampled_from(["x-a", "x-b"]), st.sampled_from(["1", "2"])), max_size=3
)


@st.composite
def rules(draw):
    """Generate a rule in the form of a config."""
    names = [*IDENTITIES, "anyone", "presented", "verified"]
    rule = {
        draw(st.sampled_from(["allow", "deny"])): draw(
            st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True)
        ),
        "methods": draw(
            st.lists(
                st.sampled_from([*METHODS[:2], "*", "*/Chat", "/helloworld.Greeter/*"]),
                min_size=1,
                max_size=2,
                unique=True,
            )
        ),
        "enforce": draw(st.booleans()),
    }
    if draw(st.booleans()):
        rule["metadata"] = {
            draw(st.sampled_from(["x-a", "x-b"])): draw(
                st.lists(st.sampled_from(["1", "2"]), min_size=1, unique=True)
            )
        }
    if draw(st.booleans()):
        rule["listeners"] = draw(
            st.lists(st.sampled_from(["given", "lenient"]), min_size=1, unique=True)
        )
    return rule


class _SimulatedView(ListenerView):
    """A listener whose callers have a simulated handshake."""

    def connection(self, caller):
        """Return the connection of the caller."""
        return caller.connection


class _Context:
    """The part of grpcio's context that the authorizer uses."""

    def __init__(self, result, metadata):
        self.connection = None if result is None else Connection(result)
        self._metadata = metadata

    def invocation_metadata(self):
        """Return the metadata of the call."""
        return self._metadata

    def peer(self):
        """Return an address."""
        return "ipv4:127.0.0.1:1"


def _subject(folder, name):
    if name is None:
        return ANONYMOUS
    leaf, *chain = parse_pem_certificates((folder / f"certs/{name}.pem").read_bytes())
    return QuerySubject(
        file=name, certificate=parse_certificate(leaf), chain=tuple(chain)
    )


def _status(loaded, listener, result, call, auditor):
    """Return the status that the authorizer refuses a call with; None lets it in."""
    method, metadata = call
    mode = loaded.listener(listener).tls.client_certificate
    in_force = InForce(loaded.snapshot)
    authorizer = Authorizer(_SimulatedView(listener, mode, in_force), in_force, auditor)
    _, refusal = authorizer.authorize(
        _Context(result, metadata), method, exists=loaded.exists(method, listener)
    )
    return None if refusal is None else refusal[0].name


@pytest.fixture(name="auditor", scope="module")
def _auditor():
    auditor = Auditor()
    yield auditor
    auditor.close()


CASES = st.fixed_dictionaries(
    {
        "rules": st.lists(rules(), max_size=6),
        "default": st.sampled_from(["allow", "deny"]),
        "name": st.sampled_from(CERTIFICATES),
        "listener": st.sampled_from(["public", "given", "lenient"]),
        "method": st.sampled_from(METHODS),
        "metadata": METADATA.map(tuple),
    }
)


def _policy(case):
    """Return the config's identities and rules, as YAML."""
    named = {f"r{number}": rule for number, rule in enumerate(case["rules"])}
    authorization = {"default": case["default"], "audit": "off"}
    if named:
        authorization["rules"] = named
    return (
        f"identities: {json.dumps(IDENTITIES)}\n"
        f"authorization: {json.dumps(authorization)}\n"
    )


@settings(
    max_examples=repeats(30, 80),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(case=CASES)
def test_authorizer_and_explanation_agree(folder, auditor, case):
    """The status that `explain` predicts is the one that the authorizer gives."""
    loaded = load(folder, CONFIG + LISTENERS + _policy(case))
    subject, listener = _subject(folder, case["name"]), case["listener"]
    call = case["method"], case["metadata"]
    (verdict,) = ask(
        loaded, subject, call[0], listener=listener, metadata=call[1]
    ).verdicts
    if verdict.basis is Basis.HANDSHAKE:
        return
    result = None
    if subject.certificate is not None:
        result = simulate_handshake(
            loaded.listener(listener),
            loaded.snapshot.materials[listener],
            subject.certificate.der,
            subject.chain,
            now=datetime.now(timezone.utc),
        ).result
    status = _status(loaded, listener, result, call, auditor)
    if status is None:
        assert verdict.status in {"OK", "UNIMPLEMENTED"}
    else:
        assert verdict.status == status
