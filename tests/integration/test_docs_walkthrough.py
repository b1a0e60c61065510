"""The commands of docs/start.md, run in their order in an empty folder.

Two things differ from the page. Servers listen on any free port. And only `make wheel`,
which has just built the package, runs the commands that install it: elsewhere programs
are those of this environment.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from support.process import PATIENCE, ROOT, environment, serving

PAGE = (ROOT / "docs" / "start.md").read_text()

#: Set by `.ci/wheel`: where pip finds the wheel. Then these commands run, too.
WHEELS = "WALKTHROUGH_WHEELS"

INSTALLS = ("python3 -m venv", ". .venv/bin/activate", "pip install")


class Step(NamedTuple):
    """A file that the page has its reader write, or a command that it shows."""

    file: str | None
    text: str
    screen: str = ""


def steps():
    """Yield the files and the commands of the page, from top to bottom."""
    for language, text in re.findall(r"(?ms)^```(\w+)\n(.*?)^```", PAGE):
        if language != "console":
            (name,) = re.findall(r"\A(?:#|//) (\S+)\n", text)
            yield Step(name, text)
            continue
        for part in re.split(r"(?m)^\$ ", text)[1:]:
            command, _, screen = part.partition("\n")
            yield Step(None, command, screen.rstrip())


def comparable(screen):
    """Return a screen without what differs from day to day and between releases."""
    screen = re.sub(r"expires in \d+ days \([0-9-]+\)", "expires in N days", screen)
    screen = re.sub(r"(?<=development CA )\w+", "N", screen)
    screen = re.sub(r"\A(grpcsecure|.*  pid|python|grpcio) .*\n", "", screen)
    screen = re.sub(r"127\.0\.0\.1:\d+(?=  (in|require))", "ADDRESS", screen)
    return re.sub(r"in \d+ ms", "in N ms", screen).rstrip()


class Reader:
    """Follows the page in a folder, as its reader does."""

    def __init__(self, folder):
        self.folder = folder
        self.files = {}
        self.ran = []
        self._programs = Path(sys.executable).parent
        self._server = ExitStack()
        self.served = None

    @property
    def environment(self):
        """The variables of the reader's shell."""
        more = {"PIP_FIND_LINKS": os.environ[WHEELS]} if WHEELS in os.environ else {}
        path = f"{self._programs}{os.pathsep}{os.environ['PATH']}"
        return environment(PATH=path, **more)

    def shell(self, command, cwd=None, **environ):
        """Run a command to its end; return its exit code and what it prints."""
        done = subprocess.run(
            ["bash", "-ec", command],
            cwd=cwd or self.folder,
            env={**self.environment, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=4 * PATIENCE,
            check=False,
        )
        return done.returncode, done.stdout

    def write(self, name, text):
        """Write a file of the page; a config listens on any free port."""
        self.files[name] = text
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(re.sub(r"[0-9.]+:8443", "127.0.0.1:0", text))

    def follow(self, command, screen):
        """Run a command of the page, and compare what it prints."""
        self.ran.append(command)
        if command.startswith(INSTALLS):
            self.install(command)
            return
        if command.startswith("grpcsecure serve "):
            self.serve(command.split()[2:], screen)
            return
        if command.startswith("python client.py"):
            client = self.files["client.py"]
            address = self.served.addresses["public"]
            text = client.replace("localhost:8443", address)
            (self.folder / "client.py").write_text(text)
        code, printed = self.shell(command)
        if screen:
            assert comparable(printed) == comparable(screen), command
        fails = screen.startswith(("DENY", "error[", "PERMISSION_DENIED"))
        assert code == (1 if fails else 0), printed

    def install(self, command):
        """Run a command that makes the environment, or that begins to use it."""
        if WHEELS not in os.environ:
            return
        code, printed = self.shell(command)
        assert code == 0, printed
        if command.endswith("activate"):
            self._programs = self.folder / ".venv" / "bin"

    def serve(self, arguments, screen):
        """Start a server; the one before ends as by Ctrl+C."""
        self.stop()
        started = serving(
            *arguments,
            cwd=self.folder,
            program=(str(self._programs / "grpcsecure"),),
        )
        self.served = self._server.enter_context(started)
        if screen:
            printed = "\n".join(filter(None, (self.served.stdout, self.served.stderr)))
            assert comparable(printed) == comparable(screen)

    def stop(self):
        """End the server, if one runs, by Ctrl+C."""
        if self.served is not None:
            self.served.signal(signal.SIGINT)
            assert self.served.wait() == 0
            self.served = None
        self._server.close()

    def checkout(self, folder):
        """Copy what the `.gitignore` of the page leaves for the repository."""
        patterns = [line.rstrip("/") for line in self.files[".gitignore"].splitlines()]
        for path in filter(Path.is_file, self.folder.rglob("*")):
            inner = path.relative_to(self.folder)
            if not any(fnmatch(part, one) for part in inner.parts for one in patterns):
                (folder / inner).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, folder / inner)
        return folder


@pytest.fixture(name="reader", scope="module")
def _reader(tmp_path_factory):
    """A reader who has followed the whole page."""
    reader = Reader(tmp_path_factory.mktemp("parcels"))
    try:
        for step in steps():
            if step.file is None:
                reader.follow(step.text, step.screen)
            else:
                reader.write(step.file, step.text)
    finally:
        reader.stop()
    return reader


def run_ci(reader, folder):
    """Run the page's workflow in a checkout; return the exit code and the output.

    It ends at the first failure; the output is the page of the run after a success.
    """
    summary = folder / "summary.md"
    (workflow,) = [name for name in reader.files if name.startswith(".github/")]
    (job,) = yaml.safe_load(reader.files[workflow])["jobs"].values()
    for command in [step["run"] for step in job["steps"] if "run" in step]:
        if command.startswith(INSTALLS):
            reader.install(command)
            continue
        code, printed = reader.shell(
            command,
            cwd=folder,
            GITHUB_STEP_SUMMARY=str(summary),
            GITHUB_WORKSPACE=str(folder),
        )
        if code:
            return code, printed
    return 0, summary.read_text()


def test_each_command_prints_what_is_shown(reader):
    """The whole page can be followed, and each screen is the shown one."""
    programs = {command.split()[0] for command in reader.ran}
    assert programs == {"python3", ".", "pip", "python", "grpcsecure", "sed"}


def test_ci_is_green_without_keys_and_red_after_the_mistake(reader, tmp_path):
    """The workflow passes in a checkout, and fails after the page's wrong change.

    The checkout has what the page writes: no keys, and no generated code.
    """
    checkout = reader.checkout(tmp_path)
    found = {str(one.relative_to(checkout)) for one in checkout.rglob("*.*")}
    assert {name for name in found if (checkout / name).is_file()} == set(reader.files)
    code, printed = run_ci(reader, checkout)
    assert code == 1
    assert "file=grpcsecure.yaml,line=25" in printed
    (checkout / "grpcsecure.yaml").write_text(reader.files["grpcsecure.yaml"])
    code, printed = run_ci(reader, checkout)
    assert code == 0, printed
    assert "`/parcels.v1.Parcels/Move`" in printed
