"""Tests of the whole loading pipeline: phases, places, speed, arbitrary text."""

from __future__ import annotations

import textwrap
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.configs import FOLDER, GOOD, YAMLISH, brief, parse, patched, source

from grpcsecure.config.effective import render_effective
from grpcsecure.config.load import parse_config, read_profile_names
from grpcsecure.config.source import Source, decode_source
from grpcsecure.diagnostics.catalog import syntax_kinds as syntax
from grpcsecure.diagnostics.catalog import tool_kinds as tool
from grpcsecure.diagnostics.findings import Kind
from grpcsecure.errors import UsageError

ROOT = Path(__file__).parents[3]


def test_good_config_is_a_document():
    """The document has no findings, but the model and its source."""
    parsed = parse(GOOD)
    assert (parsed.findings, parsed.failed) == ((), None)
    assert parsed.document is not None
    assert parsed.document.source.text == GOOD
    assert parsed.document.profile is None


@pytest.mark.parametrize(
    ("text", "failed"),
    [
        ("a: [", "YAML"),
        ("a: off", "YAML"),
        (GOOD + "server: {threads: '${NO}'}", "YAML"),
        (GOOD + "profiles: {dev: 3}", "YAML"),
        (GOOD + "x: 1", "schema"),
        (GOOD.replace("8443", "84430"), "schema"),
        (GOOD + "identities: {}", "schema"),
    ],
)
def test_failed_phase_is_named(text, failed):
    """Errors of variables and profiles belong to the phase `YAML`."""
    parsed = parse(text, profile="dev" if "dev" in text else None)
    assert parsed.failed == failed
    assert parsed.document is None
    assert parsed.findings


def test_findings_of_yaml_variables_and_profile_come_together():
    """They are reported as one phase, in the order of their places."""
    text = GOOD + (
        "server:\n  threads: ${NO}\n  runtime: off\n"
        "profiles:\n  dev: {version: 1, server: {health: '${NO}'}}\n"
    )
    parsed = parse(text, profile="dev")
    assert [line.split()[1] for line in brief(parsed.findings)] == [
        "GS109", "GS108", "GS131", "GS109",
    ]  # fmt: skip


def test_places_survive_the_profile():
    """Each value keeps the place where it was written."""
    text = GOOD + (
        "server: {threads: 8}\n"
        "profiles:\n  dev:\n    server: {reflection: true, threads: 4}\n"
    )
    document = parse(text, profile="dev").document
    assert document is not None
    places = {
        key: (document.key("server", key).line, document.place("server", key).line)
        for key in ("threads", "reflection")
    }
    assert places == {"threads": (14, 14), "reflection": (14, 14)}
    assert document.key("server").line == 11
    assert document.profile == "dev"


def test_place_of_an_absent_key_is_its_nearest_parent():
    """A finding about a default points to the block that the key belongs to."""
    document = parse(GOOD).document
    assert document is not None
    assert document.place("listeners", "public", "tls", "engine").line == 8
    assert document.key("listeners", "public", "tls", "engine").line == 7
    assert document.place("server", "threads").line == 1
    assert document.place("services", 0, "servicer").line == 3
    assert document.place("services", 7).line == 3


def test_profile_names_are_read_without_the_rest():
    """Names are read even from a config with mistakes; invalid YAML has none."""
    assert read_profile_names(source("x: 1\nprofiles: {a: 1, b: {}}")) == ("a", "b")
    assert read_profile_names(source("profiles: [a]")) == ()
    assert read_profile_names(source("a: [")) == ()


def test_findings_show_the_name_of_the_source():
    """The place is shown as `file:line:column`."""
    parsed = parse_config(Source("-x", FOLDER, "a: ["), profile=None, environ={})
    assert {f.span.file for f in parsed.findings if f.span} == {"-x"}


CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_configs_of_this_repository_have_no_findings(path):
    """Each config has no findings with each of its profiles."""
    found = Source(path.name, path.parent, path.read_text(encoding="utf-8"))
    for profile in (None, *read_profile_names(found)):
        parsed = parse_config(found, profile=profile, environ={})
        assert brief(parsed.findings) == []


