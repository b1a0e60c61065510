"""The prose of the tree is plain English, by the counts of `scripts/count_words.py`."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "scripts" / "count_words.py"


@pytest.fixture(name="script", scope="module")
def _script():
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("count_words", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_counted_turns_of_phrase_stay_below_their_ceilings(script):
    """A ceiling only goes down; the script lists the places of each pattern."""
    too_many = {
        name: f"{rate:.2f} per 10,000 words, at most {script.CEILINGS[name]}"
        for name, rate in script.rates().items()
        if rate > script.CEILINGS[name]
    }
    assert too_many == {}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("# Nobody's", ["nobody"]),
        ("# Done. What it does is clear.", ["what"]),
        ('"""What it does."""', ["what"]),
        ("x = 'whatever it is, one of ours'", ["whoever", "ours"]),
        ("# See what it does, and does now.", []),
        ("nobody = whatever", []),
    ],
)
def test_patterns_are_found_in_prose_only(script, tmp_path, text, names):
    """Comments and strings count, names in code do not."""
    path = tmp_path / "module.py"
    path.write_text(f"{text}\n")
    assert [name for name, *_ in script.places([path])] == names
