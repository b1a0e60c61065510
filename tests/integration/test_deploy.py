"""The files in deploy/: their configs are valid, and the parts fit each other."""

from __future__ import annotations

import json
import re
import shlex

import click
import pytest
import yaml
from support.process import ROOT, run

from grpcsecure.cli.commands import cli
from grpcsecure.model.units import parse_duration

DEPLOY = ROOT / "deploy"

#: The manifests of each variant: those for every variant, and its own.
COMMON = ("service.yaml", "poddisruptionbudget.yaml")
VARIANTS = {
    "secret": ("configmap.yaml", "deployment.yaml"),
    "pod-certificates": ("pod-certificates.yaml",),
}


class Variant:
    """The manifests of one way to deploy, by their kind, and the config in them."""

    def __init__(self, name):
        documents = [
            document
            for file in (*COMMON, *VARIANTS[name])
            for document in yaml.safe_load_all(
                (DEPLOY / "kubernetes" / file).read_text()
            )
        ]
        self.kinds = {document["kind"]: document for document in documents}
        assert len(self.kinds) == len(documents) == 4
        ((self.file, self.text),) = self.kinds["ConfigMap"]["data"].items()
        self.config = yaml.safe_load(self.text)
        self.pod = self.kinds["Deployment"]["spec"]["template"]["spec"]
        (self.container,) = self.pod["containers"]


@pytest.fixture(name="variant", params=VARIANTS)
def _variant(request):
    """The manifests of each way to deploy."""
    return Variant(request.param)


def test_config_is_strictly_valid_for_production(variant, tmp_path):
    """The config of the ConfigMap has no finding at all, and its tests pass."""
    (path := tmp_path / variant.file).write_text(variant.text)
    [profile] = [
        each["value"]
        for each in variant.container["env"]
        if each["name"] == "GRPCSECURE_PROFILE"
    ]
    done = run(
        *("validate", "--no-files", "--strict", "--profile", profile, path),
        cwd=ROOT / "examples",
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout == (
        f"{path} (profile {profile}): ok."
        " Checked: services, 2 policy tests. Not checked: files.\n"
    )
    assert variant.config["profiles"][profile] == {"production": True}


def test_ports_and_probes_are_those_of_the_listeners(variant):
    """Every port has its listener; probes dial one that serves health without names."""
    listeners = variant.config["listeners"]
    ports = {
        int(listener["address"].rpartition(":")[2]): listener
        for listener in listeners.values()
    }
    named = {port["name"]: port["containerPort"] for port in variant.container["ports"]}
    assert {*named.values()} == {*ports}
    for kind in ("startupProbe", "readinessProbe"):
        dialled = variant.container[kind]["grpc"]
        listener = ports[dialled["port"]]
        assert listener["services"] == ["grpc.health.v1.Health"]
        if dialled.get("mode") == "TLS":
            assert listener["tls"]["client_certificate"] == "dont_request"
        else:
            assert listener["plaintext"] is True
    assert variant.container["livenessProbe"]["tcpSocket"]["port"] in named
    [port] = variant.kinds["Service"]["spec"]["ports"]
    assert named[port["targetPort"]] == port["port"]


def test_the_pod_may_take_as_long_as_the_server(variant):
    """SIGKILL comes after the delay and the grace, with a margin."""
    server = variant.config["server"]
    least = sum(
        parse_duration(server[key]) for key in ("drain_delay", "shutdown_grace")
    )
    assert variant.pod["terminationGracePeriodSeconds"] >= least + 10


def test_files_are_mounted(variant):
    """Each path of the config is below a mounted directory, without `subPath`."""
    mounts = {each["mountPath"]: each for each in variant.container["volumeMounts"]}
    assert not any("subPath" in each for each in mounts.values())
    volumes = {each["name"] for each in variant.pod["volumes"]}
    assert {each["name"] for each in mounts.values()} == volumes
    paths = re.findall(r": (/tls/[^/\s]+)", variant.text)
    assert len(paths) >= 3
    assert "/tls" in mounts
    projected = json.dumps(variant.pod["volumes"])
    if "podCertificate" in projected:
        assert all(path.removeprefix("/tls/") in projected for path in paths)
        assert "runAsUser" in variant.pod["securityContext"]
    else:
        assert {*paths} == {"/tls/tls.crt", "/tls/tls.key", "/tls/ca.crt"}
        assert "fsGroup" in variant.pod["securityContext"]


def test_selectors_match_the_pods(variant):
    """Deployment, Service and budget select the labels of the pods."""
    spec = variant.kinds["Deployment"]["spec"]
    labels = spec["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"] == labels
    assert variant.kinds["Service"]["spec"]["selector"] == labels
    budget = variant.kinds["PodDisruptionBudget"]["spec"]
    assert budget["selector"]["matchLabels"] == labels


def steps():
    """Yield the instructions of the Dockerfile, each with its arguments."""
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    for line in text.splitlines():
        if line and not line.startswith("#"):
            instruction, arguments = line.split(maxsplit=1)
            yield instruction, arguments


STEPS = tuple(steps())


class TestDockerfile:
    """The Dockerfile, as far as it can be checked without a container engine."""

    def test_copied_files_exist(self):
        """Each source of a COPY is in the repository or in an earlier stage."""
        stages = {args.split()[-1] for step, args in STEPS if step == "FROM"}
        for step, args in STEPS:
            if step == "COPY" and args.startswith("--from="):
                assert args.split()[0].removeprefix("--from=") in stages
            elif step == "COPY":
                for path in args.split()[:-1]:
                    assert (ROOT / path).exists(), path

    def test_package_is_built_from_what_is_copied(self):
        """The build stage has every file that pyproject.toml names for a wheel."""
        copied = {
            path
            for step, args in STEPS
            if step == "COPY" and "--from=" not in args
            for path in args.split()[:-1]
        }
        project = (ROOT / "pyproject.toml").read_text()
        named = {
            *re.findall(r'(?m)^(?:readme|license-files) = \[?"([^"]+)', project),
            *re.findall(r'(?m)^"([a-z]+)" = "grpcsecure/', project),
            *("pyproject.toml", "grpcsecure"),
        }
        assert named <= copied

    def test_command_is_one_of_grpcsecure(self):
        """ENTRYPOINT and CMD are lists, and their options exist."""
        by_step = dict(STEPS)
        program, *arguments = json.loads(by_step["ENTRYPOINT"])
        arguments += json.loads(by_step["CMD"])
        assert f'{program} = "' in (ROOT / "pyproject.toml").read_text()
        name, *rest = arguments
        command = cli.get_command(click.Context(cli), name)
        context = command.make_context(name, rest)
        assert context.params["config"] == "/etc/greeter/greeter.yaml"

    def test_shell_commands_parse(self):
        """Each RUN is a command that a shell can split."""
        runs = [args for step, args in STEPS if step == "RUN"]
        assert runs
        assert all(shlex.split(args) for args in runs)
