"""Each call is decided by the rules, CAs and time of the call, not of its handshake."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import datetime, timedelta, timezone
from queue import SimpleQueue

import grpc
import pytest
from grpc.experimental import session_cache
from support.bridge import eventually
from support.bridge_certs import authority, certificate
from support.guarded import (
    KINDS,
    RUNTIMES,
    entered,
    fingerprint,
    listeners,
    make_call,
    serve,
)
from support.services import PATIENCE
from support.silent_clients import SilentCall

from grpcsecure.server.rpc import authorizer
from grpcsecure.server.rpc.authorizer import Authorizer

METHOD = KINDS["unary"]

OK = (grpc.StatusCode.OK, "")
#: The status for a peer whose certificate has expired, with `error_detail: full`.
EXPIRED = (
    grpc.StatusCode.UNAUTHENTICATED,
    "not authenticated: certificate not trusted: certificate has expired, CN=brief",
)


@pytest.fixture(scope="module", params=["threads", "asyncio"])
def world(request, tmp_path_factory):
    """A server that sends callers the reason of a denial (`error_detail: full`)."""
    with serve(
        tmp_path_factory.mktemp("world"),
        authority("test CA"),
        request.param,
        on=listeners("grpc-mutual", "mutual", "lenient-ca", "required"),
        error_detail="full",
    ) as world:
        yield world


def soon(seconds=5):
    """Return a time `seconds` ahead, in whole seconds as in certificates."""
    now = datetime.now(timezone.utc).replace(microsecond=0)
    return now + timedelta(seconds=seconds)


def rules(effect, *names):
    """Return an `authorization` block with one rule and the opposite default."""
    default = "deny" if effect == "allow" else "allow"
    rule = {effect: [*names], "methods": ["*"]}
    return {"default": default, "rules": {"it": rule}}


def status_of_call(channel):
    """Make a call; return its status."""
    answer = make_call(channel, METHOD, b"")
    return answer.code, answer.details


def statuses(world, client, names):
    """Open a connection to each listener.

    Returns:
        A stack that closes the connections, and a function that makes a call over each
        and returns the statuses by listener.
    """
    stack = ExitStack()
    channels = {
        name: stack.enter_context(world.channel(name, client)) for name in names
    }

    def ask():
        return {name: status_of_call(channel) for name, channel in channels.items()}

    return stack, ask


def same(names, status):
    """Return a dict with the same status for each listener."""
    return dict.fromkeys(names, status)


VERIFYING = ("grpc-mutual", "mutual", "lenient-ca")


PINNING = ("lenient-ca", "required")
NAMED = {"named": {"common_name": "brief"}}


def pinned(pair):
    """Return the identity "device" of a certificate."""
    return {"device": {"fingerprint": fingerprint(pair)}}


class Brief:
    """Connections that were opened when their certificates were valid, and no more are.

    All of them wait for the same moment. One certificate becomes valid then.
    """

    def __init__(self, world, stack):
        end = soon()
        # First, while it is not yet valid.
        self.early_pair = certificate("early", start=end)
        self.early = self._open(world, stack, self.early_pair, ("required",))
        world.enforce(rules("allow", "device"), pinned(self.early_pair))
        [(code, _)] = self.early().values()
        assert code is grpc.StatusCode.UNAUTHENTICATED
        named = certificate("brief", issuer=world.ca, end=end)
        self.named = self._open(world, stack, named, VERIFYING)
        world.enforce(rules("allow", "named"), NAMED)
        assert self.named() == same(VERIFYING, OK)
        cache = session_cache.ssl_session_cache_lru(1)
        cached = ("grpc.ssl_session_cache", cache)
        self.connect = lambda *options: world.channel("grpc-mutual", named, *options)
        self.connect_again = lambda: self.connect(cached)
        with self.connect_again() as channel:
            assert status_of_call(channel) == OK
        world.enforce(rules("deny", "named"), NAMED)
        assert self.named() == same(VERIFYING, forbidden("named"))
        middle = authority("middle", issuer=world.ca, end=end)
        below = certificate("c", issuer=middle, send=(middle.certificate,))
        self.below = self._open(world, stack, below, VERIFYING)
        world.enforce(rules("allow", "verified"))
        assert self.below() == same(VERIFYING, OK)
        self.device_pair = certificate("brief", end=end)
        self.device = self._open(world, stack, self.device_pair, PINNING)
        world.enforce(rules("allow", "device"), pinned(self.device_pair))
        assert self.device() == same(PINNING, OK)
        # OpenSSL compares whole seconds: within the last one, a chain is still valid.
        over = end + timedelta(seconds=1)
        eventually(lambda: datetime.now(timezone.utc) > over, what="the expiry")

    @staticmethod
    def _open(world, stack, client, names):
        connections, ask = statuses(world, client, names)
        stack.enter_context(connections)
        return ask


@pytest.fixture(scope="module")
def brief(world):
    """Connections of expired certificates."""
    with ExitStack() as stack:
        yield Brief(world, stack)


def forbidden(name):
    """Return the status of a client that a rule denies by its name."""
    reason = f"rule `it` denies it (known as {name})"
    return grpc.StatusCode.PERMISSION_DENIED, f"not authorized: {reason}"


def codes(answers):
    """Return the status codes of some answers."""
    return {code for code, _ in answers.values()}


def test_certificate_expires_on_an_open_connection(world, brief):
    """A certificate that the handshake verified stops counting when it expires."""
    world.enforce(rules("allow", "named"), NAMED)
    assert brief.named() == same(VERIFYING, EXPIRED)


def test_expired_name_still_denies(world, brief):
    """Letting a certificate expire does not get its client around a deny rule."""
    world.enforce(rules("deny", "named"), NAMED)
    # A verifying listener refuses before the rules: its handshake would now fail.
    unknown = "not authenticated: rule `it` denies it ("
    unknown += "certificate not trusted: certificate has expired, CN=brief)"
    assert brief.named() == {
        **same(VERIFYING, EXPIRED),
        "lenient-ca": (grpc.StatusCode.UNAUTHENTICATED, unknown),
    }


def test_intermediate_expires_on_an_open_connection(world, brief):
    """Every certificate of the chain has to be valid at the time of the call."""
    world.enforce(rules("allow", "verified"))
    reason = "certificate not trusted: certificate has expired, CN=c"
    unknown = (grpc.StatusCode.UNAUTHENTICATED, f"not authenticated: {reason}")
    assert brief.below() == same(VERIFYING, unknown)


def test_registered_certificate_expires(world, brief):
    """Of a pinned certificate only the dates are checked, and they are."""
    world.enforce(rules("allow", "device"), pinned(brief.device_pair))
    assert codes(brief.device()) == {grpc.StatusCode.UNAUTHENTICATED}
    # A new connection does not help.
    stack, ask = statuses(world, brief.device_pair, PINNING)
    with stack:
        assert codes(ask()) == {grpc.StatusCode.UNAUTHENTICATED}


def test_registered_certificate_that_is_not_yet_valid(world, brief):
    """The certificate is accepted from its notBefore on, also on an open connection."""
    world.enforce(rules("allow", "device"), pinned(brief.early_pair))
    assert brief.early() == {"required": OK}


def test_registered_certificate_that_has_expired(world):
    """An expired certificate with a registered pin counts as no certificate."""
    old = certificate("old", end=soon(-60))
    for pin in ({"fingerprint": fingerprint(old)}, {"public_key": key_pin(old)}):
        world.enforce(rules("allow", "device"), {"device": pin})
        for name in ("lenient-ca", "required"):
            with world.channel(name, old) as channel:
                assert status_of_call(channel)[0] is grpc.StatusCode.UNAUTHENTICATED
        world.enforce(rules("deny", "device"), {"device": pin})
        with world.channel("required", old) as channel:
            assert status_of_call(channel)[0] is grpc.StatusCode.UNAUTHENTICATED


def key_pin(pair):
    """Return the pin of a certificate's key."""
    import hashlib

    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    spki = pair.certificate.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    return f"sha256:{hashlib.sha256(spki).hexdigest()}"


