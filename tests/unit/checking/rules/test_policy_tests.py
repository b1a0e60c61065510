"""Tests of methods, policy tests and pins: GS406, GS407, GS414 to GS417."""

from __future__ import annotations

import itertools
import shutil
import sys
from datetime import timedelta

import pytest
from support.certificates import make_certificates
from support.configs import underlined
from support.file_checks import NOW
from support.policy_checks import load
from support.process import ROOT

from grpcsecure.checking.pipeline import Phase
from grpcsecure.diagnostics.ignore import make_report
from grpcsecure.diagnostics.render import FORMATS, render
from grpcsecure.model.authorization import Criterion, Matcher, MatcherKind
from grpcsecure.model.listener import Listener, TcpAddress, TlsSettings
from grpcsecure.model.modes import ClientCertificateMode
from grpcsecure.model.peer import PeerState
from grpcsecure.policy.decision import compile_policy
from grpcsecure.policy.synthetic_peers import synthetic_certificate, synthetic_peer

CONFIG = f"""\
version: 1
services: [{{servicer: 'helloworld.greeter:Greeter'}}]
server: {{import_paths: ['{ROOT / "examples"}']}}
listeners:
  public:
    address: 127.0.0.1:0
    tls:
      certificate: certs/server.pem
      private_key: certs/server.key
      client_certificate: require_and_verify
      client_ca: certs/ca.pem
  devices:
    address: 127.0.0.1:0
    tls:
      certificate: certs/server.pem
      private_key: certs/server.key
      client_certificate: request_but_dont_verify
    services: [helloworld.Greeter]
  plain: {{address: '127.0.0.1:0', plaintext: true, services: [grpc.health.v1.Health]}}
"""

CLIENT = "spiffe://grpcsecure.test/client"

POLICY = f"""\
identities:
  client: {{spiffe: '{CLIENT}'}}
  units: {{certificates: certs/client.pem}}
authorization:
  rules:
    no-chat:
      deny: [client]
      methods: [/helloworld.Greeter/Chat]
      metadata: {{x-env: [prod]}}
    hello:
      allow: [client, units]
      methods: ["/helloworld.Greeter/*"]
    health: {{allow: [anyone], methods: ["/grpc.health.v1.Health/*"]}}
"""

SAY = "/helloworld.Greeter/SayHello"

REFLECT = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"


@pytest.fixture(name="folder", scope="module")
def _folder(tmp_path_factory):
    """A directory with certificates, good and broken ones."""
    folder = tmp_path_factory.mktemp("policy")
    make_certificates(folder / "certs", broken=True)
    return folder


