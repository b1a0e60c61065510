"""Who is let in and what the others are told: on the wire, in every runtime and engine.

Each server runs with and without interceptors of the user's: the calls take different
ways then, and the answers have to be the same.
"""

from __future__ import annotations

import logging

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
    knock,
    serve,
)

UNKNOWN = (grpc.StatusCode.UNAUTHENTICATED, "not authenticated")
FORBIDDEN = (grpc.StatusCode.PERMISSION_DENIED, "not authorized")
NOT_FOUND = (grpc.StatusCode.UNIMPLEMENTED, "Method not found!")

NOBODY = {"default": "deny"}
EVERYBODY = {"default": "allow"}

WATCH = "/grpc.health.v1.Health/Watch"
CHECK = "/grpc.health.v1.Health/Check"
REFLECT = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
REFLECT_V1 = REFLECT.replace("v1alpha", "v1")
LIST = ServerReflectionRequest(list_services="*").SerializeToString()

#: A request for each method that comes with the server.
BUILT_IN = {
    CHECK: HealthCheckRequest().SerializeToString(),
    WATCH: HealthCheckRequest().SerializeToString(),
    REFLECT: LIST,
    REFLECT_V1: LIST,
}


@pytest.fixture(scope="module", params=RUNTIMES)
def runtime(request):
    """What runs the methods."""
    return request.param


@pytest.fixture(scope="module", params=[False, True], ids=["", "interceptors"])
def world(request, runtime, tmp_path_factory):
    """A server that has every kind of listener."""
    interceptors = [RUNTIMES[runtime][2]()] if request.param else []
    folder = tmp_path_factory.mktemp("world")
    ca = authority("test CA")
    with serve(folder, ca, runtime, interceptors=interceptors) as world:
        yield world


@pytest.fixture(autouse=True)
def _nothing_entered():
    """Forget what other tests entered."""
    entered()


@pytest.fixture(params=KINDS)
def method(request):
    """A method of each of the four kinds."""
    return KINDS[request.param]


def told(answer):
    """Return the status of an answer."""
    return answer.code, answer.details


def one_rule(identities=("anyone",), effect="allow", methods=("*",), **options):
    """Return an `authorization` block with one rule; the default is the contrary."""
    rule = {effect: list(identities), "methods": list(methods), **options}
    default = "deny" if effect == "allow" else "allow"
    return {"default": default, "rules": {"it": rule}}


def identities(world):
    """Return one identity for each way to name the clients."""
    return {
        "billing": {"spiffe": "spiffe://corp.example/billing"},
        "device": {"fingerprint": fingerprint(world.people["device"])},
    }


NOT_CHECKED = "certificate not trusted"
SELF_SIGNED = "certificate not trusted: self-signed certificate"

#: Listener, client, the status, and the reason for those that may know.
DENIALS = [
    ("plain", "anonymous", UNKNOWN, "no client certificate"),
    ("grpc-open", "anonymous", UNKNOWN, "no client certificate"),
    ("open", "anonymous", UNKNOWN, "no client certificate"),
    # A certificate that nobody asked for makes nobody of its owner.
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
    # Without a client CA nobody is verified, whoever signed.
    ("lenient", "stranger", UNKNOWN, NOT_CHECKED),
    ("required", "billing", UNKNOWN, NOT_CHECKED),
    ("lenient-ca", "dev", UNKNOWN, f"{SELF_SIGNED}, CN=dev"),
    ("required-ca", "dev", UNKNOWN, f"{SELF_SIGNED}, CN=dev"),
    ("lenient-ca", "pretender", UNKNOWN, f"{SELF_SIGNED}, CN=billing,OU=Ops,O=Corp"),
    # A registered one is known.
    ("lenient", "device", FORBIDDEN, "no rule allows it"),
    ("required", "device", FORBIDDEN, "no rule allows it"),
    ("required-ca", "device", FORBIDDEN, "no rule allows it"),
]


