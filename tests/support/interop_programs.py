"""Programs that are not ours: where they are, and what they said when they ended.

One that is not installed skips the test, unless `INTEROP=required` says that a missing
one is a failure; `make interop` does.
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

#: Where `make interop` installs.
TOOLS = ROOT / ".tools"

#: Seconds that a client gets.
_PATIENCE = 30.0


class Outcome(NamedTuple):
    """How a program ended: its exit code, and all it said, both streams in one."""

    code: int
    text: str


def find_program(name: str) -> str:
    """Return the path of a program; a test that needs it ends here without it."""
    found = shutil.which(name, path=f"{TOOLS / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return found or missing(name)


def missing(what: str) -> NoReturn:
    """End the test: skipped, or failed where everything must run."""
    if os.environ.get("INTEROP") == "required":
        pytest.fail(f"{what} is not installed")
    pytest.skip(f"{what} is not installed; `make interop` needs Go, Node and openssl")


def run(*command: str | Path, stdin: str = "", **environment: str) -> Outcome:
    """Run a program to its end."""
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
