"""Fixtures that many tests share, and hooks that show why a test process died."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from support.effort import repeats

ROOT = Path(__file__).parent.parent

# A busy machine must not fail a property test, so these tests have no deadline.
settings.register_profile(
    "patient",
    deadline=None,
    max_examples=repeats(40, 100),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("patient")


@pytest.fixture(name="examples_importable")
def _examples_importable(monkeypatch):
    """Make the example services importable, and restore `sys.path` afterwards."""
    monkeypatch.setattr(sys, "path", [str(ROOT / "examples"), *sys.path])


#: Standard error of the test processes that died, by the name of the process.
DEAD_STDERR = pytest.StashKey[dict[str, str]]()


def pytest_configure(config):
    """With `--capture=sys`, redirect standard error of a test process to a file.

    gRPC writes the reason for an abort to the file descriptor, not to `sys.stderr`.
    """
    config.stash[DEAD_STDERR] = {}
    path = getattr(config, "workerinput", {}).get("stderr")
    if path:
        with Path(path).open("ab") as stream:
            os.dup2(stream.fileno(), 2)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):
    """Choose the file for standard error of a process that pytest-xdist starts."""
    if node.config.option.capture == "sys":
        folder = node.config._tmp_path_factory.getbasetemp()
        node.workerinput["stderr"] = str(folder / f"{node.gateway.id}.stderr")


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    """Keep the standard error of a process that died."""
    path = node.workerinput.get("stderr")
    if error and path:
        text = Path(path).read_text(errors="replace")
        node.config.stash[DEAD_STDERR][node.gateway.id] = text


def pytest_terminal_summary(terminalreporter, config):
    """Print the last lines of standard error of each test process that died."""
    for name, text in config.stash[DEAD_STDERR].items():
        terminalreporter.section(f"standard error of {name}, which died")
        terminalreporter.line("\n".join(text.splitlines()[-30:]))
