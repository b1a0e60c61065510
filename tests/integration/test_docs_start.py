"""What README.md and docs/index.md show a beginner works as shown.

The pages name the ports of their configs; here the servers take any free one.
"""

from __future__ import annotations

import itertools
import re
import shlex
import shutil
import subprocess
import sys
from typing import NamedTuple

import grpc
import pytest
from helloworld.helloworld_pb2 import HelloRequest
from helloworld.helloworld_pb2_grpc import GreeterStub
from support.process import PATIENCE, ROOT, environment, run, serving

README = (ROOT / "README.md").read_text()
START = (ROOT / "docs" / "index.md").read_text()


class Shown(NamedTuple):
    """A command of a page, and what the page shows below it."""

    command: list[str]
    screen: str


def commands(page):
    """Return the commands in the console blocks of a page."""
    blocks = re.findall(r"(?ms)^```console\n(.*?)^```", page)
    parts = [part for block in blocks for part in re.split(r"(?m)^\$ ", block)[1:]]
    return [
        Shown(shlex.split(command, comments=True), screen.rstrip())
        for command, _, screen in (part.partition("\n") for part in parts)
    ]


def block(page, language):
    """Return the name and the text of a page's first file in a language."""
    (text,) = re.findall(rf"(?ms)^```{language}\n(.*?)^```", page)[:1]
    return re.match(r"# (\S+)\n", text)[1], text


def free_ports(config):
    """Have a config listen on any free port of this machine."""
    text = config.read_text()
    config.write_text(re.sub(r"(address:) [0-9.]+:\d+", r"\1 127.0.0.1:0", text))


def run_shown(shown, folder):
    """Run a command to its end, and compare what it prints with the page."""
    if shown.command[0] == "grpcsecure":
        done = run(*shown.command[1:], cwd=folder)
    else:
        done = subprocess.run(
            shown.command,
            cwd=folder,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    if shown.screen:
        assert done.stdout.rstrip() == shown.screen
    return done


class TestReadme:
    """The servicer, the config and the commands of the README."""

    @pytest.fixture(name="folder")
    def _folder(self, tmp_path):
        for language in ("python", "yaml"):
            name, text = block(README, language)
            (tmp_path / name).write_text(text)
        shutil.copytree(ROOT / "examples" / "helloworld", tmp_path / "helloworld")
        return tmp_path

    def test_commands_do_what_is_said(self, folder):
        """Certificates are made, the config is valid, and the finding is the shown."""
        shown = [each for each in commands(README) if each.command[0] != "make"]
        assert [each.command[:2] for each in shown] == [
            ["grpcsecure", "certs"],
            ["grpcsecure", "validate"],
            ["grpcsecure", "serve"],
            ["sed", "-i"],
            ["grpcsecure", "validate"],
        ]
        codes = [
            run_shown(each, folder).returncode
            for each in shown
            if each.command[1] != "serve"
        ]
        assert codes == [0, 0, 0, 1]

    def test_server_greets_the_client_that_the_rules_name(self, folder):
        """The servicer serves by mutual TLS, and answers `anonymous` with a refusal."""
        certs = folder / "certs"
        assert run("certs", "dev", "certs", cwd=folder).returncode == 0
        free_ports(folder / "greeter.yaml")
        credentials = grpc.ssl_channel_credentials(
            root_certificates=(certs / "ca.pem").read_bytes(),
            private_key=(certs / "client.key").read_bytes(),
            certificate_chain=(certs / "client.pem").read_bytes(),
        )
        with serving("greeter.yaml", cwd=folder) as served:
            address = served.addresses["public"]
            with grpc.secure_channel(address, credentials) as channel:
                reply = GreeterStub(channel).SayHello(
                    HelloRequest(name="Ada"), timeout=PATIENCE
                )
        assert reply.message == "Hello, Ada!"

    def test_make_targets_are_there(self):
        """The Makefile has what the README and CONTRIBUTING.md name."""
        makefile = (ROOT / "Makefile").read_text()
        pages = README + (ROOT / "CONTRIBUTING.md").read_text()
        targets = set(re.findall(r"(?m)^\$ make (\w+)", pages))
        assert len(targets) > 5
        for target in targets:
            assert re.search(rf"(?m)^{target}:", makefile), target


@pytest.fixture(name="project", scope="module")
def _project(tmp_path_factory):
    """Return a folder like a checkout, with certificates."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("configs", "examples"):
        shutil.copytree(ROOT / name, folder / name)
    assert run("certs", "dev", "certs", cwd=folder).returncode == 0
    for name in ("quickstart", "require_and_verify"):
        free_ports(folder / "configs" / f"{name}.yaml")
    return folder


class TestStart:
    """The commands of docs/index.md, in a checkout."""

    def test_clients_see_what_is_shown(self, project):
        """Each client command of the page prints its screen, at the server before."""
        shown = commands(START)
        clients = 0
        for server, client in itertools.pairwise(shown):
            if client.command[0] != "python":
                continue
            assert server.command[:2] == ["grpcsecure", "serve"]
            with serving(*server.command[2:], cwd=project) as served:
                address = served.addresses["public"]
                command = [sys.executable, client.command[1], address]
                run_shown(Shown(command + client.command[3:], client.screen), project)
            clients += 1
        assert clients == 2

    def test_other_commands_do_what_is_said(self, project):
        """`explain` allows the call, `validate` finds nothing."""
        for each in commands(START):
            if each.command[:2] in (
                ["grpcsecure", "explain"],
                ["grpcsecure", "validate"],
            ):
                assert run_shown(each, project).returncode == 0
