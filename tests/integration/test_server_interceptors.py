"""Interceptors of the config: allowed and denied calls, and attempts to change them."""

from __future__ import annotations

import logging
import re

import grpc
import pytest
from support.bridge_certs import authority
from support.guarded import listeners, make_call, serve
from support.interceptors import ACT, SEEN
from support.scripted_service import METHODS

SERVICERS = {"threads": "ScriptedServicer", "asyncio": "AioScriptedServicer"}
PREFIX = {"threads": "", "asyncio": "Aio"}
LISTENERS = ("grpc-mutual", "mutual", "plain")
ALLOWED = [METHODS[kind][0] for kind in METHODS if kind != "both streams"]
DENIED = METHODS["both streams"][0]

AUTHORIZATION = {
    "rules": {
        "some": {"allow": ["billing"], "methods": ALLOWED},
        "some-for-all": {
            "allow": ["anyone"],
            "methods": ALLOWED,
            "listeners": ["plain"],
        },
    }
}
PERMISSION_DENIED = grpc.StatusCode.PERMISSION_DENIED
UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED


@pytest.fixture(scope="module", params=SERVICERS, name="runtime")
def _runtime(request):
    """A runtime of grpcio."""
    return request.param


@pytest.fixture(scope="module", name="world")
def _world(runtime, tmp_path_factory):
    """A server with four interceptors: the outer two see all calls."""
    prefix = PREFIX[runtime]
    observer = f"support.interceptors:{prefix}Observer"
    entries = [
        {"interceptor": observer, "with": {"name": "outer"}, "sees": "all"},
        {"interceptor": f"support.interceptors:{prefix}Meddling", "sees": "all"},
        {"interceptor": observer, "with": {"name": "inner"}},
        observer,
    ]
    with serve(
        tmp_path_factory.mktemp("interceptors"),
        authority("test CA"),
        runtime,
        on=listeners(*LISTENERS),
        identities={"billing": {"common_name": "billing"}},
        authorization=AUTHORIZATION,
        servicer={
            "servicer": f"support.scripted_service:{SERVICERS[runtime]}",
            "register": "support.scripted_service:register",
        },
        reflection=False,
        interceptors_of_config=entries,
    ) as world:
        yield world


@pytest.fixture(autouse=True)
def _fresh():
    """No act, and nothing seen."""
    ACT[:] = ["nothing"]
    SEEN.clear()


def call(world, path, listener="mutual", client="billing"):
    """Make a call; return its result and what interceptors saw."""
    SEEN.clear()
    with world.channel(listener, client) as channel:
        result = make_call(channel, path, b"echo")
    return result, [*SEEN]


@pytest.mark.parametrize("listener", LISTENERS)
@pytest.mark.parametrize("path", ALLOWED)
def test_an_allowed_call_passes_all_in_their_order(world, listener, path):
    """The first entry is the outermost; each sees the client's real address."""
    result, seen = call(world, path, listener)
    assert result.code is grpc.StatusCode.OK
    # `Meddling` asks those behind it twice, which is no harm.
    asked = dict.fromkeys(name for name, what, _ in seen if what == "asked")
    assert [*asked] == ["outer", "inner", "observer"]
    peers = {value for _, what, value in seen if what == "peer"}
    assert re.fullmatch(r"ipv4:127\.0\.0\.1:\d+", peers.pop())
    assert not peers


@pytest.mark.parametrize("listener", LISTENERS)
@pytest.mark.parametrize("path", [DENIED, METHODS["unary"][0], "/no.Such/Method"])
def test_a_denied_call_is_seen_by_those_that_see_all(world, listener, path):
    """It ends with its status for the client and for the interceptor."""
    client = "billing" if path == DENIED else "stranger"
    if listener == "plain" and path == METHODS["unary"][0]:
        pytest.skip("allowed there")
    result, seen = call(world, path, listener, client)
    assert result.code in (PERMISSION_DENIED, UNAUTHENTICATED)
    names = {name for name, *_ in seen}
    assert names == {"outer"}
    assert ("outer", "code", result.code) in seen
    (peer,) = [value for _, what, value in seen if what == "peer"]
    assert re.fullmatch(r"ipv4:127\.0\.0\.1:\d+", peer)


@pytest.mark.parametrize("act", ["answer", "hide", "none", "raise", "exit", "other"])
@pytest.mark.parametrize("path", [DENIED, METHODS["unary"][0], "/no.Such/Method"])
def test_a_denied_call_stays_denied(world, runtime, act, path):
    """Whatever an interceptor does: its status is that of the denial."""
    client = "billing" if path == DENIED else "stranger"
    expected, _ = call(world, path, client=client)
    ACT[:] = [act + (" aio" if runtime == "asyncio" else "")]
    result, _ = call(world, path, client=client)
    assert result == expected
    assert result.code in (PERMISSION_DENIED, UNAUTHENTICATED)
    assert result.messages == ()


def test_an_interceptor_cannot_ask_for_another_method(world, caplog):
    """Also one that hides it: the call ends with INTERNAL, and the log says why."""
    ACT[:] = ["other"]
    with caplog.at_level(logging.ERROR, "grpcsecure.policy"):
        for path in ALLOWED:
            result, _ = call(world, path)
            assert result.code is grpc.StatusCode.INTERNAL
            assert result.details == "an interceptor changed the method of the call"
            assert result.messages == ()
    records = [r for r in caplog.records if r.message == "interceptor.method_changed"]
    assert [record.method for record in records] == ALLOWED
    assert {record.to for record in records} == {DENIED}


def test_an_interceptor_cannot_return_the_handler_of_another_method(
    world, runtime, caplog
):
    """A handler that was kept from a call of one method does not run for another."""
    from support import interceptors

    unary, request_stream = METHODS["unary"][0], METHODS["request stream"][0]
    ACT[:] = ["replay"]
    interceptors.OTHER = unary
    try:
        first, _ = call(world, unary)
        again, _ = call(world, unary)
        assert first.code is again.code is grpc.StatusCode.OK
        result, _ = call(world, request_stream)
    finally:
        interceptors.OTHER = DENIED
        interceptors._KEPT.clear()
    assert result.code is grpc.StatusCode.INTERNAL
    assert result.details == "an interceptor changed the method of the call"


def test_metadata_of_a_denied_call(world):
    """An interceptor can add metadata to the answer, but none of gRPC's own."""
    ACT[:] = ["nothing"]
    with world.channel("mutual", "billing") as channel:
        made = channel.stream_stream(DENIED)(iter([b"echo"]), timeout=30)
        assert made.code() is PERMISSION_DENIED
        assert ("x-seen-by", "outer") in made.trailing_metadata()


def test_an_unidentified_connection_of_the_bridge(world):
    """It has an address that parses, and no names."""
    from grpcsecure.server.rpc.bridged_caller import BridgedView

    server = world.server
    view = BridgedView(
        "mutual", server.config.listeners[0].tls.client_certificate, None
    )
    shown = view.shown(None, None)
    assert shown.peer() == "unix:"
    assert (shown.auth_context(), shown.peer_identities()) == ({}, None)
    assert shown.peer_identity_key() is None
    assert view.connection(shown) is None
