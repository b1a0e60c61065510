"""Mistakes in `server.interceptors` are findings; arguments stay hidden."""

from __future__ import annotations

import json
from datetime import datetime, timezone

import pytest
from support.interceptors import AioObserver, Observer, make_observer
from support.services import PATIENCE

import grpcsecure
from grpcsecure.checking.pipeline import load_config
from grpcsecure.config.effective import render_effective
from grpcsecure.config.source import Source
from grpcsecure.errors import StartupError
from grpcsecure.server.reload.live_keys import keys_that_need_a_restart

BASE = """\
version: 1
services: [{servicer: 'helloworld.greeter:Greeter'}]
listeners: {public: {address: '127.0.0.1:0', plaintext: true}}
authorization: {default: deny, rules: {all: {allow: [anyone], methods: ['*']}}}
server:
  interceptors:
"""

OBSERVER = "support.interceptors:Observer"


def load(entry, tmp_path, environ=None):
    """Load the base config with one interceptor, in line 7."""
    source = Source(name="c.yaml", directory=tmp_path, text=f"{BASE}    - {entry}\n")
    now = datetime.now(timezone.utc)
    return load_config(source, profile=None, environ=environ or {}, now=now)


def codes(entry, tmp_path):
    """Return the codes of the findings about the base config with an interceptor."""
    return {finding.code for finding in load(entry, tmp_path).findings}


MISTAKES = {
    "support.interceptors:AioObserver": (
        "GS520 7:7 `support.interceptors:AioObserver` is an interceptor of asyncio,"
        " and the runtime is threads"
    ),
    "{interceptor: 'support.interceptors:AioObserver'}": (
        "GS520 7:21 `support.interceptors:AioObserver` is an interceptor of asyncio,"
        " and the runtime is threads"
    ),
    "json:JSONDecoder": "GS521 7:7 `json:JSONDecoder` has no `intercept_service`",
    "nowhere.at_all:Thing": "GS501 7:7 no module named `nowhere`",
    "support.interceptors:Obsever": (
        "GS502 7:7 `support.interceptors` has no attribute `Obsever`"
    ),
    "{interceptor: 'support.interceptors:Observer', with: {nam: x}}": (
        "GS507 7:54 `support.interceptors:Observer` takes no argument `nam`"
    ),
    "{interceptor: 'support.interceptors:make_observer', with: {name: 5}}": (
        "GS530 7:72 `support.interceptors:make_observer` takes `str` for `name`, not a"
        " whole number"
    ),
    "support.interceptors:make_observer": (
        "GS507 7:7 `support.interceptors:make_observer` needs the argument `name`"
    ),
    "{interceptor: 'support.interceptors:Observer', sees: none}": (
        "GS107 7:60 unknown value `none` for `server.interceptors[0].sees`"
    ),
}


@pytest.mark.parametrize("entry", MISTAKES)
def test_a_mistake_is_a_finding_at_its_place(entry, tmp_path):
    """Of an entry that is a mapping, and of one that is a text."""
    findings = [one for one in load(entry, tmp_path).findings if one.is_error]
    assert [
        f"{one.code} {one.span.line}:{one.span.column} {one.message}"
        for one in findings
    ] == [MISTAKES[entry]]


def test_a_good_entry_has_none(tmp_path):
    """A class, a factory with an annotation, and an instance's absence of arguments."""
    assert codes(OBSERVER, tmp_path) <= {"GS408"}
    factory = "{interceptor: 'support.interceptors:make_observer', with: {name: a}}"
    assert codes(factory, tmp_path) == codes(OBSERVER, tmp_path)
    assert isinstance(make_observer("a"), Observer)


def test_arguments_are_not_printed(tmp_path):
    """Values from variables, and of names like those of secrets, are redacted."""
    entry = f"{{interceptor: '{OBSERVER}', with: {{token: hidden, name: '${{WHO}}'}}}}"
    loaded = load(entry, tmp_path, environ={"WHO": "from-outside"})
    text = render_effective(loaded.document)
    assert "hidden" not in text
    assert "from-outside" not in text
    assert text.count("<redacted>") == 2
    assert "hidden" not in repr(loaded.document.config)


def test_a_change_needs_a_restart(tmp_path):
    """A reload with other interceptors is rejected."""
    before, after = (
        load(entry, tmp_path).document.config
        for entry in (OBSERVER, f"{{interceptor: '{OBSERVER}', sees: all}}")
    )
    changed = [*keys_that_need_a_restart(before, after)]
    assert changed == [("server", "interceptors")]
    same = load(f"{{interceptor: '{OBSERVER}'}}", tmp_path).document.config
    assert not [*keys_that_need_a_restart(before, same)]


@pytest.mark.parametrize(
    ("runtime", "interceptor"), [("threads", AioObserver()), ("asyncio", Observer())]
)
def test_an_interceptor_of_a_program_for_the_other_runtime(
    runtime, interceptor, tmp_path
):
    """The server does not start, and says which runtime it is for."""
    path = tmp_path / "c.yaml"
    config = {
        "version": 1,
        "services": [{"servicer": "helloworld.greeter:Greeter"}],
        "server": {"runtime": runtime},
        "listeners": {"public": {"address": "127.0.0.1:0", "plaintext": True}},
    }
    path.write_text(json.dumps(config))
    server = grpcsecure.load(path, interceptors=[interceptor])
    with pytest.raises(StartupError, match=f"and the runtime is {runtime}"):
        server.start()
    server.stop(PATIENCE)
