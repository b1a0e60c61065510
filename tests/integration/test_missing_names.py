"""A library that lacks a private name either prevents the start or has a fallback.

A server must never report ready and then refuse every client.
"""

from __future__ import annotations

import grpc
import pytest
from helloworld.helloworld_pb2_grpc import GreeterStub
from support.certificates import make_certificates
from support.hidden_names import hiding
from support.process import run, serving, write_config
from support.servers import greeting_of

from grpcsecure.server.grpcio import _bindings as grpcio
from grpcsecure.tls.openssl import _bindings as openssl

GREETERS = {
    "threads": "helloworld.greeter:Greeter",
    "asyncio": "helloworld.greeter_aio:Greeter",
}

VERIFIES, TAKES_ANY = "require_and_verify", "require_but_dont_verify"

OPENSSL = "OpenSSL._util.lib.SSL_get0_param"
METHODS = "grpc.method_handlers_generic_handler()._method_handlers"


@pytest.fixture(name="certs", scope="module")
def _certs(tmp_path_factory):
    """A folder with certificates of server and client."""
    return make_certificates(tmp_path_factory.mktemp("certs"))


@pytest.fixture(name="config")
def _config(certs, tmp_path):
    """A function that writes a config with one TLS listener and returns its path."""

    def config(engine, mode=VERIFIES, runtime="threads", **more):
        tls = {
            "certificate": str(certs / "server.pem"),
            "private_key": str(certs / "server.key"),
            "client_certificate": mode,
            "engine": engine,
        }
        if mode == VERIFIES:
            tls["client_ca"] = str(certs / "ca.pem")
        listener = {"address": "127.0.0.1:0", "tls": tls}
        path = tmp_path / "server.yaml"
        return write_config(
            path, GREETERS[runtime], listeners={"public": listener}, **more
        )

    return config


def greet(address, certs):
    """Return the greeting for a client with the certificate in `certs`."""
    root, key, chain = (
        (certs / name).read_bytes() for name in ("ca.pem", "client.key", "client.pem")
    )
    credentials = grpc.ssl_channel_credentials(root, key, chain)
    with grpc.secure_channel(address, credentials) as channel:
        return greeting_of(GreeterStub(channel))


def assert_refused(done, names, *missing):
    """Assert that a start failed and named the missing names and the library."""
    start = f"{names.library} {names.version} does not have "
    assert done.returncode == 3, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert start + ", ".join(f"`{name}`" for name in missing) + "," in line
    for tried in names.tried:
        assert tried in line
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("engine", "mode"),
    [("bridge", VERIFIES), ("bridge", TAKES_ANY), ("grpc", VERIFIES)],
)
@pytest.mark.parametrize(
    "name",
    [OPENSSL, "OpenSSL.SSL.Connection._reverse_mapping"],
)
def test_serve_needs_its_names_of_openssl(config, tmp_path, engine, mode, name):
    """The bridge and the check of each call need OpenSSL, with either engine."""
    done = run("serve", config(engine, mode), **hiding(tmp_path, name))
    assert_refused(done, openssl.NAMES, name)


def test_serve_without_clients_certificates_needs_no_openssl(config, certs, tmp_path):
    """A server that requests no client certificates starts without these names."""
    with serving(config("grpc", "dont_request"), **hiding(tmp_path, OPENSSL)) as server:
        assert greet(server.addresses["public"], certs).startswith("Hello, Ada!")


@pytest.mark.parametrize("engine", ["grpc", "bridge"])
@pytest.mark.parametrize(
    "name",
    [
        "grpc.aio._server._augment_channel_arguments",
        "grpc._cython.cygrpc.AioServer._request_call",
    ],
)
def test_asyncio_runtime_needs_its_names_of_grpcio(config, tmp_path, engine, name):
    """A malformed call could crash the server without these names: no start."""
    config = config(engine, runtime="asyncio")
    done = run("serve", config, **hiding(tmp_path, name))
    assert_refused(done, grpcio.ASYNCIO, name)


