"""The recipes of docs/ci.md work: their commands run in a repository of three services.

Not run: actions of GitHub (checkout, setup-python, upload), pre-commit itself and the
build of an image, which need a network or a container engine. Their commands are.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml
from support.process import PATIENCE, ROOT, environment

PAGE = (ROOT / "docs" / "ci.md").read_text()

SERVICES = {"orders": "Orders", "payments": "Payments", "stock": "Stock"}

#: The config of each service; the key files are not in the repository.
CONFIG = """\
version: 1
production: true
services: [{{servicer: 'service:{name}'}}]
server: {{import_paths: [.], health: false}}
listeners:
  public:
    address: 0.0.0.0:8443
    tls:
      certificate: /run/tls/server.pem
      private_key: /run/tls/server.key
      client_certificate: require_and_verify
      client_ca: /run/tls/ca.pem
identities: {{shop: {{spiffe: 'spiffe://shop.example/{name}'}}}}
authorization:
  rules: {{all: {{allow: [shop], methods: ['/helloworld.Greeter/*']}}}}
  tests:
    - {{as: anonymous, call: /helloworld.Greeter/SayHello, expect: deny}}
    - as: {{spiffe: 'spiffe://shop.example/{name}'}}
      call: /helloworld.Greeter/SayHello
      expect: allow
"""

DEV = """\
profiles:
  dev:
    production: false
    server: {reflection: true, error_detail: full}
"""

#: A mistake in a config, and its line.
MISTAKE = ("import_paths: [.], health: false", "import_paths: [.], helth: false")
AT = 4


def blocks(language):
    """Return the blocks of the page in a language."""
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```", PAGE)


def recipe(key):
    """Return the YAML of the page's recipe with this top-level key."""
    (found,) = [
        data for data in map(yaml.safe_load, blocks("yaml")) if data and key in data
    ]
    return found


def workflow(job):
    """Return a workflow of the page by its job."""
    (found,) = [
        data
        for data in map(yaml.safe_load, blocks("yaml"))
        if job in data.get("jobs", {})
    ]
    return found


def commands(workflow_):
    """Return the commands of a workflow, each with its working directory."""
    (job,) = workflow_["jobs"].values()
    folder = workflow_.get("defaults", {}).get("run", {}).get("working-directory", ".")
    return [(folder, step["run"]) for step in job["steps"] if "run" in step]


