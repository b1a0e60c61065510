"""docs/other_services.md: its examples serve their real clients, with mutual TLS."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest
from support.bridge import eventually
from support.process import PATIENCE, ROOT, environment, run, serving

PAGE = (ROOT / "docs" / "other_services.md").read_text()

PORTS = {"kserve": 8443, "otlp": 4317}

PROGRAMS = {
    name: text for text, name in re.findall(r"(?s)```python\n(# (\S+)\n.*?)```", PAGE)
}


@pytest.fixture(name="folder", params=list(PORTS), scope="module")
def _folder(request, tmp_path_factory):
    """A copy of an example, with certificates, on any free port."""
    folder = tmp_path_factory.mktemp("examples") / request.param
    shutil.copytree(ROOT / "examples" / request.param, folder)
    clients = ("--client", "dns:shop.test", "--client", "dns:other.test")
    assert run("certs", "dev", "certs", *clients, cwd=folder).returncode == 0
    config = folder / "grpcsecure.yaml"
    text = config.read_text()
    config.write_text(text.replace(f"0.0.0.0:{PORTS[folder.name]}", "127.0.0.1:0"))
    return folder


@pytest.fixture(name="served", scope="module")
def _served(folder):
    """The example, served."""
    with serving(cwd=folder) as served:
        yield served


def call(program, folder, served, *arguments, **environ):
    """Run a program of the page as a client; return its exit code and output."""
    (address,) = served.addresses.values()
    text = PROGRAMS[program].replace(f"localhost:{PORTS[folder.name]}", address)
    (folder / program).write_text(text)
    done = subprocess.run(
        [sys.executable, program, *arguments],
        cwd=folder,
        env=environment(**environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return done.returncode, done.stdout


def send_span(folder, served, client):
    """Run the exporter with the variables of the page; return what it prints."""
    exports = re.findall(r"(?m)^\$ export (\w+)=(.*)$", PAGE)
    address = served.addresses["otlp"]
    variables = {
        name: value.replace("localhost:4317", address).replace("client", client)
        for name, value in exports
    }
    assert len(variables) == 4
    code, printed = call("send_span.py", folder, served, **variables)
    assert code == 0, printed
    return printed.replace(address, "localhost:4317").strip()


def test_page_shows_the_config(folder):
    """The config on the page is that of the example."""
    config = (ROOT / "examples" / folder.name / "grpcsecure.yaml").read_text()
    shown = config.partition("\n")[2]
    assert f"```yaml\n# grpcsecure.yaml\n{shown}```" in PAGE


def test_config_has_no_error(folder):
    """`validate` finds what the page says and nothing else."""
    done = run("validate", "--format", "concise", cwd=folder)
    assert done.returncode == 0, done.stdout
    codes = re.findall(r"\[(GS\d+)\]", done.stdout)
    assert codes == (["GS510"] if folder.name == "kserve" else [])


def test_real_client_is_served_if_the_rule_names_it(folder, served):
    """Each real client gets its answer, or the refusal that the page shows."""
    if folder.name == "kserve":
        screens = re.findall(r"(?m)^\$ python infer.py (\S+)\n(.+)$", PAGE)
        assert len(screens) == 2
        for client, shown in screens:
            code, printed = call("infer.py", folder, served, client)
            assert printed.strip() == shown
            assert code == ("DENIED" in shown)
        return
    assert send_span(folder, served, "client") == ""
    eventually(lambda: "shop: checkout\n" in served.stdout, what="a span")
    assert f"```text\n{send_span(folder, served, 'client-2')}\n```" in PAGE
    assert served.stdout.count("checkout") == 1
