"""Which calls are allowed, and the status of denied ones, in every runtime and engine.

Each server runs with and without user interceptors: calls take different code paths
then, and the answers have to be the same.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from helloworld.helloworld_pb2 import HelloReply
from support.bridge import eventually
from support.bridge_certs import authority
from support.guarded import (
    GREETER,
    KINDS,
    RUNTIMES,
    entered,
    fingerprint,
    make_call,
    serve,
)

UNKNOWN = (grpc.StatusCode.UNAUTHENTICATED, "not authenticated")
FORBIDDEN = (grpc.StatusCode.PERMISSION_DENIED, "not authorized")
NOT_FOUND = (grpc.StatusCode.UNIMPLEMENTED, "Method not found!")

DENY_ALL = {"default": "deny"}
ALLOW_ALL = {"default": "allow"}

WATCH = "/grpc.health.v1.Health/Watch"
CHECK = "/grpc.health.v1.Health/Check"
REFLECT = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
REFLECT_V1 = REFLECT.replace("v1alpha", "v1")
LIST = ServerReflectionRequest(list_services="*").SerializeToString()

#: A request for each method of the built-in services.
BUILT_IN = {
    CHECK: HealthCheckRequest().SerializeToString(),
    WATCH: HealthCheckRequest().SerializeToString(),
    REFLECT: LIST,
    REFLECT_V1: LIST,
}


@pytest.fixture(scope="module", params=RUNTIMES)
def runtime(request):
    """The runtime of the server, and the kind of its methods."""
    return request.param


@pytest.fixture(scope="module", params=[False, True], ids=["", "interceptors"])
def world(request, runtime, tmp_path_factory):
    """A server with every kind of listener."""
    interceptors = [RUNTIMES[runtime][2]()] if request.param else []
    folder = tmp_path_factory.mktemp("world")
    ca = authority("test CA")
    with serve(folder, ca, runtime, interceptors=interceptors) as world:
        yield world


@pytest.fixture(autouse=True)
def _nothing_entered():
    """Clear the record of methods that earlier tests entered."""
    entered()


@pytest.fixture(params=KINDS)
def method(request):
    """A method of each of the four kinds."""
    return KINDS[request.param]


def status_of(answer):
    """Return the status code and details of an answer."""
    return answer.code, answer.details


def one_rule(identities=("anyone",), effect="allow", methods=("*",), **options):
    """Return an `authorization` block with one rule and the opposite default."""
    rule = {effect: list(identities), "methods": list(methods), **options}
    default = "deny" if effect == "allow" else "allow"
    return {"default": default, "rules": {"it": rule}}


def identities(world):
    """Return one identity by name and one by fingerprint."""
    return {
        "billing": {"spiffe": "spiffe://corp.example/billing"},
        "device": {"fingerprint": fingerprint(world.clients["device"])},
    }


NOT_CHECKED = "certificate not trusted"
SELF_SIGNED = "certificate not trusted: self-signed certificate"

#: Listener, client, the status, and the reason that `error_detail: full` adds.
DENIALS = [
    ("plain", "anonymous", UNKNOWN, "no client certificate"),
    ("grpc-open", "anonymous", UNKNOWN, "no client certificate"),
    ("open", "anonymous", UNKNOWN, "no client certificate"),
    # These listeners do not request a certificate, so the client stays anonymous.
    ("grpc-open", "billing", UNKNOWN, "no client certificate"),
    ("open", "billing", UNKNOWN, "no client certificate"),
    ("optional", "anonymous", UNKNOWN, "no client certificate"),
    ("lenient", "anonymous", UNKNOWN, "no client certificate"),
    ("grpc-mutual", "stranger", FORBIDDEN, "no rule allows it (known as CN=stranger)"),
    ("mutual", "stranger", FORBIDDEN, "no rule allows it (known as CN=stranger)"),
    ("optional", "stranger", FORBIDDEN, "no rule allows it (known as CN=stranger)"),
    ("lenient-ca", "stranger", FORBIDDEN, "no rule allows it (known as CN=stranger)"),
    ("required-ca", "stranger", FORBIDDEN, "no rule allows it (known as CN=stranger)"),
    ("grpc-mutual", "billing", FORBIDDEN, "no rule allows it (known as billing)"),
    ("required-ca", "billing", FORBIDDEN, "no rule allows it (known as billing)"),
    # Without a client CA no client is verified, no matter which CA signed it.
    ("lenient", "stranger", UNKNOWN, NOT_CHECKED),
    ("required", "billing", UNKNOWN, NOT_CHECKED),
    ("lenient-ca", "dev", UNKNOWN, f"{SELF_SIGNED}, CN=dev"),
    ("required-ca", "dev", UNKNOWN, f"{SELF_SIGNED}, CN=dev"),
    ("lenient-ca", "pretender", UNKNOWN, f"{SELF_SIGNED}, CN=billing,OU=Ops,O=Corp"),
    # A certificate with a registered fingerprint identifies the client.
    ("lenient", "device", FORBIDDEN, "no rule allows it"),
    ("required", "device", FORBIDDEN, "no rule allows it"),
    ("required-ca", "device", FORBIDDEN, "no rule allows it"),
]


class TestDenied:
    """The answer to a denied call."""

    @staticmethod
    def answers(world, listener, client):
        """Return the answers to each kind of method, over one connection."""
        with world.channel(listener, client) as channel:
            return {
                status_of(make_call(channel, method, b"")) for method in KINDS.values()
            }

    @pytest.mark.parametrize(
        ("listener", "client", "status", "reason"),
        DENIALS,
        ids=[f"{client} on {listener}" for listener, client, *_ in DENIALS],
    )
    def test_status_and_reason(self, world, listener, client, status, reason):
        """The text is constant; only `error_detail: full` adds the reason."""
        world.enforce(DENY_ALL, identities(world))
        assert self.answers(world, listener, client) == {status}
        world.enforce(DENY_ALL, identities(world), error_detail="full")
        answers = self.answers(world, listener, client)
        [(code, details)] = answers
        assert code is status[0]
        assert details.startswith(f"{status[1]}: {reason}")
        assert entered() == []

    def test_full_detail_names_the_rule_that_denies(self, world, method):
        """With `error_detail: full` the details name the rule that denied the call."""
        rules = one_rule(["verified"], "deny", ["/helloworld.Greeter/*"])
        world.enforce(rules, error_detail="full")
        assert status_of(world.make_call("mutual", "stranger", method)) == (
            grpc.StatusCode.PERMISSION_DENIED,
            "not authorized: rule `it` denies it (known as CN=stranger)",
        )
        world.enforce(rules)
        assert status_of(world.make_call("mutual", "stranger", method)) == FORBIDDEN

    def test_denial_carries_nothing_else(self, world, method):
        """A denial carries no messages and no metadata."""
        world.enforce(DENY_ALL)
        with world.channel("grpc-mutual", "stranger") as channel:
            call = channel.stream_stream(method)(iter([b""]), timeout=10)
            with pytest.raises(grpc.RpcError):
                next(call)
            assert call.initial_metadata() == ()
            assert call.trailing_metadata() == ()

    @pytest.mark.parametrize("listener", ["plain", "grpc-mutual", "mutual"])
    def test_answer_does_not_wait_for_a_message(self, world, method, listener):
        """A client that opens a call and sends no message gets its denial."""
        world.enforce(DENY_ALL)
        with world.channel(listener, "stranger") as channel:
            answer = make_call(channel, method, ends=False)
        assert status_of(answer) == (UNKNOWN if listener == "plain" else FORBIDDEN)
        assert entered() == []

    @pytest.mark.parametrize("listener", ["plain", "mutual"])
    def test_message_is_not_inspected(self, world, method, listener, caplog):
        """Invalid, oversized, missing and surplus messages are denied as any other."""
        world.enforce(DENY_ALL)
        with world.channel(listener, "stranger") as channel:
            answers = {
                status_of(make_call(channel, method, b"\xff\xff")),
                status_of(make_call(channel, method, b"\xff" * 100_000)),
                status_of(make_call(channel, method)),
                status_of(make_call(channel, method, b"", b"", b"")),
            }
        assert answers == {UNKNOWN if listener == "plain" else FORBIDDEN}
        assert entered() == []
        assert [r for r in caplog.records if r.name != "grpcsecure.audit"] == []

    def test_the_next_call_may_be_allowed(self, world, method):
        """A denial leaves the connection usable for further calls."""
        world.enforce(one_rule(["anyone"], "deny", [method]))
        with world.channel("mutual", "billing") as channel:
            assert status_of(make_call(channel, method, b"")) == FORBIDDEN
            for other in set(KINDS.values()) - {method}:
                assert make_call(channel, other, b"").code is grpc.StatusCode.OK
            assert status_of(make_call(channel, method, b"")) == FORBIDDEN
        assert method not in {f"{GREETER}/{name}" for name in entered()}


class TestAllowed:
    """The answer to an allowed call."""

    @pytest.mark.parametrize(
        "listener", ["grpc-mutual", "mutual", "optional", "lenient-ca", "required-ca"]
    )
    def test_verified_peer_by_name(self, world, method, listener):
        """A verified client is allowed by its name, and the servicer sees that name."""
        world.enforce(one_rule(["billing"]), identities(world))
        answer = world.make_call(listener, "billing", method)
        assert answer.code is grpc.StatusCode.OK
        messages = [HelloReply.FromString(each).message for each in answer.messages]
        assert messages == ["billing"]
        assert method.endswith(entered()[-1])
        assert status_of(world.make_call(listener, "stranger", method)) == FORBIDDEN

    @pytest.mark.parametrize(
        "listener", ["lenient", "lenient-ca", "required", "required-ca"]
    )
    def test_registered_certificate(self, world, method, listener):
        """A self-signed certificate is accepted only if it is registered."""
        world.enforce(one_rule(["device"]), identities(world))
        answer = world.make_call(listener, "device", method)
        assert answer.code is grpc.StatusCode.OK
        messages = [HelloReply.FromString(each).message for each in answer.messages]
        assert messages == ["device"]
        assert status_of(world.make_call(listener, "dev", method)) == UNKNOWN

    def test_anonymous_by_rule(self, world, method):
        """A rule for `anonymous` allows only callers without a certificate."""
        world.enforce(one_rule(["anonymous"]))
        assert world.make_call("plain", "anonymous", method).code is grpc.StatusCode.OK
        assert (
            world.make_call("optional", "anonymous", method).code is grpc.StatusCode.OK
        )
        assert status_of(world.make_call("optional", "billing", method)) == FORBIDDEN

    def test_no_authorization_allows_every_call(self, world, method):
        """Without an `authorization` block every call is allowed; `validate` warns."""
        world.enforce(None)
        for listener, client in [("plain", "anonymous"), ("required", "dev")]:
            assert world.make_call(listener, client, method).code is grpc.StatusCode.OK


MATCHERS = {
    "spiffe": "spiffe://corp.example/billing",
    "uri": "spiffe://corp.example/*",
    "dns": "*.corp.example",
    "email": "billing@corp.example",
    "ip": "10.1.2.3",
    "common_name": "billing",
    "organizational_unit": "Ops",
    "subject": "CN=billing,OU=Ops,O=Corp",
}


class TestNames:
    """Names allow only if they were verified; deny rules match unverified ones too."""

    def made(self, world, clients, effect):
        """Return the status by kind of name, listener and client.

        For all kinds over the same connections: the rules change, the names stay.
        """
        made = {}
        with ExitStack() as stack:
            channels = {
                (listener, client): stack.enter_context(world.channel(listener, client))
                for listener in ("lenient", "lenient-ca", "required", "required-ca")
                for client in clients
            }
            for kind, name in MATCHERS.items():
                world.enforce(one_rule(["named"], effect), {"named": {kind: name}})
                for (listener, client), channel in channels.items():
                    answer = make_call(channel, KINDS["unary"], b"")
                    made[kind, listener, client] = status_of(answer)
        return made

    def test_claimed_name_allows_nothing(self, world):
        """No name matcher allows an unverified certificate."""
        made = self.made(world, ("pretender", "billing"), "allow")
        assert made == {
            (kind, listener, client): (grpc.StatusCode.OK, "")
            if client == "billing" and listener.endswith("-ca")
            else UNKNOWN
            for kind, listener, client in made
        }

    def test_claimed_name_denies(self, world):
        """An unverified certificate does not get its client around a deny rule."""
        made = self.made(world, ("pretender", "billing", "dev"), "deny")
        assert made == {
            (kind, listener, client): (grpc.StatusCode.OK, "")
            if client == "dev"
            else FORBIDDEN
            if client == "billing" and listener.endswith("-ca")
            else UNKNOWN
            for kind, listener, client in made
        }


#: Paths of methods that are not served, as far as grpcio's client can send them.
PATHS = (
    f"{GREETER}/Nope",
    "/no.Such/Method",
    "/",
    "//",
    "///",
    f"/{GREETER}/SayHello",
    f"{GREETER}//SayHello",
    f"{GREETER}/SayHello/",
    f"{GREETER}/../Greeter/SayHello",
    f"{GREETER}/./SayHello",
    "/A/../B",
    "/helloworld%2EGreeter/SayHello",
    "/helloworld.Greeter%2FSayHello",
    f"{GREETER}/Say%48ello",
    f"{GREETER}/SayHello%00",
    f"{GREETER}/sayhello",
    "/HELLOWORLD.GREETER/SAYHELLO",
    f"{GREETER}/SayHello?x=1",
    f"{GREETER}/SayHello#x",
    f"{GREETER}/SayHello ",
    f"{GREETER}/S\u0430yHello",  # a Cyrillic letter
    f"{GREETER}/*",
    "/*",
    f"{GREETER}/{'a' * 7000}",
)


class TestUnknownMethods:
    """Methods that are not served, and paths that name no method."""

    @pytest.mark.parametrize(
        ("listener", "client"), [("plain", "anonymous"), ("mutual", "billing")]
    )
    def test_is_denied_by_default(self, world, listener, client):
        """A caller that the default denies cannot find out which methods exist.

        Allow rules do not apply to a method that does not exist.
        """
        denied = UNKNOWN if listener == "plain" else FORBIDDEN
        with world.channel(listener, client) as channel:
            for authorization, status in (
                (one_rule(["anyone"], methods=["*"]), denied),
                (ALLOW_ALL, NOT_FOUND),
            ):
                world.enforce(authorization)
                answers = {p: status_of(make_call(channel, p, b"")) for p in PATHS}
                assert answers == dict.fromkeys(PATHS, status)
                # The served method itself is found.
                made = make_call(channel, KINDS["unary"], b"")
                assert made.code is grpc.StatusCode.OK

    def test_deny_rules_count(self, world):
        """Deny rules come before the default, also for methods that do not exist."""
        world.enforce(one_rule(["anonymous"], "deny", [f"{GREETER}/*"]))
        for path in (f"{GREETER}/Nope", f"{GREETER}//", f"{GREETER}/../x/y"):
            assert status_of(world.make_call("plain", "anonymous", path)) == UNKNOWN
            assert status_of(world.make_call("mutual", "billing", path)) == NOT_FOUND
        assert (
            status_of(world.make_call("plain", "anonymous", "/other/Nope")) == NOT_FOUND
        )

    def test_answer_does_not_wait_for_a_message(self, world):
        """Neither the denial nor grpcio's own answer waits for a message."""
        for rules, status in ((DENY_ALL, UNKNOWN), (ALLOW_ALL, NOT_FOUND)):
            world.enforce(rules)
            with world.channel("plain") as channel:
                assert (
                    status_of(make_call(channel, "/no.Such/Method", ends=False))
                    == status
                )

    def test_interceptors_run_only_for_allowed_calls(self, world):
        """An interceptor may answer for a method that is not served, as in grpcio."""
        world.enforce(DENY_ALL)
        world.make_call("plain", "anonymous", "/no.Such/Method")
        assert entered() == []
        world.enforce(ALLOW_ALL)
        world.make_call("plain", "anonymous", "/no.Such/Method")
        assert entered() in ([], ["asked for /no.Such/Method"])


