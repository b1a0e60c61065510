"""The screens in docs/explain.md equal the output of their commands."""

from __future__ import annotations

import re
import shlex
import shutil
import sys

import pytest
from support.certificates import make_certificates
from support.process import ROOT

from grpcsecure.cli.main import main

BLOCK = re.compile(r"(?ms)^```console\n\$ grpcsecure (explain .*?)\n(.*?)^```")

#: Commands with their screens. A command without a screen names a file that is missing
#: here, so it is not run.
SCREENS = [
    found.groups()
    for found in BLOCK.finditer((ROOT / "docs" / "explain.md").read_text())
    if found[2]
]


@pytest.fixture(name="project", scope="module")
def _project(tmp_path_factory):
    """A folder with configs, example and certificates, as in a checkout."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("configs", "examples"):
        shutil.copytree(ROOT / name, folder / name)
    make_certificates(folder / "certs")
    return folder


def _comparable(screen):
    return re.sub(r"expires in \d+ days \([0-9-]+\)", "expires in N days", screen)


def test_there_are_screens():
    """The pattern above finds all screens of the page."""
    assert len(SCREENS) == 4


@pytest.mark.parametrize(("command", "screen"), SCREENS, ids=[s[0] for s in SCREENS])
def test_screen_is_real(command, screen, project, capsys, monkeypatch):
    """A command of the page prints the screen that the page shows."""
    monkeypatch.chdir(project)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", sys.dont_write_bytecode)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    with pytest.raises(SystemExit):
        main(shlex.split(command))
    shown = capsys.readouterr().out
    assert _comparable(shown).rstrip() == _comparable(screen).rstrip()
