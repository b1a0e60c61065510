"""Explanations of one call: the verdict, its basis, and why rules did not match."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest
from support.certificates import CLIENT
from support.explaining import ANONYMOUS, CONFIG, HELLO, ask, caller, tls

from grpcsecure.explain.calls import Basis, describe_unknown_method
from grpcsecure.explain.query_subject import QuerySubject
from grpcsecure.explain.render.call_text import render_call_text
from grpcsecure.explain.render.explain_json import render_call_json
from grpcsecure.model.authorization import Criterion, Effect, Matcher, MatcherKind
from grpcsecure.tls.certificate import parse_certificate, parse_pem_certificates

NOW = datetime.now(timezone.utc)

#: A listener for all clients, one without CA, and a plaintext one for health.
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
    """Return a caller with the certificate of a file below `certs`."""
    pem = (folder / "certs" / name).read_bytes()
    leaf, *chain = parse_pem_certificates(pem)
    return QuerySubject(
        file=name, certificate=parse_certificate(leaf), chain=tuple(chain)
    )


def only(explanation):
    """Return the only verdict of an explanation."""
    (verdict,) = explanation.verdicts
    return verdict


def words(verdict):
    """Return the reasons in the trace, by rule."""
    return {step.rule.name: step.words for step in verdict.steps}


class TestVerdict:
    """The effect, its basis, its position in the config, and the status."""

    def test_a_rule_allows(self, load_config):
        """The verdict names the first rule that matches, and its line."""
        verdict = only(
            ask(
                load_config(WHOLE),
                caller(spiffe="spiffe://grpcsecure.test/client"),
                listener="public",
            )
        )
        assert (verdict.effect, verdict.basis) == (Effect.ALLOW, Basis.RULE)
        assert verdict.rule.name == "hello"
        line = WHOLE.splitlines()[verdict.place.line - 1]
        assert line.strip().startswith("hello:")
        assert verdict.status == "OK"

    def test_the_default_denies(self, load_config):
        """If no rule matches, the default decides, in the line of `authorization`."""
        verdict = only(ask(load_config(WHOLE), caller(dns="x.test"), listener="public"))
        assert (verdict.effect, verdict.basis) == (Effect.DENY, Basis.DEFAULT)
        line = WHOLE.splitlines()[verdict.place.line - 1]
        assert line == "authorization:"
        assert verdict.status == "PERMISSION_DENIED"

    def test_the_handshake_refuses(self, load_config):
        """A client refused in the handshake is denied by the mode, without a status."""
        verdict = only(ask(load_config(WHOLE), ANONYMOUS, listener="public"))
        assert (verdict.effect, verdict.basis) == (Effect.DENY, Basis.HANDSHAKE)
        assert verdict.caller.state == "refused"
        assert verdict.status is None
        assert not verdict.steps
        assert verdict.place.line == 5

    def test_without_rules_everything_is_allowed(self, load_config):
        """A config without `authorization` allows every call, with its own basis."""
        verdict = only(ask(load_config(CONFIG), caller(dns="x.test")))
        assert (verdict.effect, verdict.basis) == (Effect.ALLOW, Basis.NO_RULES)

    def test_unidentified_callers_are_unauthenticated(self, load_config):
        """A caller without an identity gets UNAUTHENTICATED, as from a server."""
        verdict = only(ask(load_config(WHOLE), ANONYMOUS, listener="lenient"))
        assert verdict.status == "UNAUTHENTICATED"

    def test_effect_of_unenforced_rules(self, load_config):
        """The verdict has the decision if all rules were enforced."""
        verdict = only(
            ask(
                load_config(WHOLE),
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
    """Without a listener in the question, each that serves the method has a verdict."""

    def test_every_listener_that_serves_the_method(self, load_config):
        """There is one verdict each; the call is denied if any of them denies."""
        explanation = ask(load_config(WHOLE), ANONYMOUS, "/grpc.health.v1.Health/Check")
        assert [
            (one.listener.name, one.effect.value) for one in explanation.verdicts
        ] == [
            ("public", "deny"),
            ("lenient", "allow"),
            ("blind", "deny"),
            ("plain", "allow"),
        ]
        assert not explanation.is_allowed

    def test_a_listener_that_does_not_serve_the_method(self, load_config):
        """On such a listener the method does not exist."""
        verdict = only(ask(load_config(WHOLE), ANONYMOUS, listener="plain"))
        assert not verdict.exists

    def test_unknown_method(self, load_config):
        """It gets a verdict on all listeners, and the most similar one is suggested."""
        explanation = ask(load_config(WHOLE), ANONYMOUS, "/helloworld.Greeter/SayHelo")
        assert len(explanation.verdicts) == 4
        assert not any(one.exists for one in explanation.verdicts)
        assert explanation.similar == HELLO

    def test_name_without_its_service(self, load_config):
        """A bare method name is completed, if only one service has it."""
        explanation = ask(load_config(WHOLE), ANONYMOUS, "Chat")
        assert explanation.similar == "/helloworld.Greeter/Chat"

    @pytest.mark.parametrize(
        ("method", "end"),
        [
            ("/helloworld.Greeter/SayHelo", f"; did you mean `{HELLO}`?"),
            ("helloworld.Greeter.Chat", "; did you mean `/helloworld.Greeter/Chat`?"),
            (
                "Check",
                "; the services are `grpc.health.v1.Health`, `helloworld.Greeter`",
            ),
            ("/grpc.reflection.v1.X/Y", ": `server.reflection` is off"),
        ],
    )
    def test_description_of_an_unknown_method(self, load_config, method, end):
        """It names the nearest method, or else the services."""
        description = describe_unknown_method(load_config(WHOLE), method)
        assert description == f"no listener serves `{method}`{end}"

    def test_no_services(self, load_config):
        """If the services are not imported, every method is assumed to exist."""
        explanation = ask(
            load_config(WHOLE, with_services=False),
            caller(spiffe="spiffe://grpcsecure.test/client"),
            "/helloworld.Greeter/Nothing",
        )
        assert not explanation.knows_methods
        assert all(one.exists for one in explanation.verdicts)

    def test_allow_rules_do_not_apply_to_unknown_methods(self, load_config):
        """The trace gives this reason for each allow rule."""
        text = WHOLE.replace('"*/SayHelloToAll"], enforce: false', '"*"]')
        verdict = only(
            ask(load_config(text), caller(dns="x.test"), "/a.B/C", listener="public")
        )
        assert "to methods that do not exist" in words(verdict)["soon"]


class TestCertificates:
    """The state of a caller with the certificate of a file."""

    def test_verified(self, load_config, folder):
        """The text names the file of the CA and the time until the expiry."""
        who = certificate(folder, "client.pem")
        verdict = only(ask(load_config(WHOLE), who, listener="public"))
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
    def test_refused_or_claimed(self, load_config, folder, name, reason):
        """A mode that verifies refuses it; another mode accepts it as claimed."""
        loaded = load_config(WHOLE)
        who = certificate(folder, f"broken/client-{name}.pem")
        refused = only(ask(loaded, who, listener="public"))
        assert refused.caller.state == "refused"
        assert f"refused in the handshake: {reason}" in refused.caller.words
        claimed = only(ask(loaded, who, listener="lenient"))
        assert claimed.caller.state == "claimed"
        assert f"not verified ({reason})" in claimed.caller.words

    def test_a_claimed_name_grants_nothing(self, load_config, folder):
        """The trace says that the name is claimed, and why it does not count."""
        who = certificate(folder, "client.pem")
        verdict = only(ask(load_config(WHOLE), who, listener="blind"))
        assert verdict.caller.claimed == ("shop",)
        assert words(verdict)["hello"] == (
            "method matches; needs shop; the certificate claims it, but is not"
            " verified: not checked: the listener has no client CA"
        )

    def test_certificate_is_not_requested(self, load_config, folder):
        """A plaintext listener receives no certificate."""
        verdict = only(
            ask(load_config(WHOLE), certificate(folder, "client.pem"), listener="plain")
        )
        assert verdict.caller.words.endswith("not asked for (plaintext), so anonymous")

    @pytest.mark.parametrize(
        ("moment", "start"),
        [
            (timedelta(0), "expires today at "),
            (timedelta(days=-40), "not valid before "),
            (timedelta(days=40), "expired on "),
        ],
    )
    def test_dates(self, load_config, folder, moment, start):
        """A certificate that is expired or not yet valid is shown with the date."""
        who = certificate(folder, "client.pem")
        end = who.certificate.not_after
        now = end - timedelta(hours=2) if not moment else NOW + moment
        verdict = only(ask(load_config(WHOLE), who, listener="blind", now=now))
        assert verdict.caller.expiry.startswith(start)


class TestSyntheticCallers:
    """Callers with given names instead of a certificate, as in policy tests."""

    def test_verified_if_the_listener_can_verify(self, load_config):
        """A synthetic certificate counts as verified if the listener can verify."""
        verdict = only(
            ask(load_config(WHOLE), caller(dns="a.b.test"), listener="lenient")
        )
        assert verdict.caller.words == (
            "certificate with dns a.b.test: taken to be verified"
        )

    def test_claimed_if_the_listener_cannot_verify(self, load_config):
        """Without a client CA the names are only claimed."""
        verdict = only(
            ask(load_config(WHOLE), caller(dns="a.b.test"), listener="blind")
        )
        assert verdict.caller.state == "claimed"


class TestReasons:
    """Reasons why a rule did not match: its conditions, and the caller's names."""

    @pytest.fixture(name="trace")
    def _trace(self, load_config):
        loaded = load_config(WHOLE)

        def trace(subject, method=HELLO, **options):
            return words(only(ask(loaded, subject, method, **options)))

        return trace

    def test_method(self, trace):
        """Patterns of the same service are shown without the service."""
        reasons = trace(caller(dns="x.test"), listener="public")
        assert reasons["many"] == "method SayHelloMany* does not match SayHello"
        assert reasons["health"] == (
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
    def test_malformed_method_path(self, trace, method):
        """Path and patterns are shown whole, because a short form may look equal."""
        reasons = trace(caller(dns="x.test"), method, listener="public")
        pattern = "/helloworld.Greeter/SayHelloMany*"
        assert reasons["many"] == f"method {pattern} does not match {method}"

    def test_listener(self, trace):
        """The reason names the listeners of the rule."""
        reasons = trace(caller(email="ci@corp.test"), listener="lenient")
        assert reasons["no-ci"] == "method matches; only on public"

    def test_missing_name(self, trace):
        """The reason shows the caller's name of that kind, or that it has none."""
        other = "needs shop (spiffe:spiffe://grpcsecure.test/client); caller has"
        reasons = trace(caller(dns="x.test"), listener="public")
        assert reasons["hello"] == f"method matches; {other} no spiffe"
        reasons = trace(caller(spiffe="spiffe://a.test/b"), listener="public")
        assert reasons["hello"] == f"method matches; {other} spiffe:spiffe://a.test/b"

    def test_several_identities(self, trace):
        """The reason shows each identity, and the caller's names of these kinds."""
        reasons = trace(
            caller(dns="x.test"),
            "/helloworld.Greeter/SayHelloManyTimes",
            listener="public",
        )
        assert reasons["many"] == (
            "method matches; needs ops (organizational_unit:Ops and dns:*.corp.test)"
            " or ci (dns:*.ci.corp.test or email:ci@corp.test);"
            " caller has dns:x.test, no email, no organizational_unit"
        )

    def test_no_certificate(self, trace):
        """The reason says that the caller has no certificate."""
        reasons = trace(ANONYMOUS, listener="lenient")
        assert reasons["hello"].endswith("caller has no certificate")

    def test_deny(self, trace):
        """The reason for a deny rule also mentions claimed names."""
        reasons = trace(caller(dns="x.test"), listener="public")
        assert reasons["no-ci"] == (
            "method matches; it is for ci, which the caller neither is nor claims to be"
        )

    def test_metadata(self, trace):
        """The reason has the key, the accepted values, and the values sent."""
        chat = "/helloworld.Greeter/Chat"
        who = caller(organizational_unit="Ops", dns="x.corp.test")
        needs = "method and caller match; metadata x-env must be test or stage, but is"
        reasons = trace(who, chat, listener="public")
        assert reasons["env"] == f"{needs} not sent"
        reasons = trace(
            who, chat, listener="public", metadata=(("x-env", "a"), ("x-env", "b"))
        )
        assert reasons["env"] == f"{needs} a and b"

    def test_metadata_that_grpc_removes(self, load_config):
        """The decision is that of a call without it, and the explanation says so."""
        text = CONFIG + (
            "authorization: {rules: {r: {allow: [anyone], methods: ['*'],"
            " metadata: {x-env: [test]}}}}\n"
        )
        loaded = load_config(text)
        sent = (("te", "a"), ("x-env", "test"), ("grpc-trace-bin", b"b"), ("te", "c"))
        explanation = ask(loaded, caller(dns="a"), metadata=sent)
        assert explanation.is_allowed
        assert explanation.removed_keys == ("grpc-trace-bin", "te")
        assert (
            "\n  metadata: gRPC removes grpc-trace-bin, te: no rule and no handler sees"
            " it\n"
        ) in render_call_text(explanation)
        assert json.loads(render_call_json(explanation))["metadata_removed"] == [
            "grpc-trace-bin",
            "te",
        ]
        explanation = ask(loaded, caller(dns="a"), metadata=sent[1:2])
        assert explanation.removed_keys == ()
        assert "gRPC removes" not in render_call_text(explanation)

    def test_metadata_of_which_the_last_value_arrives(self, load_config):
        """Of some keys gRPC delivers one value, of all others every value."""
        text = CONFIG + (
            "authorization: {rules: {r: {allow: [anyone], methods: ['*'],"
            " metadata: {x-forwarded-for: [b]}}}}\n"
        )
        loaded = load_config(text)
        for values, allowed in (("ab", True), ("ba", False), ("b", True)):
            sent = tuple(("x-forwarded-for", value) for value in values)
            explanation = ask(loaded, caller(dns="a"), metadata=sent)
            assert explanation.is_allowed is allowed

    def test_metadata_from_a_variable(self, load_config):
        """A value from a variable is a secret, and is not shown."""
        chat = "/helloworld.Greeter/Chat"
        text = CONFIG + (
            "authorization: {rules: {r: {allow: [anyone], methods: ['*'],"
            " metadata: {x-key: ['${KEY}', b]}}}}\n"
        )
        loaded = load_config(text, environ={"KEY": "hunter2"})
        for value, effect in (("hunter2", Effect.ALLOW), ("x", Effect.DENY)):
            (verdict,) = ask(
                loaded, caller(dns="a"), chat, metadata=(("x-key", value),)
            ).verdicts
            assert verdict.effect is effect
        assert words(verdict) == {
            "r": "method and caller match; metadata x-key must be … or b, but is x"
        }

    def test_match(self, trace):
        """The decisive rule ends the trace."""
        reasons = trace(
            caller(spiffe=CLIENT.removeprefix("spiffe:")), listener="public"
        )
        *_, last = reasons.values()
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
    without: {allow: [anonymous], methods: ["*"], listeners: [lenient]}
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


class TestMoreReasons:
    """Rarer reasons: built-in names, pins, long lists."""

    @pytest.fixture(name="trace")
    def _trace(self, load_config, folder):
        expired = certificate(folder, "broken/client-expired.pem").certificate
        loaded = load_config(
            CONFIG + MORE + MORE_RULES.replace("EXPIRED", expired.fingerprint)
        )

        def trace(subject, method=HELLO, *, listener="lenient", **options):
            return words(
                only(ask(loaded, subject, method, listener=listener, **options))
            )

        return trace

    def test_verified_is_needed(self, trace, folder):
        """The reason says why the caller is not verified."""
        who = certificate(folder, "broken/client-self-signed.pem")
        assert trace(who)["verified"] == (
            "method matches; needs verified; caller is not verified:"
            " self-signed certificate"
        )
        assert trace(ANONYMOUS)["verified"] == (
            "method matches; needs verified; caller has no certificate"
        )

    def test_anonymous_is_needed(self, trace, folder):
        """The reason says that the caller has a certificate."""
        who = certificate(folder, "broken/client-self-signed.pem")
        assert trace(who)["without"] == (
            "method matches; needs anonymous; caller has a certificate"
        )

    def test_more_identities_than_are_spelled_out(self, trace, folder):
        """Of three or more identities only the names are shown, and the caller's."""
        who = certificate(folder, "broken/client-self-signed.pem")
        start = "method matches; needs shop, many or named; caller is"
        assert trace(who)["some"] == f"{start} not verified"
        who = certificate(folder, "client.pem")
        reasons = trace(who, listener="public")
        assert reasons["some"] == f"{start} verified, but has none of the identities"

    def test_many_matchers(self, trace, folder):
        """Of an identity with many matchers only their number is shown."""
        reasons = trace(certificate(folder, "client.pem"), listener="public")
        assert reasons["matchers"] == (
            "method matches; needs many (any of 4 matchers); caller has no dns"
        )

    def test_subject(self, trace, folder):
        """The caller's whole subject is shown if the rule needs one."""
        reasons = trace(certificate(folder, "client.pem"), listener="public")
        assert reasons["subject"].startswith(
            "method matches; needs named (subject:CN=web,O=Shop);"
            " caller has subject:CN="
        )

    def test_wildcard_in_the_certificate(self, trace):
        """A wildcard name in a certificate claims an identity, but grants nothing."""
        who = QuerySubject(names=Matcher((Criterion(MatcherKind.DNS, "*.shop.test"),)))
        assert trace(who, listener="public")["shops"] == (
            "method matches; needs shop; the certificate claims the name, but does not"
            " prove it"
        )

    def test_expired_registered_certificate(self, trace, folder):
        """The reason says that the certificate is registered, but expired."""
        who = certificate(folder, "broken/client-expired.pem")
        assert trace(who)["units"] == (
            "method matches; needs expired; the certificate is registered, but is"
            " expired or not yet valid"
        )

    def test_bytes(self, trace, folder):
        """The value of a `-bin` key is shown in the config's notation, base64."""
        who = certificate(folder, "broken/client-self-signed.pem")
        reasons = trace(who, metadata=(("x-bin", b"\x00\x02"),))
        assert reasons["bytes"] == (
            "method and caller match; metadata x-bin must be AAE, but is AAI"
        )

    def test_long_lists(self, trace, folder):
        """Of many names the first are shown, of many methods their number."""
        who = certificate(folder, "broken/client-self-signed.pem")
        reasons = trace(who)
        assert reasons["others"] == (
            "method */Chat or */SayHelloToAll do not match SayHello"
        )
        assert reasons["methods"] == "none of its 4 methods matches SayHello"
        reasons = trace(who, "/helloworld.Greeter/Chat")
        assert reasons["others"] == (
            "method matches; it is for one of 4 names: unit, shop, many, …, which the"
            " caller neither is nor claims to be"
        )