class TestBuiltIn:
    """The rules hold for health and reflection as for any other service."""

    @pytest.mark.parametrize("path", BUILT_IN, ids=lambda path: path.split("/")[1])
    def test_denied(self, world, path):
        """No built-in rule allows health or reflection."""
        world.enforce(one_rule(["verified"]))
        answer = world.make_call("plain", "anonymous", path, BUILT_IN[path])
        assert status_of(answer) == UNKNOWN
        with world.channel("plain") as channel:
            assert status_of(make_call(channel, path, ends=False)) == UNKNOWN

    def test_health_only(self, world):
        """A rule for the health service allows health checks and nothing else."""
        world.enforce(one_rule(["anyone"], methods=["/grpc.health.v1.Health/*"]))
        answer = world.make_call("plain", "anonymous", CHECK)
        [message] = answer.messages
        status = HealthCheckResponse.FromString(message).status
        assert status == HealthCheckResponse.SERVING
        assert (
            status_of(world.make_call("plain", "anonymous", REFLECT, LIST)) == UNKNOWN
        )
        assert (
            status_of(world.make_call("plain", "anonymous", KINDS["unary"])) == UNKNOWN
        )

    def test_watch(self, world):
        """An allowed watch sends the status at once and stays open."""
        world.enforce(one_rule(["anyone"], methods=[WATCH]))
        with world.channel("plain") as channel:
            call = channel.unary_stream(WATCH)(b"", timeout=10)
            status = HealthCheckResponse.FromString(next(call)).status
            assert status == HealthCheckResponse.SERVING
            assert call.is_active()
            call.cancel()

    @pytest.mark.parametrize("path", [REFLECT, REFLECT_V1])
    def test_reflection(self, world, path):
        """Allowed reflection answers under v1alpha and v1, which clients try first."""
        world.enforce(one_rule(["anyone"], methods=["/grpc.reflection.*"]))
        answer = world.make_call("plain", "anonymous", path, LIST)
        assert answer.code is grpc.StatusCode.OK
        assert b"helloworld.Greeter" in answer.messages[0]


