"""Golden tests of the mistakes that new users make: each with its whole output.

To update the files, and then read the difference aloud, asking of each message whether
a reader would know what to change:
UPDATE_GOLDEN=1 pytest tests/integration/test_mistakes.py
"""

from __future__ import annotations

import os
import re
import shlex
import sys

import pytest
from support.mistakes import FOLDER, make_shop, read_mistakes

from grpcsecure.cli.main import main

FILES = sorted(FOLDER.glob("*.txt"))
MISTAKES = [mistake for path in FILES for mistake in read_mistakes(path)]

#: Mistakes that no check can tell from what was meant.
SILENT = {
    # `10.0.1` is a spelling of 10.0.0.1.
    "an IPv4 address with three numbers",
    # The current directory is searched, too; from another one, it is GS501.
    "the import path in the module",
}


@pytest.fixture(scope="module", name="shop")
def _shop(tmp_path_factory):
    return make_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(name="show")
def _show(shop, capfd, monkeypatch):
    """Run the command of a mistake; return its output and exit code."""
    for name in ("GRPCSECURE_CONFIG", "GRPCSECURE_PROFILE", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(shop)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", sys.dont_write_bytecode)

    def show(mistake):
        (shop / "shop.yaml").write_text(mistake.config)
        for name, value in mistake.environ.items():
            monkeypatch.setenv(name, value.replace("/srv/shop", str(shop)))
        with pytest.raises(SystemExit) as ended:
            main(shlex.split(mistake.command)[1:])
        out, err = capfd.readouterr()
        text = (out + err).replace(str(shop), "/srv/shop")
        text = re.sub(r"\d{4}-\d\d-\d\d", "DAY", text)
        text = re.sub(r"\n *[\^~]+(?=\n)", "", text)  # in tracebacks, by version
        text = re.sub(r"(development CA) [0-9a-f]+", r"\1", text)
        return f"{text.rstrip()}\nexit code {int(ended.value.code or 0)}"

    return show


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.title)
def test_output_is_as_in_the_file(mistake, show):
    """A mistake prints exactly the output in its file."""
    shown = show(mistake)
    if os.environ.get("UPDATE_GOLDEN"):
        mistake.output = shown
    assert shown == mistake.output


def test_there_are_many_mistakes_and_few_silent_ones():
    """At least 120 mistakes are tried; the few without a finding are listed here."""
    assert len({mistake.title for mistake in MISTAKES}) == len(MISTAKES) >= 120
    silent = {m.title for m in MISTAKES if "exit code 0" in m.output}
    silent -= {m.title for m in MISTAKES if "warning[" in m.output}
    assert silent == SILENT
    assert len(SILENT) <= 5


@pytest.fixture(scope="module", autouse=True)
def _rewritten():
    """With UPDATE_GOLDEN, write the files at the end."""
    yield
    if os.environ.get("UPDATE_GOLDEN"):
        for path in FILES:
            own = [m for m in MISTAKES if m.file == path]
            intro = path.read_text().partition("=== ")[0]
            path.write_text(
                intro + "".join(m.render(m.output) for m in own).rstrip() + "\n"
            )
