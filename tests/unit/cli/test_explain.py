"""`grpcsecure explain`: its output, output streams and exit codes."""

from __future__ import annotations

import json
import sys

import pytest
from support.certificates import CLIENT, make_specimens
from support.explaining import CONFIG, HELLO
from support.process import run

from grpcsecure.cli.explain import FORMATS
from grpcsecure.cli.main import main
from grpcsecure.diagnostics.catalog import CATALOG

GOOD = f"""\
{CONFIG}identities: {{shop: {{spiffe: "spiffe://grpcsecure.test/client"}}}}
authorization:
  rules:
    hello: {{allow: [shop], methods: ["{HELLO}"]}}
profiles:
  open: {{authorization: {{default: allow}}}}
"""

SHOP = ("--as", CLIENT)
OTHER = ("--as", "dns:other.test")
CALL = ("--method", HELLO)


@pytest.fixture(name="folder", scope="module")
def _folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explain")
    make_specimens(folder / "certs")
    return folder


@pytest.fixture(name="call")
def _call(folder, capsys, monkeypatch):
    """Run `explain` in `folder`; return its exit code, stdout and stderr."""
    for name in ("GRPCSECURE_CONFIG", "GRPCSECURE_PROFILE", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", sys.dont_write_bytecode)
    (folder / "shop.yaml").write_text(GOOD)

    def call(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(["explain", *(str(argument) for argument in arguments)])
        return int(ended.value.code or 0), *capsys.readouterr()

    return call


class TestExitCodes:
    """Exit code and streams do not depend on the format; stdout has the answer."""

    @pytest.mark.parametrize("form", ["text", "json"])
    def test_allowed(self, form, call):
        """An allowed call is exit 0."""
        code, out, err = call("shop.yaml", *CALL, *SHOP, "--format", form)
        assert (code, err) == (0, "")
        assert "hello" in out

    @pytest.mark.parametrize("form", ["text", "json"])
    def test_denied(self, form, call):
        """A denied call is exit 1, with the answer on stdout."""
        code, out, err = call("shop.yaml", *CALL, *OTHER, "--format", form)
        assert (code, err) == (1, "")
        assert "default" in out

    @pytest.mark.parametrize("form", FORMATS)
    def test_table(self, form, call):
        """The table is exit 0: it has no single call that could be denied."""
        code, out, err = call("shop.yaml", "--list", "--format", form)
        assert (code, err) == (0, "")
        assert "SayHello" in out

    @pytest.mark.parametrize("form", ["text", "json"])
    def test_finding(self, form, call):
        """The text of a finding is exit 0."""
        code, out, err = call("GS402", "--format", form)
        assert (code, err) == (0, "")
        assert "unverified-identity" in out

    @pytest.mark.parametrize("form", FORMATS)
    def test_config_with_errors(self, form, call, folder):
        """A config with errors is exit 2, with the findings on stderr."""
        (folder / "bad.yaml").write_text(GOOD.replace("rules", "ruls"))
        code, out, err = call("bad.yaml", "--list", "--format", form)
        assert (code, out) == (2, "")
        assert "GS102" in err

    @pytest.mark.parametrize("question", [("--list",), (*CALL, *SHOP)])
    def test_unreadable_config(self, call, question):
        """A file that cannot be read is exit 2."""
        code, out, err = call("none.yaml", *question)
        assert (code, out) == (2, "")
        assert "GS001" in err

    def test_as_a_process(self, folder, call):
        """A process has the same output as the command in this process."""
        arguments = ("shop.yaml", *CALL, *OTHER)
        result = run("explain", *arguments, cwd=folder)
        output = (result.returncode, result.stdout, result.stderr)
        assert output == call(*arguments)

    def test_quiet_changes_nothing(self, call, capsys):
        """With -q the verdict is still printed: it is the result."""
        loud = call("shop.yaml", *CALL, *OTHER)
        with pytest.raises(SystemExit) as ended:
            main(["-q", "explain", "shop.yaml", *CALL, *OTHER])
        assert (ended.value.code, *capsys.readouterr()) == loud


class TestWrongUsage:
    """Missing, contradicting or wrong options are exit 2, with a hint."""

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ((), "add --method M, or --list, or name a finding such as GS402"),
            (("shop.yaml",), "add --method M, or --list, or name a finding"),
            (("shop.yaml", *CALL), "name the caller: --as KIND:VALUE, --cert PEM or"),
            (("shop.yaml", *SHOP), "name the call: --method"),
            (("shop.yaml", "--list", *CALL), "--method and --list exclude each other"),
            (("shop.yaml", "--list", *SHOP), "--as and --list exclude each other"),
            (
                ("shop.yaml", *CALL, *SHOP, "--anonymous"),
                "--as and --anonymous exclude each other",
            ),
            (
                ("shop.yaml", *CALL, "--cert", "x.pem", "--anonymous"),
                "--cert and --anonymous exclude each other",
            ),
            (
                ("shop.yaml", *CALL, *SHOP, "--format", "html"),
                "--format html is for --list; use text or json here",
            ),
            (("GS402", "--format", "markdown"), "--format markdown is for --list"),
            (
                ("shop.yaml", *CALL, *SHOP, "--listener", "pubic"),
                "no listener `pubic`, did you mean `public`?",
            ),
            (
                ("shop.yaml", *CALL, *SHOP, "--listener", "x"),
                "no listener `x`, there are `public`",
            ),
            (
                ("shop.yaml", "--method", "/helloworld.Greeter/SayHelo", *SHOP),
                "no listener serves `/helloworld.Greeter/SayHelo`; did you mean",
            ),
            (("shop.yaml", *CALL, "--as", "cn:a"), "did you mean `common_name`?"),
            (
                ("shop.yaml", *CALL, "--cert", "certs/clint.pem"),
                "no such file or directory; did you mean `certs/client.pem`?",
            ),
            (("shop.yaml", *CALL, "--as", "dsn:a"), "did you mean `dns`?"),
            (
                ("shop.yaml", *CALL, "--as", "shop"),
                "an identity; name what is in the certificate, such as",
            ),
            (("shop.yaml", *CALL, "--as", "x"), "expected KIND:VALUE, KIND one of"),
            (("shop.yaml", *CALL, "--as", "dns:"), "expected KIND:VALUE"),
            (("shop.yaml", *CALL, "--as", "dns:*.a"), "expected one name, and no"),
            (("shop.yaml", *CALL, "--as", "ip:a"), "expected an IP address"),
            (("shop.yaml", *CALL, "--as", "anonymous"), "did you mean `--anonymous`?"),
            (("shop.yaml", *CALL, "--as", "certificates:a"), "a file is for --cert"),
            (
                ("shop.yaml", *CALL, "--as", "dns:a", "--as", "dns:b"),
                "a second dns; use --cert",
            ),
            (("shop.yaml", *CALL, "--cert", "none.pem"), "no such file or directory"),
            (
                ("shop.yaml", *CALL, "--cert", "shop.yaml"),
                "it contains no PEM certificate",
            ),
            (
                ("shop.yaml", *CALL, "--cert", "certs/broken/ca-broken.pem"),
                "line ",
            ),
            (
                ("shop.yaml", *CALL, *SHOP, "--metadata", "x-env"),
                "--metadata `x-env`: expected KEY=VALUE",
            ),
            (
                ("shop.yaml", *CALL, *SHOP, "--metadata", "x y=z"),
                "expected KEY=VALUE",
            ),
            (
                ("shop.yaml", *CALL, *SHOP, "--metadata", "x-bin=!"),
                "expected base64",
            ),
            (("shop.yaml", "--list", "--profile", "opn"), "did you mean `open`?"),
            (("GS499",), "did you mean `GS4"),
            (("unverified-identty",), "did you mean `unverified-identity`?"),
            (("shop.yaml",), "nothing to explain: add --method M"),
            (("-",), "nothing to explain: add --method M"),
            (("no-such-thing",), "no finding and no file is called `no-such-thing`"),
            (("x" * 5000,), "no finding and no file is called `xxx"),
        ],
    )
    def test_refused(self, call, arguments, message):
        """One line names the mistake, with the nearest known name."""
        code, out, err = call(*arguments)
        assert (code, out) == (2, "")
        assert message in err
        assert err.count("\n") == 1

    def test_key_in_the_same_file(self, call, folder):
        """A file with certificate and key can be used; the key is never shown."""
        key = (folder / "certs" / "client.key").read_text()
        pem = (folder / "certs" / "client.pem").read_text()
        (folder / "both.pem").write_text(key + pem)
        code, out, err = call("shop.yaml", *CALL, "--cert", "both.pem")
        assert code == 0
        secret = {line for line in key.splitlines() if len(line) > 20}
        assert not any(line in out + err for line in secret)