class TestDenied:
    """What a caller is told that is not let in."""

    @pytest.mark.parametrize(
        ("listener", "client", "status", "reason"),
        DENIALS,
        ids=[f"{client} on {listener}" for listener, client, *_ in DENIALS],
    )
    def test_status_says_known_or_not(self, world, listener, client, status, reason):
        """The text is constant; the reason is there with `error_detail: full` only."""
        world.enforce(NOBODY, identities(world))
        answers = {
            told(world.knock(listener, client, method)) for method in KINDS.values()
        }
        assert answers == {status}
        world.enforce(NOBODY, identities(world), error_detail="full")
        answers = {
            told(world.knock(listener, client, method)) for method in KINDS.values()
        }
        [(code, details)] = answers
        assert code is status[0]
        assert details.startswith(f"{status[1]}: {reason}")
        assert entered() == []

    def test_rule_that_denies_is_named_to_those_who_may_know(self, world, method):
        """With `error_detail: full` the caller learns which rule was in the way."""
        rules = one_rule(["verified"], "deny", ["/helloworld.Greeter/*"])
        world.enforce(rules, error_detail="full")
        assert told(world.knock("mutual", "stranger", method)) == (
            grpc.StatusCode.PERMISSION_DENIED,
            "not authorized: rule `it` denies it (known as CN=stranger)",
        )
        world.enforce(rules)
        assert told(world.knock("mutual", "stranger", method)) == FORBIDDEN

    def test_nothing_came_along(self, world, method):
        """A denial has no messages, and no metadata of ours."""
        world.enforce(NOBODY)
        with world.channel("grpc-mutual", "stranger") as channel:
            call = channel.stream_stream(method)(iter([b""]), timeout=10)
            with pytest.raises(grpc.RpcError):
                next(call)
            assert call.initial_metadata() == ()
            assert call.trailing_metadata() == ()

    @pytest.mark.parametrize("listener", ["plain", "grpc-mutual", "mutual"])
    def test_answer_does_not_wait_for_a_message(self, world, method, listener):
        """A client that opens a call and never says a word hears its denial."""
        world.enforce(NOBODY)
        with world.channel(listener, "stranger") as channel:
            answer = knock(channel, method, ends=False)
        assert told(answer) == (UNKNOWN if listener == "plain" else FORBIDDEN)
        assert entered() == []

    @pytest.mark.parametrize("listener", ["plain", "mutual"])
    def test_message_is_not_looked_at(self, world, method, listener, caplog):
        """What is no message of the method, or too large, is denied as any other."""
        world.enforce(NOBODY)
        with world.channel(listener, "stranger") as channel:
            answers = {
                told(knock(channel, method, b"\xff\xff")),
                told(knock(channel, method, b"\xff" * 100_000)),
                told(knock(channel, method)),
                told(knock(channel, method, b"", b"", b"")),
            }
        assert answers == {UNKNOWN if listener == "plain" else FORBIDDEN}
        assert entered() == []
        assert [r for r in caplog.records if r.name != "grpcsecure.audit"] == []

    def test_the_next_call_may_be_allowed(self, world, method):
        """Denials leave the connection as it was."""
        world.enforce(one_rule(["anyone"], "deny", [method]))
        with world.channel("mutual", "billing") as channel:
            assert told(knock(channel, method, b"")) == FORBIDDEN
            for other in set(KINDS.values()) - {method}:
                assert knock(channel, other, b"").code is grpc.StatusCode.OK
            assert told(knock(channel, method, b"")) == FORBIDDEN
        assert method not in {f"{GREETER}/{name}" for name in entered()}