KINDS = [
    kind for module in (syntax, tool) for kind in vars(module).values()
    if isinstance(kind, Kind) and kind.code not in ("GS001", "GS002")
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_example_of_the_catalogue_shows_its_kind(kind):
    """The bad example has exactly the described finding, the good one none."""
    if not kind.bad:
        return
    assert {finding.code for finding in patched(kind.bad).findings} == {kind.code}
    assert brief(patched(kind.good).findings) == []


def large() -> str:
    """Return a config of 12,500 lines."""
    text = "version: 1\nservices:\n  - servicer: a:B\n    with:\n"
    text += "".join(f"      k{i}: '${{X}} v{i}'\n" for i in range(2500))
    text += "listeners:\n"
    for i in range(2500):
        text += f"  l{i}:\n    address: 127.0.0.1:{i}\n    plaintext: true\n"
        text += f"    services: [grpc.health.v1.Health, a.b.C{i}]\n"
    return text


def test_large_config_is_parsed_in_linear_time():
    """A config of more than 10,000 lines is parsed without quadratic effort."""
    text = large()
    assert text.count("\n") > 10_000
    parse(text, environ={"X": "1"})  # loads the libraries
    begun = time.process_time()
    parsed = parse(text, environ={"X": "1"})
    assert time.process_time() - begun < 10  # slow only if it is quadratic
    assert parsed.document is not None


def test_large_config_with_many_mistakes_takes_a_few_seconds():
    """Explaining errors is slower than accepting a config, but bounded."""
    text = large().replace("plaintext: true", "plaintext: tru")
    begun = time.process_time()
    parsed = parse(text, environ={"X": "1"})
    assert 500 <= len(parsed.findings) <= 1001
    assert time.process_time() - begun < 20


def _check(text: str) -> None:
    for profile in (None, "dev"):
        try:
            parsed = parse(text, profile=profile, environ={"A": "x", "B": ""})
        except UsageError:
            continue
        assert (parsed.document is None) == bool(parsed.findings)
        assert (parsed.failed is None) == (parsed.document is not None)
        if parsed.document is not None:
            render_effective(parsed.document)


#: Lines of a config, to be put together in any order.
_LINES = [
    *GOOD.splitlines(keepends=True),
    "server:\n", "  threads: ${A}\n", "  channel_options: {a: 1}\n", "profiles:\n",
    "  dev: {}\n", "  dev: {server: null}\n", "    with: {a: &a [1], b: *a}\n",
    "identities: {}\n", "    plaintext: true\n", "    tls: null\n", "- x\n", "x: [\n",
]  # fmt: skip


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    YAMLISH
    | st.text(max_size=60)
    | st.lists(st.sampled_from(_LINES), max_size=16).map("".join)
    | st.tuples(st.just(GOOD), YAMLISH).map("".join)
)
def test_any_text_is_a_document_or_findings(text):
    """Any text ends in a document or findings, never both, without an exception."""
    _check(text)


@given(st.binary(max_size=80))
def test_any_bytes_are_a_document_or_findings(data):
    """Arbitrary bytes of a file do not raise an exception."""
    found = decode_source(data, name="f", directory=FOLDER)
    if isinstance(found, Source):
        _check(found.text)


def test_no_config_runs_code(tmp_path):
    """Tags, import paths and arguments run no code during parsing."""
    witness = tmp_path / "witness"
    for value in (
        f'!!python/object/apply:os.system ["touch {witness}"]',
        f"!!python/object/apply:builtins.eval [\"open('{witness}', 'w')\"]",
        f"!!python/object/new:pathlib.Path.touch [{witness}]",
    ):
        fragment = (
            f"services:\n  - servicer: os:system\n    with: {{command: {value}}}\n"
        )
        parse(GOOD + textwrap.dedent(fragment))
        parse(value)
    assert not witness.exists()