def test_resumed_session_of_an_expired_certificate(world, brief):
    """A ticket resumes the session of an expired certificate, but calls are denied.

    Without the ticket the handshake itself fails, which shows that the session was
    resumed.
    """
    world.enforce(rules("allow", "named"), NAMED)

    def is_refused():
        with brief.connect() as channel:
            return status_of_call(channel)[0] is grpc.StatusCode.UNAVAILABLE

    # gRPC's clock is behind Python's by up to one tick of the kernel.
    eventually(is_refused)
    with brief.connect_again() as channel:
        assert status_of_call(channel) == EXPIRED


def test_rules_change_on_an_open_connection(world):
    """Calls on a connection that is already open are decided by the new rules."""
    stack, ask = statuses(world, "billing", VERIFYING)
    with stack:
        world.enforce(rules("allow", "verified"))
        assert ask() == same(VERIFYING, OK)
        world.enforce(rules("allow", "anonymous"))
        assert {code for code, _ in ask().values()} == {
            grpc.StatusCode.PERMISSION_DENIED
        }
        world.enforce(rules("allow", "verified"))
        assert ask() == same(VERIFYING, OK)


def test_client_ca_changes_on_an_open_connection(world):
    """A client whose CA was removed is no longer authenticated."""
    stack, ask = statuses(world, "billing", VERIFYING)
    with stack:
        world.enforce(rules("allow", "verified"))
        assert ask() == same(VERIFYING, OK)
        own = (world.folder / "ca.pem").read_bytes()
        (world.folder / "ca.pem").write_bytes(authority("other CA").certificate_pem)
        world.enforce(rules("allow", "verified"))
        (world.folder / "ca.pem").write_bytes(own)
        assert {code for code, _ in ask().values()} == {grpc.StatusCode.UNAUTHENTICATED}
        world.enforce(rules("allow", "verified"))
        assert ask() == same(VERIFYING, OK)