class TestAllowed:
    """What a caller gets that is let in."""

    @pytest.mark.parametrize(
        "listener", ["grpc-mutual", "mutual", "optional", "lenient-ca", "required-ca"]
    )
    def test_verified_peer_by_name(self, world, method, listener):
        """A verified client is let in by its name, and the servicer hears the name."""
        world.enforce(one_rule(["billing"]), identities(world))
        answer = world.knock(listener, "billing", method)
        assert answer.code is grpc.StatusCode.OK
        messages = [HelloReply.FromString(each).message for each in answer.messages]
        assert messages == ["billing"]
        assert method.endswith(entered()[-1])
        assert told(world.knock(listener, "stranger", method)) == FORBIDDEN

    @pytest.mark.parametrize(
        "listener", ["lenient", "lenient-ca", "required", "required-ca"]
    )
    def test_registered_certificate(self, world, method, listener):
        """A self-signed certificate is let in if it is registered, and no other."""
        world.enforce(one_rule(["device"]), identities(world))
        answer = world.knock(listener, "device", method)
        assert answer.code is grpc.StatusCode.OK
        messages = [HelloReply.FromString(each).message for each in answer.messages]
        assert messages == ["device"]
        assert told(world.knock(listener, "dev", method)) == UNKNOWN

    def test_anonymous_by_rule(self, world, method):
        """Where a rule says so, nobody has to be known; others are not meant by it."""
        world.enforce(one_rule(["anonymous"]))
        assert world.knock("plain", "anonymous", method).code is grpc.StatusCode.OK
        assert world.knock("optional", "anonymous", method).code is grpc.StatusCode.OK
        assert told(world.knock("optional", "billing", method)) == FORBIDDEN

    def test_no_authorization_lets_everybody_in(self, world, method):
        """Without the block every call is allowed, as `validate` warns."""
        world.enforce(None)
        for listener, client in [("plain", "anonymous"), ("required", "dev")]:
            assert world.knock(listener, client, method).code is grpc.StatusCode.OK


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


@pytest.mark.parametrize("kind", MATCHERS)
class TestNames:
    """Names count as true where they were verified, and against their owner always."""

    def test_claimed_name_allows_nothing(self, world, kind):
        """No name matcher lets a certificate in that nobody vouches for."""
        world.enforce(one_rule(["named"]), {"named": {kind: MATCHERS[kind]}})
        made = {
            (listener, client): told(world.knock(listener, client, KINDS["unary"]))
            for listener in ("lenient", "lenient-ca", "required", "required-ca")
            for client in ("pretender", "billing")
        }
        expected = dict.fromkeys(made, UNKNOWN)
        for listener in ("lenient-ca", "required-ca"):
            expected[listener, "billing"] = (grpc.StatusCode.OK, "")
        assert made == expected

    def test_claimed_name_denies(self, world, kind):
        """A worse certificate is no way around a deny rule."""
        world.enforce(one_rule(["named"], "deny"), {"named": {kind: MATCHERS[kind]}})
        made = {
            (listener, client): told(world.knock(listener, client, KINDS["unary"]))
            for listener in ("lenient", "lenient-ca", "required", "required-ca")
            for client in ("pretender", "billing", "dev")
        }
        expected = {
            (listener, client): (grpc.StatusCode.OK, "")
            if client == "dev"
            else FORBIDDEN
            if client == "billing" and listener.endswith("-ca")
            else UNKNOWN
            for listener, client in made
        }
        assert made == expected


