"""The generated pages of docs/ are current, and the YAML of all pages is valid."""

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
    """Import scripts/make_docs.py, which is not part of a package."""
    path = ROOT / "scripts" / "make_docs.py"
    spec = importlib.util.spec_from_file_location("make_docs", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", load_script().pages().items(), ids=lambda p: p[0].name)
def test_generated_page_is_current(page):
    """A generated page equals the current output of scripts/make_docs.py."""
    path, text = page
    assert path.read_text() == text, "run scripts/make_docs.py"


def test_readme_is_short():
    """The README has at most 150 lines."""
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


#: The config that fragments are merged into, by a profile.
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
    """Yield the YAML blocks of the README and of docs/ that readers may copy."""
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        # Its examples are wrong on purpose; test_catalogue_examples.py tests them. And
        # files that include others; test_docs_sharing.py tests these.
        if path.name in ("findings.md", "sharing.md"):
            continue
        text = path.read_text()
        for number, block in enumerate(
            re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
        ):
            # Of Kubernetes, pre-commit, GitHub Actions and GitLab.
            if not re.search(
                r"(?m)^(volumes|readinessProbe|repos|jobs|  script):", block
            ):
                yield pytest.param(block, id=f"{path.name}-{number}")


@pytest.mark.parametrize("block", list(yaml_blocks()))
def test_yaml_in_the_docs_is_a_config(block):
    """YAML copied from a page passes all checks that need no other files."""
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