@pytest.fixture(name="check")
def _check(folder, monkeypatch):
    """Return a function that checks a policy completely; returns result and text."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path])

    def check(policy, *, config=CONFIG, **options):
        text = config + policy
        loaded = load(text, folder=folder, last=Phase.POLICY_TESTS, **options)
        assert loaded.document is not None, [f.message for f in loaded.findings]
        usual = {"GS313"}
        return loaded, [f for f in loaded.findings if f.code not in usual], text

    return check


def with_test(caller, call=SAY, expect="allow", more=""):
    """Return YAML with one policy test."""
    return (
        f"{POLICY}  tests: [{{as: {caller}, call: {call}, expect: {expect}{more}}}]\n"
    )


class TestMethods:
    """GS406 and GS407: unknown and unreachable methods."""

    def test_good_policy_has_no_finding(self, check):
        """Every method exists, and a rule allows each of them."""
        assert check(POLICY)[1] == []

    @pytest.mark.parametrize(
        ("pattern", "label"),
        [
            (
                "/helloworld.Greeter/SayHelo",
                "did you mean `/helloworld.Greeter/SayHello`?",
            ),
            ("'/helloworld.Greter/*'", "did you mean `/helloworld.Greeter/*`?"),
            ("'/grpc.health.v1.Healt/*'", "did you mean `/grpc.health.v1.Health/*`?"),
            ("'*/Nothing'", "matches no method"),
            ("'/helloworld.Greeter/.*'", "did you mean `/helloworld.Greeter/*`?"),
            ("/helloworld.Greeter/sayhello", None),
        ],
    )
    def test_pattern_without_a_method_is_an_error(self, check, pattern, label):
        """The finding is at the pattern and suggests the nearest one; case matters."""
        policy = POLICY + f"    odd: {{deny: [anyone], methods: [{pattern}]}}\n"
        loaded, [finding], text = check(policy)
        assert (finding.code, underlined(text, finding)) == ("GS406", pattern)
        assert finding.is_error
        assert label in (None, finding.label)
        assert loaded.failed is Phase.SERVICES
        assert loaded.not_run == (Phase.POLICY_TESTS,)

    @pytest.mark.parametrize(
        "pattern",
        [
            "'/grpc.reflection.v1alpha.ServerReflection/*'",
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            "'/grpc.health.v1.Health/*'",
            "'*Chat'",
        ],
    )
    def test_pattern_of_a_disabled_service_has_no_finding(self, check, pattern):
        """Another profile may turn the service on."""
        config = CONFIG.replace("server: {", "server: {health: false, ").replace(
            "grpc.health.v1.Health", "helloworld.Greeter"
        )
        policy = POLICY + f"    odd: {{deny: [anonymous], methods: [{pattern}]}}\n"
        assert "GS406" not in {f.code for f in check(policy, config=config)[1]}

    def test_method_of_a_test_has_to_exist(self, check):
        """A test of a misspelled method would pass without testing anything."""
        call = "/helloworld.Greeter/SayHellou"
        _, [finding], text = check(with_test("anonymous", call, "deny"))
        assert (finding.code, underlined(text, finding)) == ("GS406", call)

    def test_methods_that_no_rule_reaches(self, check):
        """A warning at the servicer names them; health is a service of its own."""
        policy = (
            "authorization: {rules: {r: {allow: [verified], methods: ['*/Chat']}}}\n"
        )
        _, findings, text = check(policy)
        assert [(f.code, f.message) for f in findings] == [
            (
                "GS407",
                (
                    "no rule allows `SayHello`, `SayHelloManyTimes`, `SayHelloToAll` of"
                    " `helloworld.Greeter`"
                ),
            ),
            ("GS407", "no rule allows any method of `grpc.health.v1.Health`"),
        ]
        assert underlined(text, findings[0]) == "'helloworld.greeter:Greeter'"
        assert underlined(text, findings[1]) == "authorization"
        assert "or set `server.health: false`" in findings[1].help
        assert not any(finding.is_error for finding in findings)

    @pytest.mark.parametrize(
        "policy",
        [
            (
                "authorization: {default: allow, rules:"
                " {r: {deny: [verified], methods: ['*/Chat']}}}\n"
            ),
            "",
        ],
    )
    def test_with_the_default_allow_all_methods_are_reached(self, check, policy):
        """Methods that no rule mentions are open, which has other findings."""
        assert not {"GS406", "GS407"} & {f.code for f in check(policy)[1]}

    def test_rule_on_a_listener_that_does_not_serve_it_reaches_nothing(self, check):
        """The rule allows a method that no client can call there."""
        policy = POLICY.replace(
            '      methods: ["/helloworld.Greeter/*"]\n',
            '      methods: ["*"]\n      listeners: [plain, public]\n',
        ).replace("client, units", "verified")
        policy = policy.replace("[verified]", "[anonymous]").replace(
            "listeners: [plain, public]", "listeners: [plain]"
        )
        codes = {f.code for f in check(policy)[1]}
        assert "GS407" in codes

    def test_opaque_factory_skips_the_check_of_methods(self, check, folder):
        """Methods that only a call of user code would reveal are not guessed."""
        (folder / "opaque.py").write_text("def make():\n    return None\n")
        config = CONFIG.replace("helloworld.greeter:Greeter", "opaque:make")
        policy = with_test("anonymous", "/what.Ever/It", "deny")
        loaded, findings, _ = check(policy, config=config)
        assert {f.code for f in findings} == {"GS508"}
        assert len(loaded.cases) == 1


#: Callers, methods, the decision of the policy above, and its place.
DECIDED = [
    (f"{{spiffe: '{CLIENT}'}}", SAY, "allow", ", listener: public"),
    (f"{{spiffe: '{CLIENT}'}}", SAY, "deny", ", listener: devices"),
    ("{spiffe: 'spiffe://grpcsecure.test/other'}", SAY, "deny", ""),
    ("anonymous", SAY, "deny", ""),
    ("anonymous", "/grpc.health.v1.Health/Check", "allow", ""),
    ("{dns: a}", "/grpc.health.v1.Health/Check", "allow", ", listener: plain"),
    ("{certificates: certs/client.pem}", SAY, "allow", ""),
    ("{certificates: certs/client.pem}", SAY, "allow", ", listener: devices"),
    ("{certificates: certs/broken/client-expired.pem}", SAY, "deny", ""),
    ("{certificates: certs/broken/client-other-ca.pem}", SAY, "deny", ""),
    (f"{{spiffe: '{CLIENT}'}}", SAY, "deny", ", listener: plain"),
    (
        f"{{spiffe: '{CLIENT}'}}",
        "/helloworld.Greeter/Chat",
        "deny",
        ", metadata: {x-env: prod}",
    ),
    (
        f"{{spiffe: '{CLIENT}'}}",
        "/helloworld.Greeter/Chat",
        "allow",
        ", listener: public, metadata: {x-env: test}",
    ),
]


class TestPolicyTests:
    """GS414: tests that expect another decision than the policy makes."""

    @pytest.mark.parametrize(("caller", "call", "decided", "more"), DECIDED)
    def test_test_passes_or_fails(self, check, caller, call, decided, more):
        """The right expectation passes, the other one fails at its place."""
        for expect in ("allow", "deny"):
            loaded, findings, text = check(with_test(caller, call, expect, more))
            failed = [f for f in findings if f.code == "GS414"]
            assert bool(failed) is (expect != decided)
            assert [case.code for case in loaded.cases] == ["GS414"]
            for finding in failed:
                assert finding.is_error
                assert underlined(text, finding) == expect
                assert finding.span == loaded.cases[0].span
                assert loaded.failed is Phase.POLICY_TESTS

    def test_test_is_run_on_every_listener_that_serves_the_method(self, check):
        """If the decision on one listener differs, the test fails and names it."""
        _, [finding], _ = check(with_test(f"{{spiffe: '{CLIENT}'}}"))
        assert finding.message == (
            "a test fails: `/helloworld.Greeter/SayHello` is denied by the default on"
            " `devices`"
        )

    def test_failure_shows_the_trace(self, check):
        """The notes show the rule that decided, and why the others did not."""
        policy = with_test(
            f"{{spiffe: '{CLIENT}'}}",
            "/helloworld.Greeter/Chat",
            "allow",
            ", metadata: {x-env: prod}, listener: public",
        )
        _, [finding], text = check(policy)
        assert finding.message == (
            "a test fails: `/helloworld.Greeter/Chat` is denied by rule `no-chat` on"
            " `public`"
        )
        assert finding.label == "expected: allow"
        [label] = finding.secondary
        assert (underlined(text, label), label.text) == ("no-chat", "decides")
        assert finding.notes == (
            "the caller is `anyone`, `client`, `presented`, `verified`",
            "`no-chat` denies it and decides",
            "`hello` allows it, but an earlier rule decides",
        )

    @pytest.mark.parametrize(("sent", "decided"), [("prod", "deny"), ("x", "allow")])
    def test_metadata_from_a_variable_is_sent_and_not_shown(self, check, sent, decided):
        """The value is neither in the title of a test (JUnit) nor in a finding."""
        policy = with_test(
            f"{{spiffe: '{CLIENT}'}}",
            "/helloworld.Greeter/Chat",
            "deny",
            ", listener: public, metadata: {x-env: '${SENT}', x-a: b}",
        ).replace("x-env: [prod]", "x-env: ['${WANTED}']")
        environ = {"SENT": sent, "WANTED": "prod"}
        loaded, findings, _ = check(policy, environ=environ)
        assert [f.code for f in findings] == ["GS414"] * (decided != "deny")
        [case] = loaded.cases
        assert case.name == (
            f"deny /helloworld.Greeter/Chat on public x-env=… x-a=b as spiffe:{CLIENT}"
        )
        report = make_report(loaded.draft(complete=True))
        for form in FORMATS:
            assert "prod" not in render(form, [report]).replace("production", "")

    @pytest.mark.parametrize("expect", ["allow", "deny"])
    def test_caller_from_a_variable_is_used_and_not_shown(self, check, expect):
        """The names in a certificate may be private; the called method is not."""
        policy = with_test(
            "{spiffe: '${WHO}', dns: a.example}",
            "'/helloworld.Greeter/${WHAT}'",
            expect,
            ", listener: '${WHERE}'",
        )
        environ = {"WHO": CLIENT, "WHAT": "SayHello", "WHERE": "public"}
        loaded, findings, _ = check(policy, environ=environ)
        assert [f.code for f in findings] == ["GS414"] * (expect == "deny")
        [case] = loaded.cases
        assert case.name == (
            f"{expect} /helloworld.Greeter/SayHello on public as spiffe:… dns:a.example"
        )
        report = make_report(loaded.draft(complete=True))
        for form in FORMATS:
            assert CLIENT not in render(form, [report])

    def test_failure_names_claimed_identities(self, check):
        """The notes explain that a name without a CA is not verified."""
        policy = with_test(f"{{spiffe: '{CLIENT}'}}", more=", listener: devices")
        _, [finding], _ = check(policy)
        assert finding.notes == (
            (
                "the caller is `anyone`, `presented`; it claims to be `client`, which"
                " is not verified"
            ),
            "`hello` allows `client`, `units` only",
        )

    def test_each_registered_certificate_is_a_caller(self, check, folder):
        """If one of them is denied, the test fails and names its file."""
        pinned = folder / "pinned"
        pinned.mkdir(exist_ok=True)
        shutil.copy(folder / "certs/client.pem", pinned / "a.pem")
        shutil.copy(folder / "certs/broken/client-other-ca.pem", pinned / "b.pem")
        _, [finding], _ = check(with_test("{certificates: pinned}"))
        assert finding.message == (
            "a test fails: `/helloworld.Greeter/SayHello` is denied by the default for"
            " `b.pem` on `public`"
        )

    @pytest.mark.parametrize("expect", ["allow", "deny"])
    @pytest.mark.parametrize(
        ("is_on", "decided"), [("true", "allow"), ("false", "deny")]
    )
    def test_disabled_service_does_not_exist(self, check, is_on, decided, expect):
        """A rule opens reflection only if it is served, as on the wire."""
        policy = (
            "authorization:\n"
            '  rules: {r: {allow: [anyone], methods: ["/grpc.reflection.*"]}}\n'
            f"  tests: [{{as: anonymous, call: {REFLECT}, expect: {expect}}}]\n"
        )
        config = CONFIG.replace("server: {", f"server: {{reflection: {is_on}, ")
        codes = {finding.code for finding in check(policy, config=config)[1]}
        assert ("GS414" in codes) is (expect != decided)
        assert "GS406" not in codes

    def test_method_that_no_listener_serves(self, check):
        """The test fails, since no listener serves the method."""
        config = CONFIG.replace(
            "      client_ca: certs/ca.pem\n",
            "      client_ca: certs/ca.pem\n    services: [grpc.health.v1.Health]\n",
        ).replace("services: [helloworld.Greeter]", "services: [grpc.health.v1.Health]")
        policy = (
            "authorization:\n"
            "  rules: {r: {allow: [verified], methods: ['*']}}\n"
            f"  tests: [{{as: anonymous, call: {SAY}, expect: deny}}]\n"
        )
        _, findings, _ = check(policy, config=config)
        [finding] = [f for f in findings if f.code == "GS414"]
        assert finding.message == f"a test fails: no listener serves `{SAY}`"

    def test_junit_has_a_case_for_each_test(self, check):
        """Passed tests have a case, too; all have stable names."""
        policy = with_test("anonymous", expect="deny").replace(
            "tests: [", f"tests: [{{as: anonymous, call: {SAY}, expect: allow}}, "
        )
        loaded, _, _ = check(policy)
        text = render("junit", [make_report(loaded.draft())])
        assert f'<testcase name="allow {SAY} as anonymous server.yaml:' in text
        assert f'<testcase name="deny {SAY} as anonymous server.yaml:' in text
        assert text.count("<failure ") == 1
        assert 'type="GS414"' in text
        assert 'name="valid"' not in text


class TestPins:
    """GS415 to GS417: the files of registered certificates."""

    @staticmethod
    def policy(pattern):
        """Return a policy with one registered identity."""
        return (
            f"identities: {{units: {{certificates: '{pattern}'}}}}\n"
            "authorization: {rules: {all: {allow: [units], methods: ['*']}}}\n"
        )

    @pytest.mark.parametrize(
        ("pattern", "message"),
        [
            ("none.pem", "`none.pem` does not exist"),
            ("certs/client.key", "`certs/client.key` holds no certificate"),
            ("bad/empty.pem", "`bad/empty.pem` holds no certificate"),
            ("bad/*.pem", "`broken.pem` has a broken block at its line 1"),
            ("bad", "`broken.pem` has a broken block at its line 1"),
            ("bad/x.cer", "`bad/x.cer` holds no certificate"),
            ("bad/folder.pem/x", "`bad/folder.pem/x` does not exist"),
            ("away/*.pem", "`away` does not exist"),
        ],
    )
    def test_file_without_a_certificate_is_an_error(
        self, check, folder, pattern, message
    ):
        """The finding is at the pattern and names the file, and fails the start."""
        bad = folder / "bad"
        (bad / "folder.pem").mkdir(parents=True, exist_ok=True)
        (bad / "empty.pem").write_text("")
        (bad / "x.cer").write_bytes(b"\x30\x03\x02\x01\x05")
        (bad / "broken.pem").write_text(
            "-----BEGIN CERTIFICATE-----\nMIIx\n-----END CERTIFICATE-----\n"
        )
        loaded, findings, text = check(self.policy(pattern))
        assert {f.code for f in findings} == {"GS415"}
        assert findings[0].message.startswith(message)
        assert underlined(text, findings[0]) == f"'{pattern}'"
        assert loaded.failed is Phase.FILES

    @pytest.mark.parametrize("pattern", ["certs/*.none", "nobody"])
    def test_pattern_without_a_file_is_a_warning(self, check, folder, pattern):
        """The directory may be filled later."""
        (folder / "nobody").mkdir(exist_ok=True)
        _, findings, text = check(self.policy(pattern))
        assert [(f.code, underlined(text, f)) for f in findings] == [
            ("GS417", f"'{pattern}'")
        ]
        assert not findings[0].is_error

    def test_certificate_outside_its_dates_is_a_warning(self, check):
        """It is not accepted; the others of the pattern are."""
        _, findings, _ = check(self.policy("certs/client.pem"))
        assert findings == []
        later = NOW + timedelta(days=31)
        policy = self.policy("certs/broken/client-expired.pem")
        _, [finding], _ = check(policy)
        assert finding.code == "GS416"
        assert finding.message.endswith("is not accepted: certificate has expired")
        codes = {f.code for f in check(self.policy("certs/client.pem"), now=later)[1]}
        assert "GS416" in codes

    def test_same_file_by_two_patterns_is_one_finding(self, check):
        """The file is reported once, at the first pattern that matches it."""
        policy = self.policy("none.pem").replace(
            "identities: {", "identities: {more: {certificates: none.pem}, "
        )
        _, findings, _ = check(policy.replace("[units]", "[units, more]"))
        assert [f.code for f in findings] == ["GS415"]
        assert len(findings[0].secondary) == 1

    def test_fingerprints_are_those_that_the_policy_needs(self, check, folder):
        """PEM and DER files have fingerprints, by the pattern of the model."""
        der = folder / "der"
        der.mkdir(exist_ok=True)
        loaded, _, _ = check(self.policy("certs/client.pem"))
        [(_, certificate)] = loaded.pins.certificates(f"{folder}/certs/client.pem")
        (der / "x.cer").write_bytes(certificate.der)
        loaded, findings, _ = check(self.policy("der"))
        assert findings == []
        assert loaded.pins.fingerprints == {
            f"{folder}/der": frozenset({certificate.fingerprint})
        }
        config = loaded.document.config
        assert compile_policy(
            config.authorization, config.identities, pins=loaded.pins.fingerprints
        )


def listener(mode, client_ca=None):
    """Return a listener with a mode; None is plaintext."""
    path = ROOT
    return Listener(
        name="x",
        address=TcpAddress("::1", 0),
        tls=None
        if mode is None
        else TlsSettings(
            certificate=path,
            private_key=path,
            client_certificate=mode,
            client_ca=client_ca,
        ),
    )


CALLER = Matcher((Criterion(MatcherKind.DNS, "a"),))


@pytest.mark.parametrize(
    ("mode", "client_ca"),
    [*itertools.product(ClientCertificateMode, (None, ROOT)), (None, None)],
)
def test_synthetic_peer_has_the_state_that_the_listener_gives(mode, client_ca):
    """It is never verified without a check, and anonymous without a request."""
    where = listener(mode, client_ca)
    state = synthetic_peer(CALLER, where).state
    if mode is None or not mode.asks:
        assert state is PeerState.ANONYMOUS
    elif mode.verifies or client_ca is not None:
        assert state is PeerState.VERIFIED
    else:
        assert state is PeerState.CLAIMED
    assert synthetic_peer(None, where).state is PeerState.ANONYMOUS


def test_synthetic_certificate_has_exactly_the_listed_names():
    """Each kind has its own field; a subject also sets its parts."""
    certificate = synthetic_certificate(
        Matcher(
            (
                Criterion(MatcherKind.SPIFFE, "spiffe://td/a"),
                Criterion(MatcherKind.IP, "::0001"),
                Criterion(MatcherKind.EMAIL, "a@b"),
                Criterion(MatcherKind.SUBJECT, r"OU=One,CN=a\,b"),
                Criterion(MatcherKind.ORGANIZATIONAL_UNIT, "Two"),
                Criterion(MatcherKind.PUBLIC_KEY, "sha256:00"),
            )
        )
    )
    assert certificate.uris == ("spiffe://td/a",)
    assert certificate.ips == ("::1",)
    assert certificate.emails == ("a@b",)
    assert certificate.common_name == "a,b"
    assert certificate.organizational_units == ("One", "Two")
    assert certificate.public_key == "sha256:00"
    assert (certificate.dns, certificate.fingerprint) == ((), "")


def test_units_of_a_synthetic_certificate_keep_their_order():
    """The output is the same in every run, independent of hash seeds."""
    subject = ",".join(f"OU={name}" for name in "hgfedcba")
    certificate = synthetic_certificate(
        Matcher(
            (
                Criterion(MatcherKind.SUBJECT, subject),
                Criterion(MatcherKind.ORGANIZATIONAL_UNIT, "a unit"),
            )
        )
    )
    assert certificate.organizational_units == (*"hgfedcba", "a unit")


@pytest.mark.parametrize("name", ["a", " a,b ", "#x", 'q"+<>;\\', " "])
def test_synthetic_subject_reads_back(name):
    """A common name is escaped as RFC 4514 requires."""
    made = synthetic_certificate(
        Matcher((Criterion(MatcherKind.COMMON_NAME, name),))
    ).subject
    again = synthetic_certificate(Matcher((Criterion(MatcherKind.SUBJECT, made),)))
    assert again.common_name == name