#: Paths that grpcio's client can send, of methods that nobody serves.
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
    """Methods that nobody serves, and paths that are none."""

    @pytest.mark.parametrize("path", PATHS, ids=lambda path: path[:40])
    @pytest.mark.parametrize(
        ("listener", "client"), [("plain", "anonymous"), ("mutual", "billing")]
    )
    def test_is_denied_by_default(self, world, path, listener, client):
        """Who the default does not let through is not told what there is.

        Rules that allow do not count: none of them is for a method that is not there.
        """
        rules = one_rule(["anyone"], methods=["*"])
        world.enforce(rules)
        answer = world.knock(listener, client, path)
        assert told(answer) == (UNKNOWN if listener == "plain" else FORBIDDEN)
        world.enforce(EVERYBODY)
        assert told(world.knock(listener, client, path)) == NOT_FOUND
        # The very method is there.
        assert world.knock(listener, client, KINDS["unary"]).code is grpc.StatusCode.OK

    def test_deny_rules_count(self, world):
        """They are asked first, also about what is not there."""
        world.enforce(one_rule(["anonymous"], "deny", [f"{GREETER}/*"]))
        for path in (f"{GREETER}/Nope", f"{GREETER}//", f"{GREETER}/../x/y"):
            assert told(world.knock("plain", "anonymous", path)) == UNKNOWN
            assert told(world.knock("mutual", "billing", path)) == NOT_FOUND
        assert told(world.knock("plain", "anonymous", "/other/Nope")) == NOT_FOUND

    def test_answer_does_not_wait_for_a_message(self, world):
        """Neither the denial nor grpcio's own answer."""
        for rules, status in ((NOBODY, UNKNOWN), (EVERYBODY, NOT_FOUND)):
            world.enforce(rules)
            with world.channel("plain") as channel:
                assert told(knock(channel, "/no.Such/Method", ends=False)) == status

    def test_interceptors_hear_of_it_only_if_it_is_let_through(self, world):
        """As in grpcio they may answer for methods that nobody serves."""
        world.enforce(NOBODY)
        world.knock("plain", "anonymous", "/no.Such/Method")
        assert entered() == []
        world.enforce(EVERYBODY)
        world.knock("plain", "anonymous", "/no.Such/Method")
        assert entered() in ([], ["asked for /no.Such/Method"])


class TestBuiltIn:
    """Health and reflection obey the rules as any other service does."""

    @pytest.mark.parametrize("path", BUILT_IN, ids=lambda path: path.split("/")[1])
    def test_denied(self, world, path):
        """They have no rule of their own."""
        world.enforce(one_rule(["verified"]))
        answer = world.knock("plain", "anonymous", path, BUILT_IN[path])
        assert told(answer) == UNKNOWN
        with world.channel("plain") as channel:
            assert told(knock(channel, path, ends=False)) == UNKNOWN

    def test_health_only(self, world):
        """A rule for health opens health."""
        world.enforce(one_rule(["anyone"], methods=["/grpc.health.v1.Health/*"]))
        answer = world.knock("plain", "anonymous", CHECK)
        [message] = answer.messages
        status = HealthCheckResponse.FromString(message).status
        assert status == HealthCheckResponse.SERVING
        assert told(world.knock("plain", "anonymous", REFLECT, LIST)) == UNKNOWN
        assert told(world.knock("plain", "anonymous", KINDS["unary"])) == UNKNOWN

    def test_watch(self, world):
        """A watch that is let in says the status at once, and goes on."""
        world.enforce(one_rule(["anyone"], methods=[WATCH]))
        with world.channel("plain") as channel:
            call = channel.unary_stream(WATCH)(b"", timeout=10)
            status = HealthCheckResponse.FromString(next(call)).status
            assert status == HealthCheckResponse.SERVING
            assert call.is_active()
            call.cancel()

    @pytest.mark.parametrize("path", [REFLECT, REFLECT_V1])
    def test_reflection(self, world, path):
        """Reflection that is let in answers, under the name that clients try first."""
        world.enforce(one_rule(["anyone"], methods=["/grpc.reflection.*"]))
        answer = world.knock("plain", "anonymous", path, LIST)
        assert answer.code is grpc.StatusCode.OK
        assert b"helloworld.Greeter" in answer.messages[0]


class TestListeners:
    """Rules that hold on some listeners."""

    def test_allow(self, world, method):
        """It lets in on its own listeners."""
        world.enforce(one_rule(["verified"], listeners=["mutual"]))
        assert world.knock("mutual", "billing", method).code is grpc.StatusCode.OK
        assert told(world.knock("grpc-mutual", "billing", method)) == FORBIDDEN

    def test_deny(self, world, method):
        """It keeps out on its own listeners."""
        world.enforce(one_rule(["anyone"], "deny", listeners=["plain", "optional"]))
        assert told(world.knock("plain", "anonymous", method)) == UNKNOWN
        assert told(world.knock("optional", "billing", method)) == FORBIDDEN
        assert world.knock("mutual", "billing", method).code is grpc.StatusCode.OK


