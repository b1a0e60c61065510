"""The example of docs/sharing.md works: two services with one set of identities."""

from __future__ import annotations

import re

import pytest
from support.process import ROOT, run

PAGE = (ROOT / "docs" / "sharing.md").read_text()

SERVICER = """\
from helloworld import greeter


class {name}(greeter.Greeter):
    def __init__(self, password: str = "") -> None:
        super().__init__(password)
"""


@pytest.fixture(name="repository")
def _repository(tmp_path):
    """A folder with the files of the page, and a module for each service."""
    for name, text in re.findall(r"```yaml\n# (\S+)\n(.*?)```", PAGE, re.DOTALL):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    for name in ("Orders", "Billing"):
        module = tmp_path / name.lower() / f"{name.lower()}_service.py"
        module.write_text(SERVICER.format(name=name))
    return tmp_path


def test_files(repository):
    """The page has the files that it lists."""
    [listed] = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    found = {str(one.relative_to(repository)) for one in repository.rglob("*.yaml")}
    assert found == set(listed.split())


def test_command(repository):
    """The command on the page has the output on the page."""
    pattern = r"```console\n\$ grpcsecure (.*?)\n(.*?)```"
    [(command, output)] = re.findall(pattern, PAGE, re.DOTALL)
    done = run(*command.split(), cwd=repository, PYTHONPATH=str(ROOT / "examples"))
    assert done.stdout == output
    assert done.returncode == 0


def test_mistake_in_the_shared_file(repository):
    """A mistake in the shared file is found there, from each of the services."""
    shared = repository / "shared/identities.yaml"
    shared.write_text(shared.read_text().replace("web: {spiffe", "web: {spifle"))
    for service in ("orders", "billing"):
        done = run("validate", "--no-files", f"{service}/config.yaml", cwd=repository)
        assert "error[GS102]: unknown key `spifle`" in done.stdout
        assert " --> shared/identities.yaml:2:" in done.stdout
