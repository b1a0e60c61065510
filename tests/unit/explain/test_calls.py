"""One call: the verdict, what it rests on, and why each rule did not match."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from support.certificates import CLIENT
from support.explaining import ANYBODY, CONFIG, HELLO, ask, caller, tls

from grpcsecure.explain.calls import Basis
from grpcsecure.explain.query_subject import QuerySubject
from grpcsecure.model.authorization import Criterion, Effect, Matcher, MatcherKind
from grpcsecure.tls.certificate import parse_certificate, parse_pem_certificates

NOW = datetime.now(timezone.utc)

#: A listener that lets everybody in, and one in plaintext for health.
MORE = f"""\
  lenient: {{address: '127.0.0.1:0', {tls("request_but_dont_verify")}}}
  blind: {{address: '127.0.0.1:0', {tls("require_but_dont_verify", client_ca=False)}}}
  plain:
    address: 127.0.0.1:0
    plaintext: true
    services: [grpc.health.v1.Health]
"""

RULES = """\
identities:
  shop: {spiffe: "spiffe://grpcsecure.test/client"}
  ops: {organizational_unit: Ops, dns: "*.corp.test"}
  ci: [{dns: "*.ci.corp.test"}, {email: ci@corp.test}]
  laptop: {fingerprint: "sha256:PRINT"}
authorization:
  rules:
    hello: {allow: [shop], methods: ["/helloworld.Greeter/SayHello"]}
    many: {allow: [ops, ci], methods: ["/helloworld.Greeter/SayHelloMany*"]}
    health: {allow: [anyone], methods: ["/grpc.health.v1.Health/*"]}
    no-ci: {deny: [ci], methods: ["/helloworld.Greeter/*"], listeners: [public]}
    env:
      allow: [ops]
      methods: ["/helloworld.Greeter/Chat"]
      metadata: {x-env: [test, stage]}
    soon: {allow: [verified], methods: ["*/SayHelloToAll"], enforce: false}
