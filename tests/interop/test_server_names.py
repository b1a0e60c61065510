"""Clients of Go and Node accept the server names, and choose a certificate by them."""

from __future__ import annotations

import pytest
from support.interop_programs import ROOT, find_program, run
from support.named_servers import DIALLED, named_servers, refused_by
from support.reloading import serving, text_of
from support.several_certificates import SeveralSite

FOLDER = ROOT / "tests" / "interop"


def commands(client, folder):
    """Return the command of a client, without its input."""
    if client == "Node":
        return [find_program("node"), FOLDER / "node" / "names.js", folder / "ca.pem"]
    program = folder / "go-names"
    built = run(
        find_program("go"),
        "build",
        "-C",
        FOLDER / "go_names",
        "-o",
        program,
        GOTOOLCHAIN="local",
    )
    assert built.code == 0, built.text
    return [program, folder / "ca.pem"]


@pytest.mark.parametrize("client", ["Go", "Node"])
def test_client_accepts_what_the_findings_say(tmp_path, client):
    """Each name is dialled; the answer is that of the table."""
    with named_servers(tmp_path) as (ports, certificates):
        at = "127.0.0.1:" if client == "Go" else ""
        lines = [f"{at}{ports[name]} {DIALLED[name]}" for name in DIALLED]
        outcome = run(*commands(client, tmp_path), stdin="\n".join(lines) + "\n")
    answers = dict(zip(DIALLED, outcome.text.splitlines(), strict=True))
    expected = {
        name: "no" if refused_by(certificates[name], client) else "yes"
        for name in DIALLED
    }
    if client == "Node":  # a wildcard that no label of the dialled name may follow
        expected["foo.*.svc.example"] = "no"
    assert answers == expected


#: Names that a client dials, and whether a certificate of the server has them.
SEVERAL = {
    "localhost": "yes",
    "api.shop.test": "yes",
    "web.shop.test": "yes",
    "a.web.shop.test": "no",
    "unknown.test": "no",
}


@pytest.mark.parametrize("client", ["Go", "Node"])
@pytest.mark.parametrize("engine", ["grpc", "bridge"])
def test_client_chooses_a_certificate(tmp_path, client, engine):
    """It gets the certificate with the name that it dials, where there is one."""
    site = SeveralSite(tmp_path, engine, client_certificate="dont_request")
    del site.tls["client_ca"]
    site.write()
    site.put("ca.pem", text_of(site.root))
    with serving(site) as running:
        port = running.address.rpartition(":")[2]
        at = "127.0.0.1:" if client == "Go" else ""
        lines = "".join(f"{at}{port} {name}\n" for name in SEVERAL)
        outcome = run(*commands(client, tmp_path), stdin=lines)
    assert dict(zip(SEVERAL, outcome.text.splitlines(), strict=True)) == SEVERAL
