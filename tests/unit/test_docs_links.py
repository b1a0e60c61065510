"""The links of all pages have existing targets, on GitHub and on the site."""

from __future__ import annotations

import re

import pytest
import yaml
from support.process import ROOT

PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]

_CODE = re.compile(r"(?ms)^```.*?^```|`[^`\n]+`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchors(path):
    """Return the anchors that GitHub generates for the headings of a page."""
    text = re.sub(r"(?ms)^```.*?^```", "", path.read_text())
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"(?m)^#+ (.+)$", text)
    }


def links():
    """Yield each link of each page whose target is in the repository."""
    for page in PAGES:
        for target in _LINK.findall(_CODE.sub("", page.read_text())):
            if not re.match(r"\w+:", target):
                yield pytest.param(page, target, id=f"{page.name} {target}")


@pytest.mark.parametrize(("page", "target"), list(links()))
def test_link_has_a_target(page, target):
    """The file of a link exists, and so does the heading if it names one."""
    name, _, anchor = target.partition("#")
    path = (page.parent / name).resolve() if name else page
    assert path.exists()
    if anchor:
        assert anchor in anchors(path)


def test_each_page_is_in_the_navigation():
    """The navigation has every page of docs/ and no page that does not exist."""

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
