"""`--no-files` of `validate` and `explain`, and what `validate` says it has checked."""

from __future__ import annotations

import json
import sys

import pytest
from support.certificates import make_certificates
from support.explaining import HELLO, tls
from support.process import ROOT

from grpcsecure.cli.main import main

CLIENT = "spiffe://grpcsecure.test/client"

#: A config whose key files do not exist until a test makes them.
CONFIG = f"""\
version: 1
services: [{{servicer: 'helloworld.greeter:Greeter'}}]
server: {{import_paths: ['{ROOT / "examples"}'], health: false}}
listeners:
  public: {{address: '127.0.0.1:0', {tls("require_and_verify")}}}
identities:
  shop: {{spiffe: '{CLIENT}'}}
  units: {{certificates: certs/client.pem}}
authorization:
  rules:
    hello: {{allow: [shop, units], methods: ['/helloworld.Greeter/*', '{HELLO}']}}
"""

#: Tests of the config, each with whether it needs a file.
TESTS = {
    f"{{spiffe: '{CLIENT}'}}": False,
    "anonymous": False,
    "{public_key: 'sha256:" + "0" * 64 + "'}": False,
    "{fingerprint: 'sha256:" + "0" * 64 + "'}": True,
    "{certificates: certs/client.pem}": True,
}


def with_tests(*callers, expect="allow"):
    """Return the config with a test for each caller."""
    lines = (f"    - {{as: {c}, call: {HELLO}, expect: {expect}}}\n" for c in callers)
    return CONFIG + "  tests:\n" + "".join(lines)


@pytest.fixture(name="call")
def _call(capsys, monkeypatch, tmp_path):
    """Run a command on `server.yaml`; return its exit code, stdout and stderr."""
    for name in ("GRPCSECURE_CONFIG", "GRPCSECURE_PROFILE", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", sys.dont_write_bytecode)

    def call(command, text, *arguments):
        (tmp_path / "server.yaml").write_text(text)
        with pytest.raises(SystemExit) as ended:
            main([command, "server.yaml", *arguments])
        return int(ended.value.code or 0), *capsys.readouterr()

    return call


class TestValidate:
    """Everything but key material is checked."""

    def test_missing_files_do_not_matter(self, call):
        """Without certificates the check fails, and with --no-files it passes."""
        code, out, _ = call("validate", CONFIG)
        assert code == 1
        assert "GS201" in out
        code, out, err = call("validate", CONFIG, "--no-files")
        assert (code, err) == (0, "")
        assert out == (
            "server.yaml: ok. Checked: services (there are no policy tests)."
            " Not checked: files.\n"
        )

    def test_findings_are_those_of_a_check_with_files(self, call, tmp_path):
        """Mistakes in services, rules, methods and tests are found without files."""
        mistakes = [
            with_tests("anonymous"),
            CONFIG.replace("Greeter'", "Greter'"),
            CONFIG.replace("SayHello", "SayHelo"),
            CONFIG.replace("[shop, units]", "[shp]"),
        ]
        lines = ("--format", "concise")
        without = [call("validate", each, *lines, "--no-files") for each in mistakes]
        make_certificates(tmp_path / "certs")
        assert [call("validate", each, *lines) for each in mistakes] == without
        assert {code for code, *_ in without} == {1}

    @pytest.mark.parametrize(("caller", "needs_file"), TESTS.items())
    def test_only_tests_that_need_a_file_are_left_out(self, call, caller, needs_file):
        """A wrong expectation is found unless a file decides, as the last line says."""
        expect = "deny" if "spiffe" in caller else "allow"
        code, out, _ = call("validate", with_tests(caller, expect=expect), "--no-files")
        assert code == (0 if needs_file else 1)
        assert ("GS414" in out) is not needs_file
        assert ("1 policy test on certificates in files." in out) is needs_file

    def test_fingerprint_needs_a_file_only_beside_registered_files(self, call):
        """Without `certificates` among the identities, the rules alone decide."""
        text = with_tests(*(c for c in TESTS if "fingerprint" in c))
        text = text.replace("  units: {certificates: certs/client.pem}\n", "")
        code, out, _ = call("validate", text.replace(", units]", "]"), "--no-files")
        assert code == 1
        assert "GS414" in out

    def test_audit_file_that_is_read_is_found(self, call):
        """Whether it is a file that the server reads can be seen from its path."""
        text = CONFIG + "  audit: all\n  audit_file: "
        code, out, _ = call("validate", text + "certs/server.pem\n", "--no-files")
        assert code == 1
        assert "GS420" in out
        assert call("validate", text + "no/audit.log\n", "--no-files")[0] == 0

    def test_ignore_of_a_finding_about_files_is_not_unused(self, call):
        """A comment for the check with files is no warning in the one without."""
        text = CONFIG.replace("listeners:", "listeners: # grpcsecure: ignore[GS226]")
        assert call("validate", text, "--no-files", "--strict")[0] == 0

    def test_previous_needs_the_files(self, call):
        """--previous compares client CAs, so it excludes --no-files."""
        code, out, err = call("validate", CONFIG, "--no-files", "--previous", "a.pem")
        assert (code, out) == (2, "")
        assert err == "error: --previous and --no-files exclude each other\n"


class TestCoverage:
    """The last line says what was checked and what was not."""

    CALLERS = tuple(TESTS)

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ((), "Checked: files, services, 1 policy test."),
            (("--no-files",), "Checked: services, 1 policy test. Not checked: files."),
            (
                ("--no-services",),
                "Checked: files. Not checked: services, policy tests.",
            ),
            (("--syntax-only",), "Not checked: files, services, policy tests."),
            (
                ("--no-files", "--no-services"),
                "Not checked: files, services, policy tests.",
            ),
        ],
    )
    def test_phases(self, call, tmp_path, options, said):
        """The phases that ran and those that an option left out are listed."""
        make_certificates(tmp_path / "certs")
        code, out, _ = call("validate", with_tests(self.CALLERS[0]), *options)
        assert (code, out) == (0, f"server.yaml: ok. {said}\n")

    def test_profiles(self, call):
        """Profiles that this run does not check are named."""
        text = CONFIG + "profiles: {dev: {}, ci: {}, prod: {}}\n"
        _, out, _ = call("validate", text, "--no-files")
        assert "files, profiles `dev`, `ci`, `prod` (--all-profiles).\n" in out
        _, out, _ = call("validate", text, "--no-files", "--profile", "ci")
        assert "files, profiles `dev`, `prod` (--all-profiles).\n" in out
        _, out, _ = call("validate", text, "--no-files", "--all-profiles")
        assert out.count(" Not checked: files.\n") == 4

    def test_nothing_is_said_of_a_check_that_failed(self, call):
        """After an error the line says which phases did not run."""
        text = CONFIG.replace("[shop, units]", "[shp]")
        _, out, _ = call("validate", text, "--no-files")
        assert out.endswith(
            "server.yaml: 1 error. Not checked yet: services, policy tests"
            " (fix the cross-field errors first).\n"
        )

    def test_json(self, call):
        """`--format json` has the same in `coverage`."""
        text = with_tests(*TESTS, expect="deny") + "profiles: {dev: {}}\n"
        text = text.replace(f"{{spiffe: '{CLIENT}'}}, call", "{dns: a.test}, call")
        _, out, _ = call("validate", text, "--no-files", "--format", "json")
        [report] = json.loads(out)["reports"]
        assert report["coverage"] == {
            "phases": ["services"],
            "phases_left_out": ["files"],
            "policy_tests": 3,
            "policy_tests_left_out": 2,
            "values_left_out": 0,
            "profiles_left_out": ["dev"],
        }

    def test_junit(self, call):
        """`--format junit` has a skipped case for what was left out."""
        text = with_tests("{certificates: certs/client.pem}")
        _, out, _ = call("validate", text, "--no-files", "--format", "junit")
        assert out.count("<skipped ") == 2
        assert 'name="files"' in out


