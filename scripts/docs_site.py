"""Hook of mkdocs: adds to the site what docs/ links to elsewhere in the repository.

Pages of docs/ link to such files as `../configs/rules_team.yaml`, which is right on
GitHub. On the site docs/ is the root, so that the same file is at
`configs/rules_team.yaml`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent

#: Pages outside docs/.
PAGES = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "deploy/README.md")

#: Files that the site serves as they are.
STATIC = (
    "configs/*.yaml",
    "deploy/Dockerfile",
    "deploy/kubernetes/*.yaml",
    "deploy/systemd/payments.*",
    "examples/*.py",
    "schemas/*.json",
)

#: The begin of a link from docs/ to a file beside it, and from the top into docs/.
_OUT_OF_DOCS = re.compile(r"(?<=\]\()\.\./")
_INTO_DOCS = re.compile(r"(?<=\]\()((?:\.\./)?)docs/")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the files from outside docs/."""
    static = (path for pattern in STATIC for path in sorted(ROOT.glob(pattern)))
    for path in (*(ROOT / name for name in PAGES), *static):
        name = path.relative_to(ROOT).as_posix()
        files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: object) -> str:
    """Return a page with its links as they are on the site."""
    if page.file.src_uri in PAGES:
        return _INTO_DOCS.sub(r"\1", markdown)
    return _OUT_OF_DOCS.sub("", markdown)
