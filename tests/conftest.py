"""Fixtures that many tests share, and what is kept of a test process that dies."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).parent.parent

# A busy machine must not fail a property test, so these tests have no deadline.
settings.register_profile(
    "patient", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("patient")


@pytest.fixture(name="examples_importable")
def _examples_importable(monkeypatch):
    """Make the example services importable, and put `sys.path` back afterwards."""
    monkeypatch.setattr(sys, "path", [str(ROOT / "examples"), *sys.path])


#: Standard error of the processes that died, by the name of the process.
LAST_WORDS = pytest.StashKey[dict[str, str]]()


def pytest_configure(config):
    """With `--capture=sys`, write standard error of a test process to its file.

    gRPC says there why it ends a process, and not through Python.
    """
    config.stash[LAST_WORDS] = {}
    path = getattr(config, "workerinput", {}).get("stderr")
    if path:
        with Path(path).open("ab") as stream:
            os.dup2(stream.fileno(), 2)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):
    """Name the file for standard error of a process that pytest-xdist starts."""
    if node.config.option.capture == "sys":
        folder = node.config._tmp_path_factory.getbasetemp()
        node.workerinput["stderr"] = str(folder / f"{node.gateway.id}.stderr")


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    """Keep the standard error of a process that died."""
    path = node.workerinput.get("stderr")
    if error and path:
        text = Path(path).read_text(errors="replace")
        node.config.stash[LAST_WORDS][node.gateway.id] = text


def pytest_terminal_summary(terminalreporter, config):
    """Show at the end what the processes that died said last."""
    for name, text in config.stash[LAST_WORDS].items():
        terminalreporter.section(f"standard error of {name}, which died")
        terminalreporter.line("\n".join(text.splitlines()[-30:]))
