"""A running server decides as the policy does, for random rules."""

from __future__ import annotations

from contextlib import ExitStack

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.bridge_certs import authority
from support.effort import repeats
from support.guarded import (
    CLIENTS,
    GREETER,
    KINDS,
    RUNTIMES,
    fingerprint,
    listeners,
    make_call,
    serve,
)

from grpcsecure import AnonymousPeer, ClaimedPeer, VerifiedPeer
from grpcsecure.policy.rule_index import Call
from grpcsecure.tls.certificate import parse_certificate

#: Listeners, and whether they verify clients; None for plaintext.
LISTENERS = {
    "grpc-mutual": True,
    "lenient": False,
    "lenient-ca": True,
    "optional": True,
    "plain": None,
}
MUTUAL = {"grpc-mutual", "optional"}

NOWHERE = f"{GREETER}/Nope"

IDENTITIES = (
    "anyone",
    "verified",
    "presented",
    "anonymous",
    "billing",
    "ops",
    "device",
    "corp",
)
PATTERNS = (
    "*",
    f"{GREETER}/*",
    f"{GREETER}/Say*",
    f"{GREETER}/SayHelloTo*",
    "*/Chat",
    "*Hello",
    "/other.Service/*",
    *KINDS.values(),
)
METADATA = ({"x-env": ["prod"]}, {"x-env": ["prod", "dev"], "x-t-bin": ["AAEC"]})
SENT = (
    (),
    (("x-env", "prod"),),
    (("x-env", "dev"), ("x-t-bin", b"\0\1\2")),
    (("x-env", "prod"), ("x-env", "other")),
)


def some(items, most=3):
    """Return a strategy for lists of one to `most` of these items."""
    return st.lists(st.sampled_from(items), min_size=1, max_size=most, unique=True)


@st.composite
def rules(draw):
    """Generate one rule."""
    effect = draw(st.sampled_from(["allow", "deny"]))
    rule = {effect: draw(some(IDENTITIES)), "methods": draw(some(PATTERNS))}
    if draw(st.booleans()):
        rule["listeners"] = draw(some([*LISTENERS]))
    if draw(st.integers(0, 3)) == 0:
        rule["metadata"] = draw(st.sampled_from(METADATA))
    if draw(st.integers(0, 4)) == 0:
        rule["enforce"] = False
    return rule


AUTHORIZATIONS = st.builds(
    lambda default, rules: {
        "default": default,
        "audit": "off",
        "rules": {f"rule-{number}": rule for number, rule in enumerate(rules)},
    },
    st.sampled_from(["deny", "allow"]),
    st.lists(rules(), min_size=1, max_size=5),
)

#: Listeners and clients whose handshake succeeds.
CALLERS = [
    (listener, client)
    for listener in LISTENERS
    for client in CLIENTS
    if not (listener in MUTUAL and client in {"pretender", "dev", "device"})
    and (listener, client) != ("grpc-mutual", "anonymous")
]

CALLS = st.lists(
    st.tuples(
        st.sampled_from(CALLERS),
        st.sampled_from([*KINDS.values(), NOWHERE, "/other.Service/Method"]),
        st.sampled_from(SENT),
    ),
    min_size=4,
    max_size=12,
)


def peer_of(listener, client, pair):
    """Return the peer that the policy gets for a client of a listener."""
    where = {"listener": listener, "address": ""}
    if pair is None or LISTENERS[listener] is None:
        return AnonymousPeer(**where)
    certificate = parse_certificate(pair.der)
    if LISTENERS[listener] and client in {"billing", "stranger"}:
        return VerifiedPeer(certificate=certificate, **where)
    return ClaimedPeer(certificate=certificate, unverified_reason="so", **where)


def expected(policy, peer, method, listener, metadata):
    """Return the status code that follows from the policy's decision on a call."""
    exists = method in KINDS.values()
    call = Call(method, listener, metadata, exists)
    decision = policy.decide(policy.identify(peer, in_force=True), call)
    if decision.is_allowed:
        return grpc.StatusCode.OK if exists else grpc.StatusCode.UNIMPLEMENTED
    if decision.is_known:
        return grpc.StatusCode.PERMISSION_DENIED
    return grpc.StatusCode.UNAUTHENTICATED


@pytest.fixture(scope="module", params=RUNTIMES)
def world(request, tmp_path_factory):
    """A server of each runtime; the one of coroutines has no interceptors."""
    interceptors = [] if request.param == "asyncio" else [RUNTIMES[request.param][2]()]
    with serve(
        tmp_path_factory.mktemp("world"),
        authority("test CA"),
        request.param,
        interceptors=interceptors,
        on=listeners(*LISTENERS),
    ) as world:
        yield world


@pytest.fixture(scope="module")
def channels(world):
    """A connection for each listener and client."""
    with ExitStack() as stack:
        yield {
            caller: stack.enter_context(world.channel(*caller)) for caller in CALLERS
        }


@settings(
    max_examples=repeats(20, 60),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(authorization=AUTHORIZATIONS, calls=CALLS)
def test_server_decides_as_the_policy(world, channels, authorization, calls):
    """For random rules, callers and calls the server's status is the policy's."""
    snapshot = world.enforce(
        authorization,
        {
            "billing": {"spiffe": "spiffe://corp.example/*"},
            "ops": {"organizational_unit": "Ops", "dns": "*.corp.example"},
            "device": {"fingerprint": fingerprint(world.clients["device"])},
            "corp": [
                {"common_name": "stranger"},
                {"fingerprint": fingerprint(world.clients["pretender"])},
            ],
        },
        may_be_odd=True,
    )
    for (listener, client), method, metadata in calls:
        peer = peer_of(listener, client, world.clients[client])
        answer = make_call(channels[listener, client], method, b"", metadata=metadata)
        assert answer.code is expected(
            snapshot.policy, peer, method, listener, metadata
        ), (listener, client, method, metadata)