""".replace("PRINT", ":".join(["0f"] * 32))

WHOLE = CONFIG + MORE + RULES


def certificate(folder, name):
    """Return who has the certificate of a file below `certs`."""
    pem = (folder / "certs" / name).read_bytes()
    leaf, *chain = parse_pem_certificates(pem)
    return QuerySubject(
        file=name, certificate=parse_certificate(leaf), chain=tuple(chain)
    )


def only(explanation):
    """Return the verdict of an explanation that has one."""
    (verdict,) = explanation.verdicts
    return verdict


def words(verdict):
    """Return what the trace says, by rule."""
    return {step.rule.name: step.words for step in verdict.steps}


class TestVerdict:
    """What decided, and where it is written."""

    def test_a_rule_allows(self, scene):
        """The rule that matched first is named, with its line."""
        verdict = only(
            ask(
                scene(WHOLE),
                caller(spiffe="spiffe://grpcsecure.test/client"),
                listener="public",
            )
        )
        assert (verdict.effect, verdict.basis) == (Effect.ALLOW, Basis.RULE)
        assert verdict.rule.name == "hello"
        line = WHOLE.splitlines()[verdict.place.line - 1]
        assert line.strip().startswith("hello:")
        assert verdict.status == "OK"

    def test_the_default_denies(self, scene):
        """Without a rule it is the default, in the line of `authorization`."""
        verdict = only(ask(scene(WHOLE), caller(dns="x.test"), listener="public"))
        assert (verdict.effect, verdict.basis) == (Effect.DENY, Basis.DEFAULT)
        line = WHOLE.splitlines()[verdict.place.line - 1]
        assert line == "authorization:"
        assert verdict.status == "PERMISSION_DENIED"

    def test_the_handshake_refuses(self, scene):
        """Who never gets in is denied by the mode, in its line, and told nothing."""
        verdict = only(ask(scene(WHOLE), ANYBODY, listener="public"))
        assert (verdict.effect, verdict.basis) == (Effect.DENY, Basis.HANDSHAKE)
        assert verdict.caller.state == "refused"
        assert verdict.status is None
        assert not verdict.steps
        assert verdict.place.line == 5

    def test_without_rules_everything_is_allowed(self, scene):
        """A config without `authorization` allows, and the basis says so."""
        verdict = only(ask(scene(CONFIG), caller(dns="x.test")))
        assert (verdict.effect, verdict.basis) == (Effect.ALLOW, Basis.NO_RULES)

    def test_strangers_are_unauthenticated(self, scene):
        """Who is nobody is told to say who it is, as on the wire."""
        verdict = only(ask(scene(WHOLE), ANYBODY, listener="lenient"))
        assert verdict.status == "UNAUTHENTICATED"

    def test_shadow_rules_are_told(self, scene):
        """What enforcing would change is part of the answer."""
        verdict = only(
            ask(
                scene(WHOLE),
                caller(dns="x.test"),
                "/helloworld.Greeter/SayHelloToAll",
                listener="public",
            )
        )
        assert verdict.effect is Effect.DENY
        assert verdict.shadow.effect is Effect.ALLOW
        assert verdict.shadow.rule.name == "soon"
        assert "is not enforced" in words(verdict)["soon"]


class TestListeners:
    """Without one that is named, it is each that serves the method."""

    def test_every_listener_that_serves_the_method(self, scene):
        """One verdict each; one that denies is enough for a denial."""
        explanation = ask(scene(WHOLE), ANYBODY, "/grpc.health.v1.Health/Check")
        assert [
            (one.listener.name, one.effect.value) for one in explanation.verdicts
        ] == [
            ("public", "deny"),
            ("lenient", "allow"),
            ("blind", "deny"),
            ("plain", "allow"),
        ]
        assert not explanation.is_allowed

    def test_a_listener_that_does_not_serve_the_method(self, scene):
        """There the method does not exist, and no allow rule opens it."""
        verdict = only(ask(scene(WHOLE), ANYBODY, listener="plain"))
        assert not verdict.exists

    def test_unknown_method(self, scene):
        """It is asked about on all listeners, and the nearest is named."""
        explanation = ask(scene(WHOLE), ANYBODY, "/helloworld.Greeter/SayHelo")
        assert len(explanation.verdicts) == 4
        assert not any(one.exists for one in explanation.verdicts)
        assert explanation.meant == HELLO

    def test_name_without_its_service(self, scene):
        """A method's bare name is enough to guess from, if one service has it."""
        assert ask(scene(WHOLE), ANYBODY, "Chat").meant == "/helloworld.Greeter/Chat"

    def test_no_services(self, scene):
        """Where nobody asked the services, every method exists."""
        explanation = ask(
            scene(WHOLE, with_services=False),
            caller(spiffe="spiffe://grpcsecure.test/client"),
            "/helloworld.Greeter/Nothing",
        )
        assert not explanation.knows_methods
        assert all(one.exists for one in explanation.verdicts)

    def test_allow_rules_open_nothing_that_is_not_there(self, scene):
        """The trace says so, rule by rule."""
        text = WHOLE.replace('"*/SayHelloToAll"], enforce: false', '"*"]')
        verdict = only(
            ask(scene(text), caller(dns="x.test"), "/a.B/C", listener="public")
        )
        assert "no method that does not exist" in words(verdict)["soon"]


