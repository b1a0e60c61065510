"""The pages of docs/ say what the code says, and their YAML works."""

from __future__ import annotations

import importlib.util
import re
import textwrap
from datetime import datetime, timezone
from pathlib import Path

import pytest

from grpcsecure.checking.pipeline import Phase, load_config
from grpcsecure.config.source import Source

ROOT = Path(__file__).parent.parent.parent


def load_script():
    """Import scripts/make_docs.py, which is no module of a package."""
    path = ROOT / "scripts" / "make_docs.py"
    spec = importlib.util.spec_from_file_location("make_docs", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", load_script().pages().items(), ids=lambda p: p[0].name)
def test_generated_page_is_current(page):
    """A page is what scripts/make_docs.py would write now."""
    path, text = page
    assert path.read_text() == text, "run scripts/make_docs.py"


def test_readme_is_short():
    """The README can be read in a few minutes."""
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


#: What a fragment of a config is laid over.
BASE = """\
version: 1
services: [{servicer: 'payments.service:Payments'}]
listeners:
  public:
    address: 127.0.0.1:8443
    tls:
      certificate: certs/server.pem
      private_key: certs/server.key
      client_certificate: require_and_verify
      client_ca: certs/ca.pem
profiles:
  example:
"""


def yaml_blocks():
    """The YAML of the README and of docs/ that people may copy."""
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        if path.name == "findings.md":  # has wrong ones on purpose, tested elsewhere
            continue
        text = path.read_text()
        for number, block in enumerate(
            re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
        ):
            if not re.search(r"(?m)^volumes:", block):  # Kubernetes' own
                yield pytest.param(block, id=f"{path.name}-{number}")


@pytest.mark.parametrize("block", list(yaml_blocks()))
def test_yaml_in_the_docs_is_a_config(block):
    """What is copied from a page passes all that the file alone can be checked for."""
    is_whole = "version: 1" in block
    text = block if is_whole else BASE + textwrap.indent(block, "    ")
    loaded = load_config(
        Source(name="page.yaml", directory=ROOT, text=text),
        profile=None if is_whole else "example",
        environ=dict.fromkeys(re.findall(r"\$\{(\w+)\}", block), "text"),
        now=datetime.now(timezone.utc),
        last=Phase.CROSS_FIELD,
    )
    assert [f"{f.code} {f.message}" for f in loaded.findings if f.is_error] == []
