"""Tests that no format of findings shows the arguments of servicers."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest
from support.configs import GOOD, source

from grpcsecure.checking.pipeline import Phase, load_config
from grpcsecure.config.argument_lines import find_argument_lines
from grpcsecure.diagnostics.render import FORMATS, render

SECRET = "hunter2"

HEAD = "version: 1\nlisteners: {main: {address: 'localhost:0', plaintext: true}}\n"


def rendered(text, profile=None, formats=FORMATS):
    """Return the findings of a config in all these formats, as one text."""
    loaded = load_config(
        source(text),
        profile=profile,
        environ={"SECRET": SECRET},
        now=datetime.now(timezone.utc),
        last=Phase.SERVICES,
    )
    assert loaded.findings
    report = loaded.draft().report
    return "".join(render(form, [report]) for form in formats)


@pytest.mark.parametrize(
    "services",
    [
        "services: [{servicer: 'no:Such', with: {password: hunter2}}]",
        "services:\n- {servicer: 'no:Such', with: {a: 1,\n  password: hunter2}, b: 1}",
        "services:\n- servicer: no:Such\n  with: {password: hunter2}\n  with: {}",
        "services:\n- servicer: no:Such\n  with:\n    a: hunter2\n    a: hunter2",
        "services:\n- servicer: no:Such\n  with:\n    a: [b, off, hunter2]",
        "services:\n- servicer: no:Such\n  with:\n    a: {0b1: hunter2}",
        "services:\n- servicer: no:Such\n  with: hunter2",
        "services:\n- servicer: no:Such\n  with:\n  - hunter2",
        "services:\n- servicer: no:Such\n  with:\n    a-b: hunter2",
        "services:\n- servicer: no:Such\n  wiht:\n    password: hunter2",
        "services:\n- servicer: no:Such\n  password: hunter2",
        "services:\n- servicer: no:Such\n  with: {url: 'x://${NO}:hunter2@db'}",
        "services:\n- servicer: no:Such\n  with:\n    a: !hunter2 x\n    b: hunter2: 1",
        "services:\n- servicer: no:Such\n  'with':\n    a: \"b\n hunter2\n",
        "services:\n- with: *a\n  servicer: no:Such\nx: &a {password: hunter2, n: off}",
        "services:\n- with: *a\n  servicer: no:Such\nx: &a\n  password: hunter2: 1",
        "services: []\nprofiles: {a: {services: [{with: {b: hunter2, c: off}}]}}",
    ],
)
def test_no_format_shows_an_argument(services):
    """Whichever finding is at its line, and whether or not the config is YAML."""
    assert SECRET not in rendered(HEAD + services).replace("!hunter2", "")


@pytest.mark.parametrize("value", ["off", "0777", "12:34", ".inf", "[off]"])
def test_messages_do_not_quote_an_argument(value):
    """A value that is ambiguous or unusable may be a secret, such as a PIN."""
    services = f"services: [{{servicer: 'a:B', with: {{pin: {value}}}}}]"
    # SARIF quotes values too, but those of the catalogue's descriptions.
    text = rendered(HEAD + services, formats=["full", "json", "junit", "concise"])
    bare = value.strip("[]")
    assert "`…`" in text
    assert not any(quoted in text for quoted in (f"`{bare}`", f'"{bare}"'))


def test_argument_from_a_variable_is_not_shown():
    """Neither is its value, nor that of a profile."""
    services = "services: [{servicer: 'no:Such', with: {password: '${SECRET}'}}]\n"
    profile = "profiles: {dev: {services: [{servicer: 'no:Such', with: {a: hunter2}}]}}"
    assert SECRET not in rendered(HEAD + services + profile, profile="dev")


def test_other_lines_are_shown():
    """Lines before and after the arguments, and the key alone, are in excerpts."""
    text = (
        "services:\n- servicer: no:Such\n  with:  # arguments\n    a: 1\n\n"
        "  register: no:such\n- servicer: no:Such\n"
    )
    assert find_argument_lines(text, None) == {4}
    assert "| - servicer: no:Such" in rendered(HEAD + text)


def test_configs_of_the_docs_hide_arguments_only():
    """In a config of this repository, the tree and the text give the same lines."""
    folder = Path(__file__).parents[3] / "configs"
    text = (folder / "dont_request.yaml").read_text()
    numbers = find_argument_lines(text, None)
    lines = text.split("\n")
    assert [lines[number - 1].strip()[:5] for number in numbers] == ["with:"]
    assert find_argument_lines(GOOD, None) == frozenset()


@pytest.mark.parametrize("line", ["with: {", "a: &b with: {*b", "- with: [*x, &x {"])
def test_broken_config_is_read_in_time(line):
    """Each line is read once, however many arguments have no end."""
    count = 100_000
    assert len(find_argument_lines(f"{line}\n" * count, None)) == count


def test_long_line_is_read_in_time():
    """A search for the end of a quote would begin at each of its quotes."""
    assert find_argument_lines("with: {" + '\\"' * 1_000_000, None) == {1}