class TestMetadata:
    """Rules that look at what a call carries."""

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
        """A client cannot widen an allow or escape a deny by sending more."""
        condition = {"x-env": ["prod", "stage"]}
        world.enforce(one_rule(metadata=condition))
        answer = world.knock("plain", "anonymous", KINDS["unary"], metadata=sent)
        assert told(answer) == ((grpc.StatusCode.OK, "") if is_allowed else UNKNOWN)
        world.enforce(one_rule(effect="deny", metadata=condition))
        answer = world.knock("mutual", "billing", KINDS["unary"], metadata=sent)
        assert told(answer) == (FORBIDDEN if is_denied else (grpc.StatusCode.OK, ""))

    def test_every_key_must_match(self, world, method):
        """Of several keys one alone opens nothing."""
        condition = {"x-env": ["prod"], "x-team": ["a", "b"]}
        world.enforce(one_rule(metadata=condition))
        for sent, is_allowed in (
            ((("x-env", "prod"), ("x-team", "b")), True),
            ((("x-env", "prod"),), False),
            ((("x-env", "prod"), ("x-team", "c")), False),
        ):
            answer = world.knock("plain", "anonymous", method, metadata=sent)
            assert (answer.code is grpc.StatusCode.OK) is is_allowed

    @pytest.mark.parametrize("listener", ["plain", "mutual"])
    def test_binary_keys(self, world, method, listener):
        """The values of `-bin` keys are bytes, however they travel."""
        world.enforce(one_rule(metadata={"x-token-bin": ["AAEC", "/w"]}))
        for sent, is_allowed in (
            (b"\0\1\2", True),
            (b"\xff", True),
            (b"AAEC", False),
            (b"", False),
        ):
            metadata = (("x-token-bin", sent),)
            answer = world.knock(listener, "billing", method, metadata=metadata)
            assert (answer.code is grpc.StatusCode.OK) is is_allowed

    def test_pseudo_headers_are_no_metadata(self, world):
        """What HTTP/2 and gRPC carry for themselves cannot be asked for, nor forged."""
        world.enforce(one_rule(metadata={"user-agent": ["prod"]}))
        answer = world.knock(
            "plain", "anonymous", KINDS["unary"], metadata=(("user-agent", "prod"),)
        )
        assert told(answer) == UNKNOWN


def shadows(caplog):
    """Return what was said of rules that only report."""
    return [
        (r.getMessage(), r.decision, r.rule, r.shadow_decision, r.shadow_rule)
        for r in caplog.records
        if r.name == "grpcsecure.audit" and hasattr(r, "shadow_rule")
    ]


class TestShadow:
    """Rules with `enforce: false`."""

    def test_deny_denies_nothing(self, world, method, caplog):
        """It says what it would have done."""
        caplog.set_level(logging.INFO, "grpcsecure.audit")
        rules = one_rule(["verified"], "deny", enforce=False)
        rules["audit"] = "denials"
        world.enforce(rules)
        assert world.knock("mutual", "billing", method).code is grpc.StatusCode.OK
        eventually(lambda: shadows(caplog))
        assert shadows(caplog) == [("call.allowed", "allow", "default", "deny", "it")]

    def test_allow_allows_nothing(self, world, method, caplog):
        """It says what it would have done."""
        world.enforce(one_rule(["verified"], enforce=False))
        assert told(world.knock("mutual", "billing", method)) == FORBIDDEN
        eventually(lambda: shadows(caplog))
        assert shadows(caplog) == [("call.denied", "deny", "default", "allow", "it")]

    def test_full_detail_does_not_tell_of_it(self, world, method):
        """A rule that does not decide is no reason."""
        world.enforce(one_rule(["anyone"], enforce=False), error_detail="full")
        answer = world.knock("mutual", "stranger", method)
        assert answer.details == (
            "not authorized: no rule allows it (known as CN=stranger)"
        )
