"""Kubernetes' types accept the manifests of deploy/, and its gRPC probe the servers."""

from __future__ import annotations

import re

import pytest
from support.interop_programs import ROOT, find_program, run
from support.reloading import Site, serving

pytestmark = pytest.mark.interop

FOLDER = ROOT / "tests" / "interop"
MANIFESTS = sorted((ROOT / "deploy" / "kubernetes").glob("*.yaml"))

#: What the probe in `mode: TLS` gets in each mode, as in docs/kubernetes.md.
MODES = {
    "dont_request": "SERVING",
    "request_but_dont_verify": "SERVING",
    "request_and_verify": "SERVING",
    "require_but_dont_verify": "Unavailable",
    "require_and_verify": "Unavailable",
}
#: The modes of gRPC's own engine.
NATIVE = ("dont_request", "require_and_verify")


def build(folder, program, package="."):
    """Build a Go program; return its path."""
    built = run(
        find_program("go"),
        *("build", "-C", folder, "-o", program, package),
        GOTOOLCHAIN="local",
    )
    assert built.code == 0, built.text
    return program


@pytest.fixture(name="decoder", scope="module")
def _decoder(tmp_path_factory):
    """The program that decodes manifests strictly."""
    program = tmp_path_factory.mktemp("decoder") / "k8s-manifests"
    return build(FOLDER / "k8s_manifests", program)


def test_manifests_have_no_unknown_field(decoder):
    """Each document has a kind of k8s.io/api, and only fields that this has."""
    outcome = run(decoder, *MANIFESTS)
    assert outcome.code == 0, outcome.text
    kinds = [line.split()[1] for line in outcome.text.splitlines()]
    assert sorted(kinds) == [
        *("ConfigMap", "ConfigMap", "Deployment", "Deployment"),
        *("PodDisruptionBudget", "Service"),
    ]


@pytest.mark.parametrize("typo", ["mod: TLS}", "mode: TLS, mode: TLS}"])
def test_unknown_and_duplicate_fields_are_errors(decoder, tmp_path, typo):
    """The decoder is strict: a typo in a manifest does not pass."""
    text = (ROOT / "deploy/kubernetes/pod-certificates.yaml").read_text()
    path = tmp_path / "typo.yaml"
    path.write_text(text.replace("mode: TLS}", typo, 1))
    assert path.read_text() != text
    outcome = run(decoder, path)
    assert outcome.code == 1
    assert "strict decoding error" in outcome.text


@pytest.fixture(name="probe", scope="module")
def _probe(tmp_path_factory):
    """A function that probes an address as the kubelet does; it returns the outcome."""
    program = build(
        FOLDER / "grpc_go", tmp_path_factory.mktemp("probe") / "probe", "./probe"
    )

    def probe(mode, address):
        outcome = run(program, mode, address)
        assert (outcome.code == 0) is (outcome.text == "SERVING\n")
        return outcome.text.strip()

    return probe


def listeners(site):
    """Return a listener of each mode and engine, and plaintext ones for probes."""
    made = {
        f"{engine}-{mode}": {
            "address": "127.0.0.1:0",
            "tls": {
                "certificate": "server.pem",
                "private_key": "server.key",
                "client_certificate": mode,
                "engine": engine,
                **({} if mode == "dont_request" else {"client_ca": "ca.pem"}),
            },
        }
        for mode in MODES
        for engine in ("grpc", "bridge")
        if engine == "bridge" or mode in NATIVE
    }
    plain = {"address": "127.0.0.1:0", "plaintext": True}
    health = ["grpc.health.v1.Health"]
    made["plain"] = made["closed"] = {**plain, "services": health}
    return made


def test_table_in_the_docs():
    """docs/kubernetes.md says of each mode whether the probe passes."""
    page = (ROOT / "docs" / "kubernetes.md").read_text()
    rows = re.findall(r"(?m)^\| `(\w+)` \| (passes|fails)", page)
    assert dict(rows) == {
        mode: "passes" if answer == "SERVING" else "fails"
        for mode, answer in MODES.items()
    }


@pytest.mark.parametrize("runtime", ["threads", "asyncio"])
def test_probe_in_each_mode(probe, tmp_path, runtime):
    """A probe over TLS passes where no certificate is required and a rule allows it."""
    site = Site(tmp_path, "bridge", runtime=runtime)
    site.config["listeners"] = listeners(site)
    opened = [name for name in site.config["listeners"] if name != "closed"]
    site.allow(
        probes={
            "allow": ["anyone"],
            "methods": ["/grpc.health.v1.Health/*"],
            "listeners": opened,
        }
    )
    site.write()
    with serving(site) as served:
        addresses = dict(served.server.addresses)
        assert probe("Plaintext", addresses.pop("plain")) == "SERVING"
        assert probe("Plaintext", addresses.pop("closed")) == "Unauthenticated"
        assert {name: probe("TLS", at) for name, at in addresses.items()} == {
            name: MODES[name.partition("-")[2]] for name in addresses
        }
