"""Loading in a child gives what loading here gives, or its error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.certificates import make_certificates

from grpcsecure.server.ahead import load_ahead

ROOT = Path(__file__).parent.parent.parent.parent

CONFIG = """\
version: 1
services: [{servicer: 'greeter:Greeter'}]
listeners:
  public:
    address: 127.0.0.1:0
    tls:
      certificate: certs/server.pem
      private_key: certs/server.key
      client_certificate: dont_request
profiles:
  broken: {server: {thread: 3}}
"""

#: Runs in a process of its own, since gRPC must not be imported before. With `die`, the
#: child ends before it has an answer; with `edit`, the file changes behind its back.
COMPARE = """
import os, sys
from pathlib import Path
from grpcsecure.server import ahead

path, foreseen, profile, how = sys.argv[1:]
if how == "die":
    parent, load = os.getpid(), ahead._load
    ahead._load = lambda *given: load(*given) if os.getpid() == parent else os._exit(1)
child = ahead.load_ahead(path, foreseen or None)
assert child is not None
if how == "edit":
    os.waitid(os.P_PID, child._child, os.WEXITED | os.WNOWAIT)
    Path(path).write_text(Path(path).read_text() + "# later")
from datetime import datetime, timezone
from grpcsecure.config.source import read_source
from grpcsecure.errors import UsageError
source, now = read_source(path), datetime.now(timezone.utc)
loads = []
load_here = ahead._load
ahead._load = lambda *given: loads.append(given) or load_here(*given)
try:
    found = ahead.load_files(source, profile=profile or None, now=now, ahead=child)
except UsageError as error:
    print("usage", len(loads), error)
    sys.exit()
assert "grpc" in sys.modules
from grpcsecure.checking.pipeline import Phase, load_config
here = load_config(
    source, profile=profile or None, environ=os.environ, now=now, last=Phase.FILES
)
assert found == here
child.discard()
try:
    os.waitpid(-1, 0)
except ChildProcessError:
    print("same", len(loads), found.failed, len(found.materials))
"""


@pytest.fixture(name="config", scope="module")
def _config(tmp_path_factory):
    """A config with its certificates."""
    folder = tmp_path_factory.mktemp("ahead")
    make_certificates(folder / "certs")
    path = folder / "config.yaml"
    path.write_text(CONFIG)
    return path


@pytest.mark.skipif(
    sys.platform != "linux" or len(os.sched_getaffinity(0)) == 1,
    reason="only Linux with two cores loads ahead",
)
@pytest.mark.parametrize(
    ("foreseen", "profile", "how", "expected"),
    [
        ("", "", "", "same 0 None 1"),
        ("broken", "broken", "", "same 0 Phase.SCHEMA 0"),
        ("brokn", "brokn", "", "usage 0"),
        ("", "", "die", "same 1 None 1"),
        ("", "", "edit", "same 1 None 1"),
        ("", "broken", "", "same 1 Phase.SCHEMA 0"),
        ("", "brokn", "", "usage 1"),
        ("brokn", "", "", "same 1 None 1"),
    ],
    ids=[
        "good",
        "findings",
        "no such profile",
        "child dies",
        "file changes",
        "other profile",
        "other profile, not there",
        "error of another profile",
    ],
)
def test_loading_ahead_is_loading(config, foreseen, profile, how, expected):
    """What the child hands over equals what is loaded here, errors included.

    Where it is about something else, the config is loaded here, and no child is left.
    """
    done = subprocess.run(
        [sys.executable, "-c", COMPARE, str(config), foreseen, profile, how],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(expected)


@pytest.mark.parametrize("kind", ["missing", "pipe", "large", "NUL"])
def test_what_cannot_be_read_twice_is_not_loaded_ahead(tmp_path, monkeypatch, kind):
    """No child is started for a pipe, for what is not there, or for a large config."""
    path = tmp_path / ("config\0" if kind == "NUL" else "config")
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "large":
        path.write_bytes(b"#" * 64 * 1024)
    monkeypatch.setattr(os, "fork", lambda: pytest.fail("forked"))
    monkeypatch.delitem(sys.modules, "grpc", raising=False)
    monkeypatch.delitem(sys.modules, "threading", raising=False)
    assert load_ahead(str(path), None) is None