class TestListeners:
    """Rules that apply to some listeners only."""

    def test_allow(self, world, method):
        """An allow rule allows on its own listeners only."""
        world.enforce(one_rule(["verified"], listeners=["mutual"]))
        assert world.make_call("mutual", "billing", method).code is grpc.StatusCode.OK
        assert status_of(world.make_call("grpc-mutual", "billing", method)) == FORBIDDEN

    def test_deny(self, world, method):
        """A deny rule denies on its own listeners only."""
        world.enforce(one_rule(["anyone"], "deny", listeners=["plain", "optional"]))
        assert status_of(world.make_call("plain", "anonymous", method)) == UNKNOWN
        assert status_of(world.make_call("optional", "billing", method)) == FORBIDDEN
        assert world.make_call("mutual", "billing", method).code is grpc.StatusCode.OK


class TestMetadata:
    """Rules with conditions on the metadata of a call."""

    @pytest.mark.parametrize(
        ("sent", "is_allowed", "is_denied"),
        [
            ((), False, False),
            ((("x-env", "prod"),), True, True),
            ((("x-env", "stage"),), True, True),
            ((("x-env", "dev"),), False, False),
            ((("x-env", "prod"), ("x-env", "stage")), True, True),
            ((("x-env", "prod"), ("x-env", "dev")), False, True),
            ((("x-env", "dev"), ("x-env", "prod")), False, True),
            ((("x-env", "Prod"),), False, False),
            ((("x-env", "prod, dev"),), False, False),
            ((("x-env", ""),), False, False),
            ((("x-env-bin", b"prod"),), False, False),
        ],
        ids=str,
    )
    def test_every_value_allows_and_any_denies(
        self, world, sent, is_allowed, is_denied
    ):
        """Allow rules need every value to match, deny rules one.

        So a client cannot gain access by sending more values.
        """
        condition = {"x-env": ["prod", "stage"]}
        world.enforce(one_rule(metadata=condition))
        answer = world.make_call("plain", "anonymous", KINDS["unary"], metadata=sent)
        assert status_of(answer) == (
            (grpc.StatusCode.OK, "") if is_allowed else UNKNOWN
        )
        world.enforce(one_rule(effect="deny", metadata=condition))
        answer = world.make_call("mutual", "billing", KINDS["unary"], metadata=sent)
        assert status_of(answer) == (
            FORBIDDEN if is_denied else (grpc.StatusCode.OK, "")
        )

    def test_every_key_must_match(self, world, method):
        """A rule with several keys applies only if every key matches."""
        condition = {"x-env": ["prod"], "x-team": ["a", "b"]}
        world.enforce(one_rule(metadata=condition))
        for sent, is_allowed in (
            ((("x-env", "prod"), ("x-team", "b")), True),
            ((("x-env", "prod"),), False),
            ((("x-env", "prod"), ("x-team", "c")), False),
        ):
            answer = world.make_call("plain", "anonymous", method, metadata=sent)
            assert (answer.code is grpc.StatusCode.OK) is is_allowed

    @pytest.mark.parametrize("listener", ["plain", "mutual"])
    def test_binary_keys(self, world, method, listener):
        """Values of `-bin` keys are compared as bytes, on every engine."""
        world.enforce(one_rule(metadata={"x-token-bin": ["AAEC", "/w"]}))
        for sent, is_allowed in (
            (b"\0\1\2", True),
            (b"\xff", True),
            (b"AAEC", False),
            (b"", False),
        ):
            metadata = (("x-token-bin", sent),)
            answer = world.make_call(listener, "billing", method, metadata=metadata)
            assert (answer.code is grpc.StatusCode.OK) is is_allowed

    def test_reserved_headers_are_not_metadata(self, world):
        """Headers that gRPC reserves, such as `user-agent`, meet no condition."""
        world.enforce(one_rule(metadata={"user-agent": ["prod"]}))
        answer = world.make_call(
            "plain", "anonymous", KINDS["unary"], metadata=(("user-agent", "prod"),)
        )
        assert status_of(answer) == UNKNOWN