class TestExplain:
    """Key material is read only where the answer depends on it."""

    @pytest.mark.parametrize("options", [(), ("--no-files",)])
    def test_table(self, call, options):
        """The table of rules needs no certificates."""
        code, out, err = call("explain", CONFIG, "--list", *options)
        assert (code, err) == (0, "")
        assert "SayHello           shop, units" in out

    @pytest.mark.parametrize("options", [(), ("--no-files",)])
    @pytest.mark.parametrize(
        ("caller", "code"),
        [
            (("--as", f"spiffe:{CLIENT}"), 0),
            (("--as", "dns:other.test"), 1),
            (("--anonymous",), 1),
        ],
    )
    def test_synthetic_caller(self, call, options, caller, code):
        """Names decide a call, and names need no file."""
        result = call("explain", CONFIG, "--method", HELLO, *caller, *options)
        assert (result[0], result[2]) == (code, "")

    @pytest.mark.parametrize(
        "caller", [("--cert", "c.pem"), ("--as", "fingerprint:sha256:" + "0" * 64)]
    )
    def test_caller_that_needs_files(self, call, caller):
        """A certificate is verified by the CAs, and a fingerprint may be registered."""
        question = ("--method", HELLO, *caller)
        code, out, err = call("explain", CONFIG, *question)
        assert (code, out) == (2, "")
        assert "GS201" in err
        code, out, err = call("explain", CONFIG, *question, "--no-files")
        assert (code, out) == (2, "")
        option = " ".join(("--as", "fingerprint") if "--as" in caller else caller[:1])
        assert err == f"error: {option} and --no-files exclude each other\n"