class TestCertificates:
    """What a listener makes of the certificate of a file."""

    def test_verified(self, scene, folder):
        """Which file verified it, and how long it still counts."""
        verdict = only(
            ask(scene(WHOLE), certificate(folder, "client.pem"), listener="public")
        )
        assert verdict.caller.state == "verified"
        assert verdict.caller.words == (
            "certificate client.pem: verified by certs/ca.pem"
        )
        assert verdict.caller.expiry.startswith("expires in 29 days (")
        assert verdict.caller.identities == ("shop",)
        assert verdict.effect is Effect.ALLOW

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("expired", "certificate has expired"),
            ("self-signed", "self-signed certificate"),
            ("other-ca", "unable to get local issuer certificate"),
        ],
    )
    def test_refused_or_claimed(self, scene, folder, name, reason):
        """A mode that verifies refuses it; one that does not lets it in as claimed."""
        loaded = scene(WHOLE)
        who = certificate(folder, f"broken/client-{name}.pem")
        refused = only(ask(loaded, who, listener="public"))
        assert refused.caller.state == "refused"
        assert f"refused in the handshake: {reason}" in refused.caller.words
        claimed = only(ask(loaded, who, listener="lenient"))
        assert claimed.caller.state == "claimed"
        assert f"not verified ({reason})" in claimed.caller.words

    def test_a_claimed_name_grants_nothing(self, scene, folder):
        """The trace says that the name is there, and why it does not count."""
        who = certificate(folder, "client.pem")
        verdict = only(ask(scene(WHOLE), who, listener="blind"))
        assert verdict.caller.claimed == ("shop",)
        assert words(verdict)["hello"] == (
            "method matches; needs shop; the certificate says so, but it is not"
            " verified: not checked: the listener has no client CA"
        )

    def test_not_asked_for(self, scene, folder):
        """In plaintext a certificate is never seen."""
        verdict = only(
            ask(scene(WHOLE), certificate(folder, "client.pem"), listener="plain")
        )
        assert verdict.caller.words.endswith("not asked for (plaintext), so anonymous")

    @pytest.mark.parametrize(
        ("moment", "words_"),
        [
            (timedelta(0), "expires today at "),
            (timedelta(days=-40), "not valid before "),
            (timedelta(days=40), "expired on "),
        ],
    )
    def test_dates(self, scene, folder, moment, words_):
        """A certificate that does not count yet, or any more, says since when."""
        who = certificate(folder, "client.pem")
        end = who.certificate.not_after
        now = end - timedelta(hours=2) if not moment else NOW + moment
        verdict = only(ask(scene(WHOLE), who, listener="blind", now=now))
        assert verdict.caller.expiry.startswith(words_)


class TestMadeUp:
    """Names that somebody might have, as in policy tests."""

    def test_taken_to_be_verified(self, scene):
        """Where the listener can verify, it is taken to have."""
        verdict = only(ask(scene(WHOLE), caller(dns="a.b.test"), listener="lenient"))
        assert verdict.caller.words == (
            "certificate with dns a.b.test: taken to be verified"
        )

    def test_claimed_where_nobody_verifies(self, scene):
        """Where it cannot, the names are claims."""
        verdict = only(ask(scene(WHOLE), caller(dns="a.b.test"), listener="blind"))
        assert verdict.caller.state == "claimed"


