"""`grpcsecure validate`: its output, output streams and exit codes."""

from __future__ import annotations

import json
import sys

import pytest
from support.certificates import key_text, make_certificates
from support.process import ROOT, run

from grpcsecure.cli.main import main
from grpcsecure.config.source import MAX_BYTES
from grpcsecure.diagnostics.catalog import CATALOG
from grpcsecure.diagnostics.render import FORMATS

GOOD = f"""\
version: 1
services: [{{servicer: 'helloworld.greeter:Greeter'}}]
server: {{import_paths: ['{ROOT / "examples"}']}}
listeners: {{public: {{address: '127.0.0.1:0', plaintext: true}}}}
"""

BAD = GOOD.replace("listeners", "listners")

#: A warning, which is an error in production and in the profile `broken`.
WARNED = GOOD + "production: false\n"
PROFILES = (
    GOOD
    + "profiles:\n  dev: {server: {reflection: true}}\n"
    + "  broken: {server: {threads: -1}}\n"
)


@pytest.fixture(name="call")
def _call(capsys, monkeypatch, tmp_path):
    """Run `validate` in this process; return its exit code, stdout and stderr."""
    for name in ("GRPCSECURE_CONFIG", "GRPCSECURE_PROFILE", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", sys.dont_write_bytecode)

    def call(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(["validate", *(str(argument) for argument in arguments)])
        return int(ended.value.code or 0), *capsys.readouterr()

    return call


@pytest.fixture(name="write")
def _write(tmp_path):
    """Write a config, by default `server.yaml`; return its path."""

    def write(text, name="server.yaml"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


@pytest.mark.parametrize("form", FORMATS)
class TestExitCodes:
    """The exit code and the streams do not depend on the format."""

    def test_good(self, form, call, write):
        """A config without findings is exit 0; nothing goes to stderr."""
        code, _, err = call("--format", form, write(GOOD))
        assert (code, err) == (0, "")

    def test_bad(self, form, call, write):
        """Findings are exit 1, on stdout."""
        code, out, err = call("--format", form, write(BAD))
        assert (code, err) == (1, "")
        assert "GS102" in out

    def test_warnings(self, form, call, write):
        """Warnings alone are exit 0; with --strict they are errors."""
        path = write(PROFILES)
        code, out, err = call("--format", form, "--profile", "dev", path)
        assert (code, err) == (0, "")
        assert "GS311" in out
        assert call("--strict", "--format", form, "--profile", "dev", path)[0] == 1

    def test_unreadable(self, form, call, tmp_path):
        """A file that cannot be read is exit 2, with a finding on stdout."""
        code, out, err = call("--format", form, tmp_path / "none.yaml")
        assert (code, err) == (2, "")
        assert "GS001" in out

    def test_quiet_changes_nothing(self, form, call, write, capsys):
        """With -q the findings are still printed: they are the result."""
        path = write(BAD)
        loud = call("--format", form, path)
        with pytest.raises(SystemExit) as ended:
            main(["-q", "validate", "--format", form, str(path)])
        assert (ended.value.code, *capsys.readouterr()) == loud


@pytest.mark.parametrize(
    ("data", "finding"),
    [(b"version: \xff", "GS123"), (b" " * (MAX_BYTES + 1), "GS125")],
)
def test_binary_or_huge_file_is_unreadable_to_both(data, finding, tmp_path):
    """A file that is not text, or too large, is exit 2 for `validate` and `serve`."""
    path = tmp_path / "data.yaml"
    path.write_bytes(data)
    for command in ("validate", "serve"):
        result = run(command, path)
        assert result.returncode == 2, command
        assert finding in result.stdout


@pytest.mark.parametrize("form", ["json", "sarif"])
def test_json_formats_are_one_document(form, call, write):
    """The findings of several files are one JSON document."""
    one, two = write(GOOD, "one.yaml"), write(BAD, "two.yaml")
    code, out, _ = call("--format", form, one, two)
    assert code == 1
    assert isinstance(json.loads(out), dict)


class TestWhichConfig:
    """The config comes from an argument, the environment, or the default file."""

    def test_default_file(self, call, write):
        """Without an argument `grpcsecure.yaml` of the current directory is checked."""
        write(BAD, "grpcsecure.yaml")
        code, out, _ = call()
        assert code == 1
        assert "grpcsecure.yaml:4:1" in out

    def test_variable_comes_before_the_default(self, call, write, monkeypatch):
        """$GRPCSECURE_CONFIG has precedence over `grpcsecure.yaml`."""
        write(BAD, "grpcsecure.yaml")
        monkeypatch.setenv("GRPCSECURE_CONFIG", str(write(GOOD)))
        assert call()[0] == 0

    def test_argument_comes_before_the_variable(self, call, write, monkeypatch):
        """An argument has precedence over $GRPCSECURE_CONFIG."""
        monkeypatch.setenv("GRPCSECURE_CONFIG", str(write(BAD, "bad.yaml")))
        assert call(write(GOOD))[0] == 0

    def test_nothing_at_all(self, call):
        """Without any of them the error message names all three."""
        code, out, err = call()
        assert (code, out) == (2, "")
        assert err == (
            "error: no config given: name a file, set $GRPCSECURE_CONFIG,"
            " or create grpcsecure.yaml here\n"
        )

    def test_stdin(self):
        """`-` is standard input, named `<stdin>` in findings."""
        result = run("validate", "-", stdin=BAD)
        assert (result.returncode, result.stderr) == (1, "")
        assert "<stdin>:4:1" in result.stdout

    def test_several_files(self, call, write):
        """All are checked, even if the first one has errors."""
        code, out, _ = call("--format", "concise", write(BAD, "a"), write(BAD, "b"))
        assert code == 1
        assert [line.split(":")[0].rpartition("/")[2] for line in out.splitlines()[:2]]
        assert "a:4:1: error[GS102]" in out
        assert "b:4:1: error[GS102]" in out

    def test_unreadable_among_several_is_exit_2(self, call, write, tmp_path):
        """An unreadable file has precedence over findings in other files."""
        code, out, _ = call(tmp_path / "none", write(BAD))
        assert code == 2
        assert "GS001" in out
        assert "GS102" in out


class TestProfiles:
    """Checking a config with its profiles."""

    def test_profile_is_applied(self, call, write):
        """An error in a profile is found only if that profile is applied."""
        path = write(PROFILES)
        assert call(path)[0] == 0
        code, out, _ = call("--profile", "broken", path)
        assert code == 1
        assert "server.yaml:7:30" in out

    def test_variable_names_the_profile(self, call, write, monkeypatch):
        """$GRPCSECURE_PROFILE works like --profile; an empty value is ignored."""
        path = write(PROFILES)
        monkeypatch.setenv("GRPCSECURE_PROFILE", "broken")
        assert call(path)[0] == 1
        monkeypatch.setenv("GRPCSECURE_PROFILE", "")
        assert call(path)[0] == 0

    def test_all_profiles(self, call, write):
        """The config is checked without and with each profile; findings name it."""
        code, out, _ = call("--all-profiles", write(PROFILES))
        assert code == 1
        assert "profile broken" in out

    def test_unknown_profile_names_the_nearest(self, call, write):
        """An unknown profile is exit 2, with a suggestion on stderr."""
        code, out, err = call("--profile", "devv", write(PROFILES))
        assert (code, out) == (2, "")
        assert "`devv`" in err
        assert "did you mean `dev`?" in err

    def test_one_or_all(self, call, write):
        """--profile and --all-profiles exclude each other."""
        code, out, err = call("--profile", "dev", "--all-profiles", write(PROFILES))
        assert (code, out) == (2, "")
        assert err == "error: --profile and --all-profiles exclude each other\n"

    def test_all_despite_the_variable(self, call, write, monkeypatch):
        """--all-profiles has precedence over $GRPCSECURE_PROFILE."""
        path = write(PROFILES)
        alone = call("--all-profiles", path)
        for name in ("dev", "devv"):
            monkeypatch.setenv("GRPCSECURE_PROFILE", name)
            assert call("--all-profiles", path) == alone


class TestIgnore:
    """Warnings can be ignored, errors cannot."""

    def test_ignored_warning(self, call, write):
        """--ignore takes the code or name of a warning."""
        arguments = ("--profile", "dev", "--strict", write(PROFILES))
        arguments = ("--ignore", "no-authorization", *arguments)
        assert call(*arguments)[0] == 1
        assert call("--ignore", "GS311", *arguments)[0] == 0

    def test_ignored_error_stays(self, call, write):
        """An error, which would stop `serve`, cannot be ignored."""
        code, out, _ = call("--ignore", "GS102", write(BAD))
        assert code == 1
        assert "GS102" in out

    def test_unknown_code_is_exit_2(self, call, write):
        """An unknown code is a usage error."""
        code, out, err = call("--ignore", "GS999", write(GOOD))
        assert (code, out) == (2, "")
        assert "`GS999`" in err

    @pytest.mark.parametrize(
        ("name", "nearest"),
        [
            ("GS399", max(code for code in CATALOG if code < "GS4")),
            ("gs299", max(code for code in CATALOG if code < "GS3")),
            ("reflection-opn", "reflection-open"),
        ],
    )
    def test_suggestion_is_the_same_everywhere(self, name, nearest, call, write):
        """--ignore, ignore comments and `explain` suggest the same finding."""
        _, _, of_option = call("--ignore", name, write(GOOD))
        _, of_comment, _ = call(write(f"{GOOD}# grpcsecure: ignore[{name}]\n"))
        for text in (of_option, of_comment, run("explain", name).stderr):
            assert f"`{nearest}`" in text


class TestPhases:
    """Which phases of the check run."""

    TLS = GOOD.replace(
        "plaintext: true",
        "tls: {certificate: none.pem, private_key: none.key,"
        " client_certificate: dont_request}",
    ).replace("helloworld.greeter", "no_such_module")

    def test_all_phases(self, call, write):
        """It stops after the phase with errors, and lists the phases not run."""
        code, out, _ = call(write(self.TLS))
        assert code == 1
        assert "none.pem" in out
        assert "no_such_module" not in out
        assert "Not checked yet: services, policy tests" in out

    def test_syntax_only(self, call, write):
        """With --syntax-only the files that the config names need not exist."""
        assert call("--syntax-only", write(self.TLS))[0] == 0

    def test_no_services(self, call, write, tmp_path):
        """With --no-services user code is not imported, but files are checked."""
        make_certificates(tmp_path / "certs")
        path = write(self.TLS.replace("none.", "certs/server."))
        assert call("--no-services", path)[0] == 0
        code, out, _ = call(path)
        assert code == 1
        assert "GS501" in out


class TestPrevious:
    """`--previous`: comparison with the client CAs used before."""

    CONFIG = GOOD.replace(
        "{address: '127.0.0.1:0', plaintext: true}",
        "{address: '127.0.0.1:0', tls: {certificate: certs/server.pem,"
        " private_key: certs/server.key, client_certificate: require_and_verify,"
        " client_ca: certs/ca.pem}}",
    )

    def test_each_file_counts(self, call, write, tmp_path):
        """A removed CA is reported for each file that has it."""
        for name in ("certs", "one", "two"):
            make_certificates(tmp_path / name)
        same, one, two = (
            ("--previous", tmp_path / name / "ca.pem")
            for name in ("certs", "one", "two")
        )
        path = write(self.CONFIG)
        for order in ((*one, *two), (*same, *one), (*one, *same)):
            code, out, _ = call(*order, path)
            lost = sum(order.count(file) for _, file in (one, two))
            assert (code, out.count("GS234")) == (0, lost)
        assert "GS234" not in call(*same, path)[1]

    def test_without_the_files_there_is_nothing_to_compare(self, call, write, tmp_path):
        """--syntax-only reads no CA files, so it cannot be combined with --previous."""
        code, out, err = call(
            "--syntax-only", "--previous", tmp_path / "any.pem", write(GOOD)
        )
        assert (code, out) == (2, "")
        assert "--previous and --syntax-only exclude each other" in err


class TestHarmless:
    """It writes no files and shows no secrets."""

    def test_nothing_is_written(self, tmp_path):
        """Not even bytecode of imported modules is written."""
        (tmp_path / "mine.py").write_text("from helloworld.greeter import Greeter\n")
        config = tmp_path / "server.yaml"
        config.write_text(GOOD.replace("helloworld.greeter", "mine"))
        before = sorted(tmp_path.rglob("*"))
        assert run("validate", config, cwd=tmp_path).returncode == 0
        assert sorted(tmp_path.rglob("*")) == before

    def test_factories_are_not_called(self, call, write, tmp_path, monkeypatch):
        """A factory is called when the server starts, so none raises here."""
        (tmp_path / "calls_nothing.py").write_text(
            "from helloworld.greeter import Greeter\n"
            "def make() -> Greeter:\n    raise AssertionError\n"
        )
        path = write(GOOD.replace("helloworld.greeter:Greeter", "calls_nothing:make"))
        assert call(path)[0] == 0

    def test_printed_config_has_no_secrets(self, call, write, tmp_path, monkeypatch):
        """--print-config shows the effective config without keys and arguments."""
        make_certificates(tmp_path / "certs")
        monkeypatch.setenv("WORD", "s3cret-from-the-environment")
        plaintext = "{address: '127.0.0.1:0', plaintext: true}"
        tls = """{address: '127.0.0.1:0', tls: {certificate: certs/server.pem,
          private_key: certs/server.key, client_certificate: dont_request}}"""
        text = GOOD.replace(plaintext, tls).replace(
            "Greeter'}", "Greeter', with: {greeting: '${WORD}'}}"
        )
        code, out, err = call("--print-config", write(text))
        assert code == 0
        assert "threads: 16" in out
        assert "s3cret" not in out + err
        assert not any(line in out + err for line in key_text(tmp_path))
        assert "GS313" in err

    def test_printed_config_of_a_bad_file(self, call, write):
        """A config with errors is not printed; its findings go to stderr."""
        code, out, err = call("--print-config", write(BAD))
        assert (code, out) == (1, "")
        assert "GS102" in err

    @pytest.mark.parametrize("form", [form for form in FORMATS if form != "full"])
    def test_printed_config_has_one_format(self, form, call, write):
        """It is always YAML, so --format cannot be combined with it."""
        code, out, err = call("--print-config", "--format", form, write(GOOD))
        assert (code, out) == (2, "")
        assert err == f"error: --print-config and --format {form} exclude each other\n"
