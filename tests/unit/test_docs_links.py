"""The links of all pages lead somewhere, on GitHub and on the site."""

from __future__ import annotations

import re

import pytest
import yaml
from support.process import ROOT

PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]

_CODE = re.compile(r"(?ms)^```.*?^```|`[^`\n]+`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchors(path):
    """Return the anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"(?ms)^```.*?^```", "", path.read_text())
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"(?m)^#+ (.+)$", text)
    }


def links():
    """Yield each link of each page that leads into the repository."""
    for page in PAGES:
        for target in _LINK.findall(_CODE.sub("", page.read_text())):
            if not re.match(r"\w+:", target):
                yield pytest.param(page, target, id=f"{page.name} {target}")


@pytest.mark.parametrize(("page", "target"), list(links()))
def test_link_leads_somewhere(page, target):
    """The file is there, and if it is a page, so is the heading."""
    name, _, anchor = target.partition("#")
    path = (page.parent / name).resolve() if name else page
    assert path.exists()
    if anchor:
        assert anchor in anchors(path)


def test_each_page_is_in_the_navigation():
    """A page of docs/ can be found on the site, and no other is promised."""

    def leaves(node):
        if isinstance(node, str):
            return [node]
        children = node if isinstance(node, list) else node.values()
        return [leaf for child in children for leaf in leaves(child)]

    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    named = leaves(config["nav"])
    pages = {path.name for path in (ROOT / "docs").glob("*.md")}
    assert pages <= set(named)
    assert {name for name in set(named) - pages if not (ROOT / name).is_file()} == set()
