"""The command line as a whole: help, dispatch, exit codes, internal errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.process import ROOT, run, write_config

import grpcsecure
from grpcsecure.cli.main import main

COMMANDS = ["certs", "explain", "schema", "serve", "validate"]


@pytest.fixture(name="call")
def _call(capsys, monkeypatch):
    """Run the command line here; return its exit code, stdout and stderr."""
    for name in ("GRPCSECURE_CONFIG", "GRPCSECURE_PROFILE", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)

    def call(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        return int(ended.value.code or 0), *capsys.readouterr()

    return call


def test_version(call):
    """`--version` prints the version of the package."""
    assert call("--version") == (0, f"grpcsecure {grpcsecure.__version__}\n", "")


def test_help_lists_the_commands_and_exit_codes(call):
    """The help lists all commands and the meaning of the exit codes."""
    code, out, err = call("--help")
    assert (code, err) == (0, "")
    listed = out.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in listed[: len(COMMANDS)]] == COMMANDS
    assert "Exit codes: 0 success, 1 the check failed, 2 could not do" in out


@pytest.mark.parametrize(
    "command", [["serve"], ["validate"], ["schema"], ["certs", "dev"]]
)
def test_help_of_each_command_ends_with_examples_and_exit_codes(command, call):
    """The help of each command has examples and exit codes."""
    code, out, _ = call(*command, "--help")
    assert code == 0
    assert f"  grpcsecure {' '.join(command)}" in out.partition("Examples:\n")[2]
    assert out.splitlines()[-1].strip()
    assert "Exit codes: 0" in out.partition("Examples:\n")[2]


@pytest.mark.parametrize("command", ["serve", "validate"])
def test_options_name_their_variable(command, call):
    """The help of an option names the environment variable that can set it."""
    assert "GRPCSECURE_PROFILE" in call(command, "--help")[1]


def test_unknown_command_names_the_nearest(call):
    """A misspelt command is exit 2, with a suggestion on stderr."""
    code, out, err = call("validte")
    assert (code, out) == (2, "")
    assert "no command `validte`, did you mean `validate`?" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--color", "sometimes", "schema"],
        ["validate", "--format", "xml"],
        ["serve", "-x"],
    ],
)
def test_wrong_usage_is_exit_2_on_stderr(arguments, call):
    """Invalid options are exit 2, with the usage on stderr."""
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("Usage: grpcsecure")


def test_schema_is_the_one_in_the_repository(call):
    """`schema` prints the schema that editors, the loader and the docs use."""
    code, out, err = call("schema")
    assert (code, err) == (0, "")
    assert json.loads(out) == json.loads(
        (ROOT / "schemas" / "config.schema.json").read_text()
    )


def test_module_and_command_are_the_same():
    """`python -m grpcsecure` runs the command."""
    result = run("--version")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == f"grpcsecure {grpcsecure.__version__}\n"


class TestInternalError:
    """Reports of a bug in grpcsecure, simulated by a module that patches it."""

    @pytest.fixture(name="config")
    def _config(self, tmp_path):
        """A config whose servicer's module breaks the next check."""
        (tmp_path / "saboteur.py").write_text(
            "from helloworld.greeter import Greeter\n"
            "from grpcsecure.server.services import checks\n"
            "checks.check_together = None\n"
        )
        return write_config(tmp_path / "server.yaml", "saboteur:Greeter")

    @pytest.mark.parametrize("name", ["server.yaml", "-v"])
    def test_is_one_line(self, config, name):
        """One line says that it is a bug in grpcsecure, without a traceback."""
        config.rename(config.with_name(name))
        result = run("validate", "--", name, cwd=config.parent)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr == (
            "internal error: TypeError: 'NoneType' object is not callable"
            " (this is a bug in grpcsecure; -v shows the traceback)\n"
        )

    @pytest.mark.parametrize("options", [["-v"], ["-qv"], ["--verbose"]])
    def test_verbose_shows_the_traceback(self, config, options):
        """`-v`, in any spelling, shows the traceback for a bug report."""
        result = run(*options, "validate", config, cwd=Path(config).parent)
        assert (result.returncode, result.stdout) == (2, "")
        lines = result.stderr.splitlines()
        assert lines[0] == "Traceback (most recent call last):"
        assert lines[-1].startswith("internal error: TypeError")
