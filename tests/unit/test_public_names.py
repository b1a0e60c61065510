"""The names of the package `grpcsecure`, which load on first use."""

from __future__ import annotations

import subprocess
import sys

import grpcsecure


def test_dir_shows_the_api():
    """`dir` has all public names, loaded or not, and no others but special ones."""
    shown = [name for name in dir(grpcsecure) if not name.startswith("__")]
    public = [name for name in grpcsecure.__all__ if not name.startswith("__")]
    assert shown == sorted(public)
    assert all(hasattr(grpcsecure, name) for name in dir(grpcsecure))


def test_dir_imports_nothing():
    """Completion in a shell does not wait for gRPC."""
    program = "import sys, grpcsecure; dir(grpcsecure); print('grpc' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
