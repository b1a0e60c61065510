"""An error in identity or rule code denies its call, is logged once, and stops nothing.

The broken parts are the real ones with one method that raises or returns nothing; they
are put into force as a reload would do it.
"""

from __future__ import annotations

import logging
from dataclasses import replace

import grpc
import pytest
from support.bridge import eventually
from support.bridge_certs import authority
from support.guarded import KINDS, RUNTIMES, entered, listeners, make_call, serve

from grpcsecure.policy.decision import Policy
from grpcsecure.server.rpc.peer_cache import PeerResolver

UNKNOWN = (grpc.StatusCode.UNAUTHENTICATED, "not authenticated")
METHODS = [*KINDS.values(), "/no.Such/Method"]


class BrokenError(Exception):
    """The error that the broken parts raise."""


def _fail(*_, **__):
    raise BrokenError("broken\nin two  lines")


class CannotIdentify(Policy):
    """A policy that fails to identify peers with a certificate."""

    def identify(self, peer, *, in_force):
        """Raise if the peer has a certificate."""
        if peer.certificate is not None:
            _fail()
        return super().identify(peer, in_force=in_force)


class CannotDecide(Policy):
    """A policy that fails to decide."""

    decide = _fail


class DecidesNothing(Policy):
    """A policy that returns something that is not a decision."""

    def decide(self, principal, call):
        """Return None instead of a decision."""
        return


class CannotReportReading(Policy):
    """A policy that fails to report whether its rules read metadata."""

    reads_metadata = property(_fail)


class CannotVerify:
    """Client CAs that fail to verify a chain."""

    verdict = _fail


class VerifiesNothing:
    """Client CAs that return something that is not a verdict."""

    def verdict(self, leaf, chain, now):
        """Return None instead of a verdict."""
        return


def with_policy(kind):
    """Return a function that replaces a snapshot's policy by a broken one."""

    def change(snapshot):
        policy = kind.__new__(kind)
        vars(policy).update(vars(snapshot.policy))
        resolvers = {
            name: PeerResolver(name, rechecks=resolver._rechecks, policy=policy)
            for name, resolver in snapshot.resolvers.items()
        }
        return replace(snapshot, policy=policy, resolvers=resolvers)

    return change


def with_rechecks(kind):
    """Return a function that replaces a snapshot's client CAs by broken ones."""

    def change(snapshot):
        resolvers = {
            name: PeerResolver(name, rechecks=kind(), policy=snapshot.policy)
            for name in snapshot.resolvers
        }
        return replace(snapshot, resolvers=resolvers)

    return change


def without_rules(snapshot):
    """Return a snapshot whose resolvers have no policy, although it has rules."""
    resolvers = {
        name: PeerResolver(name, rechecks=resolver._rechecks, policy=None)
        for name, resolver in snapshot.resolvers.items()
    }
    return replace(snapshot, resolvers=resolvers)


BROKEN = {
    "identities": with_policy(CannotIdentify),
    "rules": with_policy(CannotDecide),
    "no decision": with_policy(DecidesNothing),
    "reads_metadata": with_policy(CannotReportReading),
    "client CAs": with_rechecks(CannotVerify),
    "no verdict": with_rechecks(VerifiesNothing),
    "no resolver": lambda snapshot: replace(snapshot, resolvers={}),
    "resolvers without rules": without_rules,
}


@pytest.fixture(scope="module", params=RUNTIMES)
def runtime(request):
    """The runtime of the server, and the kind of its methods."""
    return request.param


@pytest.fixture(scope="module", params=[False, True], ids=["", "interceptors"])
def world(request, runtime, tmp_path_factory):
    """A server whose rules allow every call."""
    with serve(
        tmp_path_factory.mktemp("world"),
        authority("test CA"),
        runtime,
        interceptors=[RUNTIMES[runtime][2]()] if request.param else [],
        on=listeners("grpc-mutual", "mutual"),
    ) as world:
        yield world


@pytest.mark.parametrize("detail", ["none", "full"])
@pytest.mark.parametrize("listener", ["grpc-mutual", "mutual"])
@pytest.mark.parametrize("broken", BROKEN)
def test_error_denies(world, broken, listener, detail, caplog):
    """The caller sees a constant text; the log has one traceback per call.

    The connection and the server go on.
    """
    allow_all = {"default": "allow"}
    good = world.enforce(allow_all, error_detail=detail)
    with world.channel(listener, "billing") as channel:
        assert make_call(channel, METHODS[0], b"").code is grpc.StatusCode.OK
        entered()
        world.server._in_force.snapshot = BROKEN[broken](good)
        for method in METHODS:
            caplog.clear()
            answer = make_call(channel, method, ends=False)
            assert (answer.code, answer.details) == UNKNOWN
            # Other loggers may log the same error.
            [record] = [r for r in caplog.records if r.name == "grpcsecure.policy"]
            assert record.getMessage() == "call.undecided"
            assert (record.listener, record.method) == (listener, method)
            assert record.exc_info
        assert entered() == []
        world.enforce(allow_all)
        assert make_call(channel, METHODS[0], b"").code is grpc.StatusCode.OK


def test_error_that_cannot_be_printed(world, caplog):
    """An exception whose `str` raises denies the call too."""

    class UnprintableError(Exception):
        def __str__(self):
            raise ValueError("no text")

    class Unprintable(Policy):
        def decide(self, principal, call):
            raise UnprintableError

    good = world.enforce({"default": "allow"})
    world.server._in_force.snapshot = with_policy(Unprintable)(good)
    answer = world.make_call("mutual", "billing", METHODS[0])
    assert (answer.code, answer.details) == UNKNOWN
    eventually(lambda: len(caplog.records) == 2)  # the audit logs on its own thread
    error, event = sorted(caplog.records, key=lambda r: r.name, reverse=True)
    assert (error.name, error.getMessage()) == ("grpcsecure.policy", "call.undecided")
    assert (event.getMessage(), event.rule) == ("call.denied", "error")


def test_error_that_cannot_be_logged(world, monkeypatch):
    """If logging the error fails too, the call is denied and the server goes on."""

    class Refuse(logging.Filter):
        def filter(self, record):
            raise BrokenError

    entered()
    good = world.enforce({"default": "allow"})
    logger = logging.getLogger("grpcsecure.policy")
    monkeypatch.setattr(logger, "filters", [Refuse()])
    world.server._in_force.snapshot = with_policy(CannotDecide)(good)
    for listener in ("grpc-mutual", "mutual"):
        with world.channel(listener, "billing") as channel:
            for method in METHODS:
                answer = make_call(channel, method, ends=False)
                assert (answer.code, answer.details) == UNKNOWN
    assert entered() == []
    world.enforce({"default": "allow"})
    answer = world.make_call("mutual", "billing", METHODS[0])
    assert answer.code is grpc.StatusCode.OK
