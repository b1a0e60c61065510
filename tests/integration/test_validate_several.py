"""`validate` of several configs: no module of one takes the place of another's."""

from __future__ import annotations

import shutil

import pytest
from support.process import ROOT, run

CONFIG = """\
version: 1
services: [{{servicer: 'service:{name}'}}]
server: {{import_paths: [.], health: false}}
listeners: {{public: {{address: '127.0.0.1:0', plaintext: true}}}}
authorization:
  rules: {{all: {{allow: [anyone], methods: ['/helloworld.Greeter/*']}}}}
profiles:
  dev: {{production: false}}
"""

SERVICE = "from helloworld.greeter import Greeter as {name}\n"


@pytest.fixture(name="repository")
def _repository(tmp_path):
    """Three services, each with a config, a `service.py` and its generated code."""
    for folder, name in (("a", "Orders"), ("b", "Stock"), ("c", "Prices")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "server.yaml").write_text(CONFIG.format(name=name))
        (tmp_path / folder / "service.py").write_text(SERVICE.format(name=name))
        shutil.copytree(
            ROOT / "examples" / "helloworld", tmp_path / folder / "helloworld"
        )
    return tmp_path


NAMES = ("a/server.yaml", "b/server.yaml", "c/server.yaml")
#: Two are enough, and take less time, where it does not matter which ones they are.
TWO = NAMES[:2]


def test_each_config_has_its_own_modules(repository):
    """Every config is checked with the `service.py` beside it."""
    done = run("validate", *NAMES, "--format", "concise", cwd=repository)
    assert (done.returncode, done.stderr) == (0, "")
    assert {line.split(" ")[1] for line in done.stdout.splitlines()} == {
        "warning[GS408]"
    }


def test_findings_are_the_same_as_alone(repository):
    """In any order, each config has the findings of a check of its own."""
    (repository / "b" / "service.py").write_text("raise ValueError('on its own')\n")
    alone = [run("validate", name, cwd=repository).stdout for name in TWO]
    assert "GS501" in alone[1]
    together = run("validate", *TWO, cwd=repository)
    assert together.returncode == 1
    assert together.stdout.split() == " ".join(alone).split()
    backwards = run("validate", *reversed(TWO), cwd=repository)
    assert backwards.stdout.split() == " ".join(reversed(alone)).split()


def test_profiles_and_effective_configs(repository):
    """`--all-profiles` and `--print-config` include every config, and write no file."""
    before = sorted(repository.rglob("*"))
    done = run("validate", "--all-profiles", *TWO, cwd=repository)
    assert done.stdout.count("(profile dev): ok") == 2
    done = run("validate", "--print-config", *TWO, cwd=repository)
    assert done.stdout.count("\n---\n") == 1
    for name in ("Orders", "Stock"):
        assert f"service:{name}" in done.stdout
    assert sorted(repository.rglob("*")) == before


def test_current_directory_does_not_hide_a_module_of_python(repository):
    """A `json.py` where the command runs is not imported in place of Python's."""
    for name in ("json", "pickle", "subprocess"):
        (repository / f"{name}.py").write_text("raise AssertionError\n")
    (repository / "b" / "pickle.py").write_text("raise AssertionError\n")
    done = run("validate", *TWO, cwd=repository)
    assert (done.returncode, done.stderr) == (0, "")


def test_config_from_standard_input(repository):
    """A config on standard input can be one of several."""
    text = (repository / "b" / "server.yaml").read_text()
    text = text.replace("[.]", "[b]")
    done = run("validate", TWO[0], "-", stdin=text, cwd=repository)
    assert (done.returncode, done.stderr) == (0, "")
    assert "<stdin>: ok" in done.stdout


def test_service_that_ends_the_process(repository):
    """A module that ends the process is exit 2, with the name of the config."""
    (repository / "b" / "service.py").write_text("import os\nos._exit(0)\n")
    done = run("validate", *TWO, cwd=repository)
    assert done.returncode == 2
    assert done.stderr == (
        "error: the process that checks `b/server.yaml` ended early (exit code 0):"
        " a module of its services ends it\n"
    )


def test_service_that_never_ends(repository):
    """Threads and processes of a module do not keep the check from ending."""
    (repository / "b" / "service.py").write_text(
        "import subprocess, sys, threading\n"
        "threading.Thread(target=threading.Event().wait).start()\n"
        "code = 'import sys; sys.stdin.read()'\n"
        "child = subprocess.Popen([sys.executable, '-c', code],"
        " stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)\n"
        + SERVICE.format(name="Stock")
    )
    done = run("validate", *TWO, cwd=repository)
    assert (done.returncode, done.stderr) == (0, "")