class TestAnswers:
    """The answer depends on the options."""

    def test_profile(self, call):
        """With --profile, the rules of the profile decide."""
        assert call("shop.yaml", *CALL, *OTHER)[0] == 1
        assert call("shop.yaml", *CALL, *OTHER, "--profile", "open")[0] == 0

    def test_config_from_the_environment(self, call, monkeypatch):
        """Without an argument the config is $GRPCSECURE_CONFIG."""
        monkeypatch.setenv("GRPCSECURE_CONFIG", "shop.yaml")
        assert call(*CALL, *SHOP)[0] == 0

    def test_metadata(self, call, folder):
        """Keys are compared in lower case, values of `-bin` keys as bytes."""
        text = GOOD.replace(
            "allow: [shop], ", "allow: [shop], metadata: {x-a: [b], x-bin: [AAE]}, "
        )
        (folder / "sent.yaml").write_text(text)
        sent = ("--metadata", "X-A=b", "--metadata", "x-bin=AAE=")
        assert call("sent.yaml", *CALL, *SHOP)[0] == 1
        assert call("sent.yaml", *CALL, *SHOP, *sent)[0] == 0

    def test_no_services(self, call, folder):
        """With --no-services user code is not imported, and the answer says so."""
        text = GOOD.replace("helloworld.greeter:Greeter", "not_there:Greeter")
        (folder / "user.yaml").write_text(text)
        assert call("user.yaml", *CALL, *SHOP)[0] == 2
        code, out, _ = call("user.yaml", *CALL, *SHOP, "--no-services")
        assert code == 0
        assert "the served methods are not known" in out

    def test_works_despite_failed_policy_tests(self, call, folder):
        """Failed policy tests do not stop it: users run it to find their cause."""
        tests = f"  tests: [{{as: anonymous, call: {HELLO}, expect: allow}}]\n"
        (folder / "failing.yaml").write_text(
            GOOD.replace("profiles:", f"{tests}profiles:")
        )
        assert call("failing.yaml", *CALL, *SHOP)[0] == 0

    def test_name_of_a_finding(self, call):
        """A finding can be given by name or code, in upper or lower case."""
        assert call("Unverified-Identity") == call("gs402")

    def test_examples_of_a_finding(self, call):
        """The text of a finding has a wrong and a right example."""
        _, out, _ = call("GS402")
        assert "wrong:" in out
        assert "right:" in out

    def test_every_finding(self, call):
        """Each code of the catalogue has a text, in both formats."""
        for code, kind in CATALOG.items():
            status, out, _ = call(code)
            assert (status, kind.name in out) == (0, True)
            assert json.loads(call(kind.name, "--format", "json")[1])["code"] == code


def test_help_ends_with_examples_and_exit_codes(call):
    """The help has examples, then the exit codes."""
    code, out, _ = call("--help")
    assert code == 0
    assert out.index("Examples:") < out.index("Exit codes: 0 allowed")


def test_nothing_is_written(tmp_path):
    """No file is created or changed, so it is safe beside a running server."""
    make_specimens(tmp_path / "certs")
    (tmp_path / "shop.yaml").write_text(GOOD)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert run("explain", "shop.yaml", "--list", cwd=tmp_path).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