def shadows(caplog):
    """Return the audit events that carry the decision of a shadow rule."""
    return [
        (r.getMessage(), r.decision, r.rule, r.shadow_decision, r.shadow_rule)
        for r in caplog.records
        if r.name == "grpcsecure.audit" and hasattr(r, "shadow_rule")
    ]


class TestShadow:
    """Rules with `enforce: false`, which only report."""

    def test_deny_denies_nothing(self, world, method, caplog):
        """A shadow deny rule reports that it would have denied an allowed call."""
        caplog.set_level(logging.INFO, "grpcsecure.audit")
        rules = one_rule(["verified"], "deny", enforce=False)
        rules["audit"] = "denials"
        world.enforce(rules)
        assert world.make_call("mutual", "billing", method).code is grpc.StatusCode.OK
        eventually(lambda: shadows(caplog))
        assert shadows(caplog) == [("call.allowed", "allow", "default", "deny", "it")]

    def test_allow_allows_nothing(self, world, method, caplog):
        """A shadow allow rule reports that it would have allowed a denied call."""
        world.enforce(one_rule(["verified"], enforce=False))
        assert status_of(world.make_call("mutual", "billing", method)) == FORBIDDEN
        eventually(lambda: shadows(caplog))
        assert shadows(caplog) == [("call.denied", "deny", "default", "allow", "it")]

    def test_full_detail_does_not_mention_it(self, world, method):
        """A shadow rule is never given as the reason of a denial."""
        world.enforce(one_rule(["anyone"], enforce=False), error_detail="full")
        answer = world.make_call("mutual", "stranger", method)
        assert answer.details == (
            "not authorized: no rule allows it (known as CN=stranger)"
        )