class TestWords:
    """Why a rule did not match: what it needs, and what the caller has."""

    @pytest.fixture(name="trace")
    def _trace(self, scene):
        loaded = scene(WHOLE)

        def trace(subject, method=HELLO, **options):
            return words(only(ask(loaded, subject, method, **options)))

        return trace

    def test_method(self, trace):
        """Patterns of the same service are shown without it."""
        said = trace(caller(dns="x.test"), listener="public")
        assert said["many"] == "method SayHelloMany* does not match SayHello"
        assert said["health"] == (
            "method /grpc.health.v1.Health/* does not match SayHello"
        )

    @pytest.mark.parametrize(
        "method",
        [
            "helloworld.Greeter/SayHello",
            "helloworld.Greeter.SayHello",
            "/a//SayHello",
            "/",
        ],
    )
    def test_what_is_no_path_of_a_method(self, trace, method):
        """Both are shown whole: the difference may be what a short form leaves out."""
        said = trace(caller(dns="x.test"), method, listener="public")
        pattern = "/helloworld.Greeter/SayHelloMany*"
        assert said["many"] == f"method {pattern} does not match {method}"

    def test_listener(self, trace):
        """A rule for other listeners says which."""
        said = trace(caller(email="ci@corp.test"), listener="lenient")
        assert said["no-ci"] == "method matches; only on public"

    def test_missing_name(self, trace):
        """A caller without any such name, and one with another."""
        other = "needs shop (spiffe:spiffe://grpcsecure.test/client); caller has"
        said = trace(caller(dns="x.test"), listener="public")
        assert said["hello"] == f"method matches; {other} no spiffe"
        said = trace(caller(spiffe="spiffe://a.test/b"), listener="public")
        assert said["hello"] == f"method matches; {other} spiffe:spiffe://a.test/b"

    def test_several_identities(self, trace):
        """Each is spelled out, and what the caller has of all that is asked for."""
        said = trace(
            caller(dns="x.test"),
            "/helloworld.Greeter/SayHelloManyTimes",
            listener="public",
        )
        assert said["many"] == (
            "method matches; needs ops (organizational_unit:Ops and dns:*.corp.test)"
            " or ci (dns:*.ci.corp.test or email:ci@corp.test);"
            " caller has dns:x.test, no email, no organizational_unit"
        )

    def test_no_certificate(self, trace):
        """A caller without a certificate has no names at all."""
        said = trace(ANYBODY, listener="lenient")
        assert said["hello"].endswith("caller has no certificate")

    def test_deny(self, trace):
        """A deny rule also asks what is only claimed."""
        said = trace(caller(dns="x.test"), listener="public")
        assert said["no-ci"] == (
            "method matches; it is for ci, which the caller neither is nor claims to be"
        )

    def test_metadata(self, trace):
        """The key and the values that would do, and what was sent."""
        chat = "/helloworld.Greeter/Chat"
        who = caller(organizational_unit="Ops", dns="x.corp.test")
        needs = (
            "method and caller match; metadata x-env has to be test or stage, and is"
        )
        said = trace(who, chat, listener="public")
        assert said["env"] == f"{needs} not sent"
        said = trace(
            who, chat, listener="public", metadata=(("x-env", "a"), ("x-env", "b"))
        )
        assert said["env"] == f"{needs} a and b"

    def test_metadata_from_a_variable(self, scene):
        """Whoever asks learns that there is a value, and not which one."""
        chat = "/helloworld.Greeter/Chat"
        text = CONFIG + (
            "authorization: {rules: {r: {allow: [anyone], methods: ['*'],"
            " metadata: {x-key: ['${KEY}', b]}}}}\n"
        )
        loaded = scene(text, environ={"KEY": "hunter2"})
        for value, effect in (("hunter2", Effect.ALLOW), ("x", Effect.DENY)):
            (verdict,) = ask(
                loaded, caller(dns="a"), chat, metadata=(("x-key", value),)
            ).verdicts
            assert verdict.effect is effect
        assert words(verdict) == {
            "r": "method and caller match; metadata x-key has to be … or b, and is x"
        }

    def test_match(self, trace):
        """The decisive rule ends the trace."""
        said = trace(caller(spiffe=CLIENT.removeprefix("spiffe:")), listener="public")
        *_, last = said.values()
        assert last == "matches /helloworld.Greeter/SayHello and shop -> allow"


MORE_RULES = """\
identities:
  shop: {dns: "*.shop.test"}
  many: [{dns: a.test}, {dns: b.test}, {dns: c.test}, {dns: d.test}]
  named: {subject: "CN=web,O=Shop"}
  unit: {fingerprint: "sha256:PRINT"}
  expired: {fingerprint: "EXPIRED"}
authorization:
  rules:
    verified: {allow: [verified], methods: ["*"], listeners: [blind, lenient]}
    nobody: {allow: [anonymous], methods: ["*"], listeners: [lenient]}
    some: {allow: [shop, many, named], methods: ["/helloworld.Greeter/SayHello"]}
    matchers: {allow: [many], methods: ["/helloworld.Greeter/SayHello"]}
    subject: {allow: [named], methods: ["/helloworld.Greeter/SayHello"]}
    shops: {allow: [shop], methods: ["/helloworld.Greeter/SayHello"]}
    units: {allow: [expired], methods: ["/helloworld.Greeter/SayHello"]}
    bytes:
      allow: [anyone]
      methods: ["/helloworld.Greeter/SayHello"]
      metadata: {x-bin: [AAE]}
    others: {deny: [unit, shop, many, named], methods: ["*/Chat", "*/SayHelloToAll"]}
    methods:
      allow: [unit]
      methods: ["/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/List",
        "/grpc.health.v1.Health/Watch", "/helloworld.Greeter/SayHelloToAll"]
""".replace("PRINT", ":".join(["0f"] * 32))


