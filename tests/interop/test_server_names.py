"""Clients of Go and Node accept the server names that the findings say."""

from __future__ import annotations

import pytest
from support.interop_programs import ROOT, find_program, run
from support.named_servers import DIALLED, named_servers, refused_by

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
