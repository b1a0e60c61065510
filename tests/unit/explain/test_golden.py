"""Golden files of `explain`: a config, commands, and their exact output.

A file in tests/golden/explain has sections that begin with `=== NAME`: `config`, and
one per command, named by its arguments after the config. To update the files, and then
review the difference: UPDATE_GOLDEN=1 pytest tests/unit/explain/test_golden.py
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path

import pytest
from support.process import ROOT

from grpcsecure.cli.main import main

FOLDER = Path(__file__).parents[2] / "golden" / "explain"
FILES = sorted(FOLDER.glob("*.txt"))


def _sections(text):
    parts = re.split(r"(?m)^=== (.+)\n", text)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def _comparable(screen):
    """Replace dates, fingerprints and the style sheet by constants."""
    screen = re.sub(r"expires in \d+ days \([0-9-]+\)", "expires in N days", screen)
    screen = re.sub(r"expired on [0-9-]+", "expired on DAY", screen)
    screen = re.sub(r'"(not_\w+|fingerprint)": "[^"]+"', r'"\1": "X"', screen)
    return re.sub(r"(?s)<style>.*?</style>", "<style></style>", screen)


@pytest.fixture(name="show")
def _show(folder, capsys, monkeypatch):
    """Run `explain` on a config; return its output and exit code."""
    for name in ("GRPCSECURE_CONFIG", "GRPCSECURE_PROFILE", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", sys.dont_write_bytecode)

    def show(config, arguments):
        path = folder / "shop.yaml"
        path.write_text(config.replace("EXAMPLES", str(ROOT / "examples")))
        with pytest.raises(SystemExit) as ended:
            main(["explain", "shop.yaml", *shlex.split(arguments)])
        out, err = capsys.readouterr()
        assert err == ""
        return f"{_comparable(out).rstrip()}\nexit code {int(ended.value.code or 0)}\n"

    return show


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_output_is_as_in_the_file(path, show):
    """The commands of a golden file print exactly the output in it."""
    text = path.read_text()
    sections = _sections(text)
    commands = [name for name in sections if name != "config"]
    assert commands, "no command in this file: add an empty section, as `=== --list`"
    shown = {name: show(sections["config"], name) for name in commands}
    if os.environ.get("UPDATE_GOLDEN"):
        sections |= {name: screen + "\n" for name, screen in shown.items()}
        body = "".join(f"=== {name}\n{part}" for name, part in sections.items())
        path.write_text(text[: text.index("=== ")] + body.rstrip("\n") + "\n")
    for name, screen in shown.items():
        assert screen.rstrip("\n") == sections[name].rstrip("\n")
