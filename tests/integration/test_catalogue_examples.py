"""Each example in the catalogue of findings causes or avoids its finding."""

from __future__ import annotations

import shutil
import textwrap
from datetime import datetime, timezone

import pytest
from support.certificates import make_specimens

from grpcsecure.checking.pipeline import load_config
from grpcsecure.config.source import Source
from grpcsecure.diagnostics.catalog import CATALOG

BASE = """\
version: 1
services: [{servicer: 'greeter:Greeter'}]
server: {import_paths: [.]}
listeners:
  public:
    address: 127.0.0.1:8443
    tls:
      certificate: certs/server.pem
      private_key: certs/server.key
      client_certificate: dont_request
profiles:
  example:
"""

#: The servicers that examples name.
GREETER = '''\
"""Servicers for the examples of the catalogue."""

from abc import ABC, abstractmethod

import grpc
from helloworld import greeter, greeter_aio, helloworld_pb2_grpc

Greeter = greeter.Greeter
AsyncGreeter = greeter_aio.Greeter


class HalfGreeter(helloworld_pb2_grpc.GreeterServicer):
    def SayHello(self, request, context):
        return None


class AbstractGreeter(Greeter, ABC):
    @abstractmethod
    def greet_in_style(self):
        ...


def make_greeter() -> Greeter:
    return Greeter()


def make_anything():
    return Greeter()


class Counting(grpc.ServerInterceptor):
    def intercept_service(self, continuation, handler_call_details):
        return continuation(handler_call_details)


class AsyncCounting(grpc.aio.ServerInterceptor):
    async def intercept_service(self, continuation, handler_call_details):
        return await continuation(handler_call_details)


def make_interceptor():
    return Counting()


STARTED = []


def connect(servicer):
    STARTED.append(servicer)


async def connect_async(servicer):
    STARTED.append(servicer)


def disconnect():
    STARTED.clear()
'''


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory):
    """A folder with the files that the examples name."""
    folder = tmp_path_factory.mktemp("catalogue")
    (folder / "greeter.py").write_text(GREETER)
    make_specimens(folder / "certs")
    shutil.copy(folder / "certs/ca.pem", folder / "certs/partner-ca.pem")
    for name, text in SHARED.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


#: The files that examples include, or take values from.
SHARED = {
    "shared/identities.yaml": "identities: {ci: {dns: ci.corp.example}}\n",
    "shared/circle.yaml": "include: [circle.yaml]\n",
    "shared/production.yaml": "production: true\n",
    "shared/removal.yaml": "server: {reflection: null}\n",
    "shared/server.yaml": "server: {import_paths: [..]}\n",
    "secrets/grace": "5s\n",
    "secrets/address": "127.0.0.1:8444\n",
}


def codes(folder, fragment):
    """Return the codes of the findings for the base config with `fragment` over it.

    It is applied as a profile. `include` can only be in the file itself: without its
    settings of the server, so that those of the fragment are the only ones.
    """
    text = BASE + textwrap.indent(fragment or "{}", "    ") + "\n"
    if "include:" in fragment:
        rest = BASE.replace("server: {import_paths: [.]}\n", "")
        text = f"{fragment}\n{rest}    {{}}\n"
    source = Source(name="example.yaml", directory=folder, text=text)
    loaded = load_config(
        source, profile="example", environ={}, now=datetime.now(timezone.utc)
    )
    return {finding.code for finding in loaded.findings}


EXAMPLES = [kind for kind in CATALOG.values() if kind.bad or kind.good]


@pytest.mark.parametrize("kind", EXAMPLES, ids=lambda kind: f"{kind.code}-{kind.name}")
def test_only_the_bad_example_has_the_finding(
    kind, folder, monkeypatch, examples_importable
):
    """A bad example causes its finding and no other new one; a good one avoids it."""
    monkeypatch.chdir(folder)
    usual = codes(folder, "")
    assert codes(folder, kind.bad) - usual - {kind.code} == set()
    assert kind.code in codes(folder, kind.bad)
    assert kind.code not in codes(folder, kind.good)