@pytest.fixture(name="repository")
def _repository(tmp_path):
    """Three services with a `service.py`, generated code and a config each, in git."""
    top = tmp_path / "repository"
    for folder, name in SERVICES.items():
        service = top / "services" / folder
        service.mkdir(parents=True)
        text = CONFIG.format(name=name) + (DEV if folder == "orders" else "")
        (service / "grpcsecure.yaml").write_text(text)
        (service / "requirements.txt").write_text("")  # installed already
        (service / "service.py").write_text(
            f"from helloworld.greeter import Greeter as {name}\n"
        )
        shutil.copytree(ROOT / "examples" / "helloworld", service / "helloworld")
    (top / ".git").mkdir()
    (top / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    return top


def break_config(repository, service="payments"):
    """Put a mistake into a config."""
    config = repository / "services" / service / "grpcsecure.yaml"
    text = config.read_text().replace(*MISTAKE)
    config.write_text(text)
    assert MISTAKE[1] in text.splitlines()[AT - 1]


def shell(command, cwd, **environ):
    """Run a command as CI does, by bash, with the tools of this environment."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        ["bash", "-e", "-c", command],
        cwd=cwd,
        env=environment(PATH=path, PYTHONDONTWRITEBYTECODE="1", **environ),
        capture_output=True,
        text=True,
        timeout=PATIENCE * 2,
        check=False,
    )


class TestGitHub:
    """The workflows for GitHub Actions."""

    @staticmethod
    def run(repository, name):
        """Run a job up to the first step that fails; return the results and summary."""
        summary = repository.parent / "summary.md"
        results = []
        for folder, command in commands(workflow(name)):
            results.append(
                shell(
                    command,
                    repository / folder,
                    GITHUB_WORKSPACE=str(repository),
                    GITHUB_STEP_SUMMARY=str(summary),
                )
            )
            if results[-1].returncode != 0:
                break
        return results, summary.read_text() if summary.exists() else ""

    def test_good_config(self, repository):
        """Without mistakes the job succeeds; its page shows who may call what."""
        results, summary = self.run(repository, "validate")
        assert [done.returncode for done in results] == [0, 0, 0]
        assert results[1].stdout == ""
        assert "SayHello" in summary
        assert "shop" in summary

    def test_mistake(self, repository):
        """A mistake fails the job, with an annotation at its path from the top."""
        break_config(repository)
        results, _ = self.run(repository, "validate")
        assert [done.returncode for done in results] == [0, 1]
        assert results[1].stdout.startswith(
            f"::error file=services/payments/grpcsecure.yaml,line={AT},"
        )

    def test_sarif_of_all_services(self, repository):
        """The file for code scanning is written with and without mistakes."""
        break_config(repository)
        results, _ = self.run(repository, "scan")
        assert [done.returncode for done in results] == [0, 0]
        steps = workflow("scan")["jobs"]["scan"]["steps"]
        sarif = repository / steps[-1]["with"]["sarif_file"]
        [result] = json.loads(sarif.read_text())["runs"][0]["results"]
        [place] = result["locations"]
        assert place["physicalLocation"]["artifactLocation"]["uri"] == (
            "services/payments/grpcsecure.yaml"
        )


class TestGitLab:
    """The job for GitLab."""

    @staticmethod
    def run(repository):
        """Run the script of the job in one shell; return its result and report."""
        job = recipe("grpcsecure")["grpcsecure"]
        done = shell("\n".join(job["script"]), repository)
        report = repository / job["artifacts"]["reports"]["junit"]
        return done, ET.parse(report).getroot()

    def test_good_config(self, repository):
        """Without mistakes the job succeeds; policy tests are cases of the report."""
        done, report = self.run(repository)
        assert done.returncode == 0
        assert "grpcsecure.yaml: ok. Checked: services, 2 policy tests." in done.stdout
        names = [case.get("name") for case in report.iter("testcase")]
        assert sum("SayHello" in name for name in names) == 2
        assert report.get("failures") == "0"

    def test_mistake(self, repository):
        """A mistake fails the job, and is in the log and in the report."""
        break_config(repository)
        done, report = self.run(repository)
        assert done.returncode == 1
        assert f"--> grpcsecure.yaml:{AT}:" in done.stdout
        assert report.get("failures") == "1"


def test_pre_commit(repository):
    """The local hook checks the configs that its pattern selects, by their paths."""
    (hook,) = [
        hook
        for block in blocks("yaml")
        for repo in yaml.safe_load(block).get("repos", ())
        for hook in repo["hooks"]
        if repo["repo"] == "local"
    ]
    files = [str(path.relative_to(repository)) for path in repository.rglob("*.*")]
    selected = sorted(name for name in files if re.search(hook["files"], name))
    assert selected == [f"services/{name}/grpcsecure.yaml" for name in SERVICES]
    good = shell(f"{hook['entry']} {' '.join(selected)}", repository)
    assert good.returncode == 0, good.stdout
    break_config(repository)
    bad = shell(f"{hook['entry']} {selected[1]}", repository)
    assert bad.returncode == 1
    assert f"--> services/payments/grpcsecure.yaml:{AT}:" in bad.stdout


def test_hook_of_this_repository_has_the_id_and_option_of_the_page():
    """The page names the hook that .pre-commit-hooks.yaml has."""
    (own,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert f"- id: {own['id']}\n        files:" in PAGE
    assert f"with `{' '.join(own['args'])}`" in PAGE


def test_dockerfile(repository):
    """The commands of the image's build succeed, and leave no file behind."""
    (dockerfile,) = blocks("dockerfile")
    folder = repository / "services" / "payments"
    before = sorted(folder.rglob("*"))
    lines = re.findall(r"(?m)^RUN (.+)$", dockerfile)
    assert len(lines) == 2
    for line in lines:
        assert shell(line, folder).returncode == 0
    assert sorted(folder.rglob("*")) == before
    break_config(repository)
    assert shell(lines[1], folder).returncode == 1
    stages = re.findall(r"(?m)^FROM (\S+)(?: AS (\S+))?$", dockerfile)
    # The image uses the checked stage, or it would not be built.
    assert stages[-1] == (stages[-2][1], "")


def test_several_services(repository):
    """The command and its screen are those of the page."""
    command, screen = re.search(
        r"(?ms)^\$ (grpcsecure validate [^\n]*services/\*\S+)\n(.*?)^```", PAGE
    ).groups()
    done = shell(command, repository)
    assert (done.returncode, done.stderr) == (0, "")
    shown = [line for line in done.stdout.splitlines() if ": ok" in line]
    assert shown == screen.splitlines()
    assert done.stdout.count("warning[") == 2