@pytest.fixture(
    scope="module",
    params=[
        (runtime, intercepts) for runtime in RUNTIMES for intercepts in (False, True)
    ],
    ids=lambda param: f"{param[0]}{'-interceptors' * param[1]}",
)
def open_world(request, tmp_path_factory):
    """A server, with and without user interceptors."""
    runtime, intercepts = request.param
    _, _, interceptor = RUNTIMES[runtime]
    with serve(
        tmp_path_factory.mktemp("silent"),
        authority("test CA"),
        runtime,
        on=listeners("grpc-mutual", "mutual", "lenient-ca"),
        interceptors=[interceptor()] if intercepts else [],
    ) as world:
        yield world


class TestSilentCalls:
    """Calls that were allowed and whose first message arrives later."""

    @pytest.fixture
    def decided(self, monkeypatch):
        """A queue of the methods that authorizers have decided.

        No decision counts as fresh, so that a late message leads to a second one.
        """
        monkeypatch.setattr(authorizer, "FRESH", 0)
        methods = SimpleQueue()
        authorize = Authorizer.authorize

        def authorize_and_record(self, context, method, **options):
            answer = authorize(self, context, method, **options)
            methods.put(method)
            return answer

        monkeypatch.setattr(Authorizer, "authorize", authorize_and_record)
        return methods

    @pytest.mark.parametrize("listener", ["grpc-mutual", "mutual", "lenient-ca"])
    @pytest.mark.parametrize("kind", ["unary", "response stream"])
    @pytest.mark.parametrize("effect", ["allow", "deny"])
    def test_late_message_causes_a_second_decision(
        self, open_world, decided, listener, kind, effect
    ):
        """When a late message arrives, the call is decided again, by current rules."""
        open_world.enforce(rules("allow", "verified"))
        with open_world.channel(listener, "billing") as channel:
            call = SilentCall(channel, KINDS[kind])
            assert decided.get(timeout=PATIENCE) == KINDS[kind]
            open_world.enforce(rules(effect, "verified"))
            entered()
            call.send(b"")
            answer = call.result()
            assert decided.get(timeout=PATIENCE) == KINDS[kind]
        names = [name for name in entered() if not name.startswith("asked for")]
        if effect == "deny":
            assert answer.code is grpc.StatusCode.PERMISSION_DENIED
            assert names == []
        else:
            assert answer.code is grpc.StatusCode.OK
            assert len(names) == 1

    @pytest.mark.parametrize("listener", ["grpc-mutual", "mutual", "lenient-ca"])
    @pytest.mark.parametrize("kind", ["request stream", "both streams"])
    @pytest.mark.parametrize("effect", ["allow", "deny"])
    def test_late_first_message_of_a_stream_causes_a_second_decision(
        self, open_world, decided, listener, kind, effect
    ):
        """A stream that was opened and kept is refused at its first message."""
        open_world.enforce(rules("allow", "verified"))
        entered()
        with open_world.channel(listener, "billing") as channel:
            call = SilentCall(channel, KINDS[kind])
            name = KINDS[kind].rpartition("/")[2]
            eventually(lambda: name in entered(), what="the servicer runs")
            assert decided.get(timeout=PATIENCE) == KINDS[kind]
            open_world.enforce(rules(effect, "verified"))
            call.send(b"", b"", b"")
            answer = call.result()
            assert decided.get(timeout=PATIENCE) == KINDS[kind]
        assert decided.empty()
        if effect == "deny":
            assert answer.code is grpc.StatusCode.PERMISSION_DENIED
            assert answer.messages == ()
        else:
            assert answer.code is grpc.StatusCode.OK
            assert len(answer.messages) == (3 if kind == "both streams" else 1)

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("listener", ["grpc-mutual", "mutual"])
    def test_call_is_decided_once(
        self, open_world, decided, monkeypatch, listener, kind
    ):
        """A message that arrives with its call causes no second decision."""
        monkeypatch.setattr(authorizer, "FRESH", PATIENCE)
        open_world.enforce(rules("allow", "verified"))
        with open_world.channel(listener, "billing") as channel:
            assert make_call(channel, KINDS[kind], b"").code is grpc.StatusCode.OK
        assert decided.get(timeout=PATIENCE) == KINDS[kind]
        assert decided.empty()
