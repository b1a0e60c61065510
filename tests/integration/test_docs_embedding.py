"""The programs in docs/embedding.md run unchanged, and its tables are complete."""

from __future__ import annotations

import inspect
import re
import shutil
import signal
import subprocess
import sys

import pytest
from support.certificates import make_certificates
from support.process import PATIENCE, ROOT, environment

import grpcsecure

PAGE = (ROOT / "docs" / "embedding.md").read_text()

PROGRAMS = re.findall(r"(?s)```python\n(.*?)```", PAGE)


@pytest.fixture(name="folder", scope="module")
def _folder(tmp_path_factory):
    """A copy of examples/, with the config of the page and certificates."""
    folder = tmp_path_factory.mktemp("examples")
    shutil.copytree(ROOT / "examples" / "helloworld", folder / "helloworld")
    make_certificates(folder / "certs")
    ((name, config),) = re.findall(r"(?s)```yaml\n(?=# (\S+))(.*?)```", PAGE)
    (folder / name).write_text(config)
    return folder


def program(word):
    """Return the one program of the page that contains this word."""
    (found,) = [text for text in PROGRAMS if word in text]
    return found


def start(text, folder):
    """Start a program in a folder, as `python program.py` does there."""
    (folder / "program.py").write_text(text)
    return subprocess.Popen(
        [sys.executable, "program.py"],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(text, folder):
    """Run a program that must succeed with an empty stderr; return its stdout."""
    with start(text, folder) as process:
        stdout, stderr = process.communicate(timeout=PATIENCE)
    assert (process.returncode, stderr) == (0, "")
    return stdout


def test_no_program_is_forgotten():
    """Each program of the page is run by a test below."""
    words = ("say", "server.stop()", "asyncio.run", "nowhere.yaml", "logging")
    assert sorted(PROGRAMS) == sorted(map(program, words))


def test_shortest_program(folder):
    """The first program serves on a free port, prints its address, and ends."""
    assert re.fullmatch(r"127\.0\.0\.1:\d+\n", run(program("say"), folder))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_threads_serve_until_a_signal(number, folder):
    """The program prints its address, survives SIGHUP, and ends cleanly on others."""
    with start(program("server.stop()"), folder) as process:
        try:
            assert process.stdout.readline().startswith("127.0.0.1:")
            process.send_signal(signal.SIGHUP)
            process.send_signal(number)
            _, stderr = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert (process.returncode, stderr) == (0, "")


def test_asyncio_greets(folder):
    """The program's call passes mutual TLS and rules; the page has its output."""
    text = program("asyncio.run")
    (expected,) = re.findall(r"print\(.*#\s(.*)", text)
    assert run(text, folder) == f"{expected}\n"


def test_errors_are_those_of_the_page(folder):
    """The output is that of the comments on the page, up to the `…`."""
    text = program("nowhere.yaml")
    expected = [line.rstrip("…") for line in re.findall(r"print\(.*#\s(.*)", text)]
    printed = run(text, folder).splitlines()
    assert len(printed) == len(expected)
    for line, begin in zip(printed, expected, strict=True):
        assert line.startswith(begin)


def test_log_handler_runs(folder):
    """The program that adds a log handler runs and prints nothing."""
    assert run(program("logging"), folder) == ""


def rows(*head):
    """Return the names in backticks in the first column of the table with this head."""
    _, found, below = PAGE.partition(f"| {' | '.join(head)} |\n")
    assert found
    body = below.partition("\n\n")[0].splitlines()[1:]
    return [name for row in body for name in re.findall(r"`(\w+)", row.split("|")[1])]


def test_arguments_of_load_are_those_of_the_page():
    """The heading shows the signature of `load`, and the table all its arguments."""
    signature = inspect.signature(grpcsecure.load)
    bare = [one.replace(annotation=one.empty) for one in signature.parameters.values()]
    assert f"## `grpcsecure.load{inspect.Signature(bare)}`\n" in PAGE
    assert rows("argument", "means") == [*signature.parameters]


def test_attributes_exist(folder, monkeypatch):
    """Server, peer and certificate have all attributes that the page lists."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    server = grpcsecure.load("greeter.yaml")
    for name in rows("name", "is"):
        assert name in ("with", "async") or hasattr(server, name)
    peer = grpcsecure.AnonymousPeer(listener="public", address="unix:")
    for name in rows("attribute", "is"):
        assert hasattr(peer, name)
    (certificate,) = re.findall(r"(?m)^\| `certificate` \|(.*)", PAGE)
    names = re.findall(r"`(\w+)`", certificate)
    assert {
        name for name in names if not hasattr(grpcsecure.Certificate, name)
    } == set()


def test_exceptions_are_all_named():
    """Each public exception of the package has a row in the table."""
    offered = {
        name
        for name in grpcsecure.__all__
        if isinstance(getattr(grpcsecure, name), type)
        and issubclass(getattr(grpcsecure, name), Exception)
    }
    assert set(rows("exception", "by", "when")) == offered
