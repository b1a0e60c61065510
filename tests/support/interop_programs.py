"""Third-party programs for the interop tests: find them, run them, get their output.

If a program is not installed, the test is skipped. With `INTEROP=required`, which
`make interop` sets, the test fails instead.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple, NoReturn

import pytest

__all__ = ["ROOT", "TOOLS", "Outcome", "find_program", "missing", "run"]

ROOT = Path(__file__).parents[2]

#: The folder in which `make interop` installs programs.
TOOLS = ROOT / ".tools"

#: Seconds that a program may run.
_PATIENCE = 60.0


class Outcome(NamedTuple):
    """The exit code of a program, and its output, stdout and stderr together."""

    code: int
    text: str


def find_program(name: str) -> str:
    """Return the path of a program; skip or fail the test if it is missing."""
    found = shutil.which(name, path=f"{TOOLS / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return found or missing(name)


def missing(what: str) -> NoReturn:
    """Skip the test, or fail it with `INTEROP=required`."""
    if os.environ.get("INTEROP") == "required":
        pytest.fail(f"{what} is not installed")
    pytest.skip(f"{what} is not installed; `make interop` needs Go, Node and openssl")


def run(*command: str | Path, stdin: str = "", **environment: str) -> Outcome:
    """Run a program and wait for its end."""
    done = subprocess.run(
        list(map(str, command)),
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=_PATIENCE,
        check=False,
        env={**os.environ, **environment},
    )
    return Outcome(done.returncode, done.stdout)
