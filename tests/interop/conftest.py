"""Servers for third-party clients: example configs in all four combinations."""

from __future__ import annotations

import re
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

import pytest
from support.interop_programs import ROOT, run
from support.interop_server import serving

if TYPE_CHECKING:
    from pathlib import Path

#: Like `quickstart.yaml`, with reflection, but with mutual TLS, asyncio, and rules.
#: With rules, a call of an unknown method is refused instead of UNIMPLEMENTED.
_MUTUAL_WITH_REFLECTION = """\
version: 1
services:
  - servicer: helloworld.greeter_aio:Greeter
server:
  import_paths: [../examples]
  reflection: true
listeners:
  public:
    address: 127.0.0.1:0
    tls:
      certificate: ../certs/server.pem
      private_key: ../certs/server.key
      client_certificate: require_and_verify
      client_ca: ../certs/ca.pem
authorization:
  rules:
    all: {allow: [verified], methods: ["*"]}
"""

#: (mutual TLS, reflection) -> config.
_CONFIGS = {
    (False, True): "quickstart.yaml",
    (False, False): "dont_request.yaml",
    (True, True): "mutual_with_reflection.yaml",
    (True, False): "require_and_verify.yaml",
}


class Endpoint(NamedTuple):
    """A listener, and the files that a client needs to call it."""

    address: str
    mutual: bool
    reflection: bool
    ca: Path
    certificate: Path
    key: Path


@pytest.fixture(name="project", scope="session")
def _project(tmp_path_factory):
    """A copy of the project like a user's: with certificates, and any free port."""
    project = tmp_path_factory.mktemp("project")
    (project / "examples").symlink_to(ROOT / "examples")
    (project / "configs").mkdir()
    for config in (ROOT / "configs").glob("*.yaml"):
        text = re.sub("address: .*", "address: 127.0.0.1:0", config.read_text())
        (project / "configs" / config.name).write_text(text)
    (project / "configs/mutual_with_reflection.yaml").write_text(
        _MUTUAL_WITH_REFLECTION
    )
    make_certificates(project / "certs")
    return project


def make_certificates(folder):
    """Make a CA, a server and a client certificate with `grpcsecure certs dev`."""
    made = run(sys.executable, "-m", "grpcsecure", "-q", "certs", "dev", folder)
    assert made.code == 0, made.text


@pytest.fixture(name="unknown_ca", scope="session")
def _unknown_ca(tmp_path_factory):
    """Return a folder with a client certificate of a CA that no server trusts."""
    folder = tmp_path_factory.mktemp("unknown-ca") / "certs"
    make_certificates(folder)
    return folder


@pytest.fixture(name="serve", scope="session")
def _serve(project):
    """A function that returns an endpoint; each config is served once."""
    running = {}
    certs = project / "certs"
    with ExitStack() as servers:

        def serve(*, mutual, reflection):
            config = project / "configs" / _CONFIGS[mutual, reflection]
            if config not in running:
                running[config] = servers.enter_context(serving(config))
            return Endpoint(
                address=running[config]["public"],
                mutual=mutual,
                reflection=reflection,
                ca=certs / "ca.pem",
                certificate=certs / "client.pem",
                key=certs / "client.key",
            )

        yield serve


@pytest.fixture(
    name="endpoint",
    scope="session",
    params=[(False, False), (True, False), (False, True), (True, True)],
    ids=["tls-proto", "mtls-proto", "tls-reflection", "mtls-reflection"],
)
def _endpoint(request, serve):
    """An endpoint of every combination."""
    mutual, reflection = request.param
    return serve(mutual=mutual, reflection=reflection)