@pytest.mark.parametrize("engine", ["grpc", "bridge"])
@pytest.mark.parametrize(
    "missing",
    [
        ["grpc._server._receive_message"],
        ["grpc._server._RPCState.due", "grpc._cython.cygrpc.Call.cancel", METHODS],
    ],
)
def test_threads_runtime_falls_back_to_grpcio(config, certs, tmp_path, engine, missing):
    """The threads runtime serves without these names, with one warning in the log."""
    environ = hiding(tmp_path, *missing)
    with serving(config(engine, health=False), **environ) as server:
        for _ in range(2):
            assert greet(server.addresses["public"], certs).startswith("Hello, Ada!")
        server.signal()
        assert server.wait() == 0
        (line,) = [each for each in server.stderr.splitlines() if "fallback" in each]
    assert "Z warning: server.fallback  library=grpcio  version=" in line
    assert all(name in line for name in missing)


def test_old_services_are_found_by_their_descriptor(config, tmp_path):
    """If a handler does not reveal its methods, its service's descriptor is used."""
    environ = hiding(tmp_path, METHODS)
    with serving(config("grpc", runtime="asyncio"), **environ) as server:
        assert "server.fallback" in server.stderr
        assert "services  helloworld.Greeter (4 methods)" in server.stderr


class TestWithoutServing:
    """`validate` and `explain` work, and report checks that they had to skip."""

    METHOD = "/helloworld.Greeter/SayHello"

    @pytest.mark.parametrize(
        "name", ["OpenSSL._util", "grpc._cython.cygrpc.AioServer", METHODS]
    )
    def test_validate(self, config, tmp_path, name):
        """A missing name is not a finding about a config that is valid."""
        config = config("bridge", runtime="asyncio")
        done = run("validate", config, **hiding(tmp_path, name))
        assert done.returncode == 0, done.stdout
        assert "GS005" not in done.stdout

    def test_validate_with_registered_certificates(self, config, certs, tmp_path):
        """A policy test that needs OpenSSL is skipped, with warning GS005."""
        pin = certs / "client.pem"
        path = config("bridge")
        path.write_text(
            path.read_text().rstrip()[:-1]
            + f""",
            "identities": {{"billing": {{"certificates": "{pin}"}}}},
            "authorization": {{
                "rules": {{"all": {{"allow": ["billing"], "methods": ["*"]}}}},
                "tests": [
                    {{
                        "as": {{"certificates": "{pin}"}},
                        "call": "{self.METHOD}",
                        "expect": "allow"
                    }}
                ]
            }}}}"""
        )
        assert "GS005" not in run("validate", path).stdout
        done = run("validate", path, **hiding(tmp_path, OPENSSL))
        assert done.returncode == 0, done.stdout
        assert done.stdout.count("GS005") == 1
        assert "cannot be checked with this pyOpenSSL" in done.stdout

    def test_validate_previous(self, config, certs, tmp_path):
        """The comparison with `--previous` is skipped, with warning GS005."""
        arguments = ("validate", config("bridge"), "--previous", certs / "client.pem")
        done = run(*arguments, **hiding(tmp_path, OPENSSL))
        assert done.returncode == 0, done.stdout
        assert done.stdout.count("GS005") == 1
        assert "GS005" not in run(*arguments).stdout

    @pytest.mark.parametrize(
        ("engine", "mode"),
        [("bridge", VERIFIES), ("bridge", TAKES_ANY), ("grpc", VERIFIES)],
    )
    def test_explain(self, config, certs, tmp_path, engine, mode):
        """A certificate that cannot be checked is unverified; the reason is shown.

        The outcome on engine grpc is predicted without OpenSSL.
        """
        needs_it = (engine, mode) == ("bridge", VERIFIES)
        question = ("--method", self.METHOD, "--cert", certs / "client.pem")
        environ = hiding(tmp_path, OPENSSL)
        done = run("explain", config(engine, mode), *question, **environ)
        assert done.returncode == (1 if needs_it else 0), done.stderr
        has_reason = "cannot be checked with this pyOpenSSL" in done.stdout
        assert has_reason == needs_it, done.stdout
        assert run("explain", config(engine, mode), "--list", **environ).returncode == 0
