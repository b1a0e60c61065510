"""The diagrams of docs/architecture.md and the list of packages match the code."""

from __future__ import annotations

import ast
import itertools
import re

import pytest
from support.process import ROOT

from grpcsecure.checking.pipeline import Phase
from grpcsecure.tls.bridge.child.states import TRANSITIONS, ConnectionState
from grpcsecure.tls.bridge.ipc.framing import FrameKind

PACKAGE = ROOT / "grpcsecure"

PAGE = (ROOT / "docs" / "architecture.md").read_text()

BLOCKS = "\n".join(re.findall(r"(?ms)^```text\n(.*?)^```", PAGE))

MODULES = sorted(set(re.findall(r"\b[a-z_/]+\.py\b", PAGE)))

#: Each module in a diagram, with the class, function or method named beside it.
NAMED = re.findall(r"\b([a-z_/]+\.py) +([A-Za-z_]+(?:\.[a-z_]+)?)(?: |$)", BLOCKS)

#: Frames with this number or a higher one go to the server.
_FROM_BRIDGE = 32


def table(*head):
    """Return the rows of the table with this head, as lists of cells."""
    _, found, below = PAGE.partition(f"| {' | '.join(head)} |\n")
    assert found, head
    body = below.partition("\n\n")[0].splitlines()[1:]
    return [[cell.strip() for cell in row[1:-1].split("|")] for row in body]


def definitions(tree):
    """Return the names of a module's classes, functions and methods."""
    found = set()
    for node in tree.body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {
                f"{node.name}.{each.name}"
                for each in node.body
                if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef))
            }
    return found


def test_the_page_has_diagrams():
    """The patterns above find the diagrams of the page."""
    assert len(NAMED) > 30
    assert len(MODULES) > 30


@pytest.mark.parametrize("module", MODULES)
def test_module_exists(module):
    """Each module that the page names is in the package, or in the tests."""
    assert (PACKAGE / module).is_file() or (ROOT / module).is_file()


@pytest.mark.parametrize(("module", "name"), NAMED)
def test_name_is_defined_there(module, name):
    """Each class and function of a diagram is defined in the module beside it."""
    assert name in definitions(ast.parse((PACKAGE / module).read_text()))


def test_transitions_are_those_of_the_bridge():
    """The table of states has each allowed transition, and no other."""
    drawn = set()
    state = None
    for before, after, when in table("state", "next", "when"):
        state = before or state
        assert when
        drawn.add((state, after))
    assert drawn == {
        (before.value, after.value)
        for before, following in TRANSITIONS.items()
        for after in following
    }


def test_usual_path_has_each_state_once():
    """The line above the table visits all states once, by allowed transitions."""
    (line,) = [line for line in BLOCKS.splitlines() if line.count("->") > 5]
    way = [ConnectionState(name) for name in line.split(" -> ")]
    assert set(way) == set(ConnectionState)
    assert len(way) == len(ConnectionState)
    for before, after in itertools.pairwise(way):
        assert after in TRANSITIONS[before]


def test_messages_are_those_of_the_channel():
    """The table has each kind of frame with its direction, and no other."""
    drawn = {
        name.strip("`"): direction
        for name, direction, _ in table("message", "direction", "means")
    }
    assert drawn == {
        kind.name: f"to the {'server' if kind >= _FROM_BRIDGE else 'bridge'}"
        for kind in FrameKind
    }


def test_phases_are_in_their_order():
    """The page lists the phases of checking in the order in which they run."""
    phases = ", ".join(phase.value for phase in Phase)
    assert f"in the same order: {phases}." in " ".join(PAGE.split())


def test_threads_are_those_of_the_code():
    """The table has each thread that the package starts, but for those of the pool."""
    started = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Thread"):
                started |= {
                    keyword.value.value
                    for keyword in node.keywords
                    if keyword.arg == "name" and isinstance(keyword.value, ast.Constant)
                }
    assert {name.strip("`") for name, _ in table("thread", "does")} == started


def test_contributing_lists_the_packages():
    """Each package has its row in CONTRIBUTING.md; deeper ones may be in its text."""
    page = (ROOT / "CONTRIBUTING.md").read_text()
    text = page.partition("## Where things are")[2].partition("\n## ")[0]
    listed = set(re.findall(r"(?m)^\| `([a-z/]+)` \|", text))
    there = {
        path.parent.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("__init__.py")
    } - {"."}
    assert listed <= there
    missing = there - listed
    assert {
        name for name in missing if f"`{name.rpartition('/')[2]}/`" not in text
    } == (set())
