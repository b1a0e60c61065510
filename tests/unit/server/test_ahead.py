"""Loading in a child gives what loading here gives, or its error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.certificates import make_certificates

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

#: Runs in a process of its own, since gRPC must not be imported before. With `die`,
#: the child ends before it has an answer.
COMPARE = """
import os, sys
from datetime import datetime, timezone
from grpcsecure.config.source import read_source
from grpcsecure.errors import UsageError
from grpcsecure.server import ahead

path, profile, how = sys.argv[1:]
if how == "die":
    parent, load = os.getpid(), ahead._load
    ahead._load = lambda *given: load(*given) if os.getpid() == parent else os._exit(1)
source = read_source(path)
now = datetime.now(timezone.utc)
assert ahead._is_worthwhile(source)
try:
    found = ahead.load_files_ahead(source, profile=profile or None, now=now)
except UsageError as error:
    print("usage", error)
    sys.exit()
assert "grpc" in sys.modules
from grpcsecure.server.loading import Phase, load_config
here = load_config(
    source, profile=profile or None, environ=os.environ, now=now, last=Phase.FILES
)
assert found == here
print("same", found.failed, len(found.materials))
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
    ("profile", "how", "expected"),
    [
        ("", "", "same None 1"),
        ("broken", "", "same Phase.SCHEMA 0"),
        ("brokn", "", "usage"),
        ("", "die", "same None 1"),
    ],
    ids=["good", "findings", "no such profile", "child dies"],
)
def test_loading_ahead_is_loading(config, profile, how, expected):
    """What the child hands over equals what is loaded here, errors included."""
    done = subprocess.run(
        [sys.executable, "-c", COMPARE, str(config), profile, how],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(expected)