class TestMoreWords:
    """The rarer reasons: built-in names, pins, long lists."""

    @pytest.fixture(name="trace")
    def _trace(self, scene, folder):
        expired = certificate(folder, "broken/client-expired.pem").certificate
        loaded = scene(
            CONFIG + MORE + MORE_RULES.replace("EXPIRED", expired.fingerprint)
        )

        def trace(subject, method=HELLO, *, listener="lenient", **options):
            return words(
                only(ask(loaded, subject, method, listener=listener, **options))
            )

        return trace

    def test_verified_is_needed(self, trace, folder):
        """Who is not verified is told why not."""
        who = certificate(folder, "broken/client-self-signed.pem")
        assert trace(who)["verified"] == (
            "method matches; needs verified; caller is not verified:"
            " self-signed certificate"
        )
        assert trace(ANYBODY)["verified"] == (
            "method matches; needs verified; caller has no certificate"
        )

    def test_anonymous_is_needed(self, trace, folder):
        """Who has a certificate is not anonymous."""
        who = certificate(folder, "broken/client-self-signed.pem")
        assert trace(who)["nobody"] == (
            "method matches; needs anonymous; caller has a certificate"
        )

    def test_more_identities_than_are_spelled_out(self, trace, folder):
        """Of three or more the names alone are listed, and who the caller is."""
        who = certificate(folder, "broken/client-self-signed.pem")
        start = "method matches; needs shop, many or named; caller is"
        assert trace(who)["some"] == f"{start} not verified"
        who = certificate(folder, "client.pem")
        said = trace(who, listener="public")
        assert said["some"] == f"{start} verified, and none of the identities"

    def test_many_matchers(self, trace, folder):
        """So many matchers are counted."""
        said = trace(certificate(folder, "client.pem"), listener="public")
        assert said["matchers"] == (
            "method matches; needs many (any of 4 matchers); caller has no dns"
        )

    def test_subject(self, trace, folder):
        """The whole subject is shown where one is asked for."""
        said = trace(certificate(folder, "client.pem"), listener="public")
        assert said["subject"].startswith(
            "method matches; needs named (subject:CN=web,O=Shop);"
            " caller has subject:CN="
        )

    def test_wildcard_in_the_certificate(self, trace):
        """A name that is not believed of anybody says something, and grants nothing."""
        who = QuerySubject(names=Matcher((Criterion(MatcherKind.DNS, "*.shop.test"),)))
        assert trace(who, listener="public")["shops"] == (
            "method matches; needs shop; the certificate says so in a way that proves"
            " nothing"
        )

    def test_lapsed_registration(self, trace, folder):
        """A registered certificate that has expired is said to be registered."""
        who = certificate(folder, "broken/client-expired.pem")
        assert trace(who)["units"] == (
            "method matches; needs expired; the certificate is registered, but its"
            " dates do not include now"
        )

    def test_bytes(self, trace, folder):
        """What was sent under a `-bin` key is shown in the spelling of the config."""
        who = certificate(folder, "broken/client-self-signed.pem")
        said = trace(who, metadata=(("x-bin", b"\x00\x02"),))
        assert said["bytes"] == (
            "method and caller match; metadata x-bin has to be AAE, and is AAI"
        )

    def test_long_lists(self, trace, folder):
        """Of many names or methods there are the first, or how many."""
        who = certificate(folder, "broken/client-self-signed.pem")
        said = trace(who)
        assert said["others"] == (
            "method */Chat or */SayHelloToAll do not match SayHello"
        )
        assert said["methods"] == "none of its 4 methods matches SayHello"
        said = trace(who, "/helloworld.Greeter/Chat")
        assert said["others"] == (
            "method matches; it is for one of 4 names: unit, shop, many, …, which the"
            " caller neither is nor claims to be"
        )
