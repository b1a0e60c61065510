"""Tests of `${file:PATH}`: the text of a file as a value, which is never shown."""

from __future__ import annotations

import os

import pytest
from support.configs import GOOD, brief

from grpcsecure.config.effective import render_effective
from grpcsecure.config.load import parse_config
from grpcsecure.config.referenced_files import FileValues
from grpcsecure.config.source import Source, read_source

SECRET = "hunter2-secret"


@pytest.fixture(name="load")
def _load(tmp_path, monkeypatch):
    """A function that loads the good config with more keys."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").write_text(SECRET + "\n")

    def load(more: str, values=FileValues.ALL, profile=None):
        (tmp_path / "main.yaml").write_text(GOOD + more)
        environ = {"NAME": "a", "NUMBER": "3"}
        source = read_source("main.yaml")
        return parse_config(source, profile=profile, environ=environ, values=values)

    return load


def argument(folder, value: str) -> object:
    """Return the value of an argument of the servicer."""
    entry = f"  - servicer: greeter:Greeter\n    with: {{it: {value}}}\n"
    text = GOOD.replace("  - servicer: greeter:Greeter\n", entry)
    source = Source("main.yaml", folder, text)
    parsed = parse_config(source, profile=None, environ={"NAME": "a"})
    assert brief(parsed.findings) == []
    assert parsed.document is not None
    return parsed.document.config.services[0].arguments["it"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("one\n", "one"), ("one", "one"), ("one\n\n", "one\n"), ("one\r\n", "one"),
        ("\n", ""), ("", ""), ("1", "1"), ("true\n", "true"), ("null\n", "null"),
        ("${NAME}$$", "${NAME}$$"), ("a: b\nc", "a: b\nc"), ("ä\n", "ä"),
        ("x" * 65536, "x" * 65536),
    ],
)  # fmt: skip
def test_text(tmp_path, content, expected):
    """The value is the text without one newline at its end, and never read further."""
    (tmp_path / "it").write_bytes(content.encode())
    assert argument(tmp_path, "'${file:it}'") == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("p-${file:secret}-s", f"p-{SECRET}-s"),
        ("${NAME}${file:./secret}", f"a{SECRET}"),
        ("$${file:secret}", "${file:secret}"), ("$${file:no}", "${file:no}"),
        ("${file:-default}", "default"),
        ("${file:no$$such}", "text"),
    ],
)  # fmt: skip
def test_written(tmp_path, written, expected):
    """A reference may be a part of a value; `$$` is a dollar."""
    (tmp_path / "no$such").write_text("text")
    (tmp_path / "secret").write_text(SECRET)
    assert argument(tmp_path, f"'{written}'") == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("none", "cannot read `none` for a value: no such file or directory"),
        ("pipe", "cannot read `pipe` for a value: it is not a regular file"),
        (".", "cannot read `.` for a value: it is a directory"),
        ("large", "`large` is larger than 64 KiB, and cannot be a value"),
        ("nul", "`nul` has a NUL byte, and cannot be a value"),
        ("latin", "`latin` is not UTF-8 text, and cannot be a value"),
        ("/dev/zero", "cannot read `/dev/zero` for a value: it is not a regular file"),
    ],
)
def test_unusable_file(load, tmp_path, path, expected):
    """A file that cannot be a value is one finding with its name, not its content."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_text("x" * 65537)
    (tmp_path / "nul").write_text(f"{SECRET}\0")
    (tmp_path / "latin").write_bytes(SECRET.encode() + b"\xe4")
    parsed = load(f"server: {{shutdown_grace: 'a${{file:{path}}}'}}\n")
    assert brief(parsed.findings) == [f"11:28 GS144 {expected}"]
    [finding] = parsed.findings
    assert finding.span.end_column - finding.span.column == len("${file:}") + len(path)
    assert SECRET not in repr(parsed)


def test_nearest_file(load):
    """A file that is missing has the nearest one that is there."""
    [finding] = load("server: {shutdown_grace: '${file:./secert}'}\n").findings
    assert finding.help == "did you mean `./secret`?"


@pytest.mark.parametrize(
    ("written", "label"),
    [
        ("${file:}", "the path of the file is missing"),
        ("${file:${NAME}}", "variables cannot be nested"),
        ("${file:secret", "`}` is missing"),
    ],
)
def test_malformed(load, written, label):
    """A reference that is none says why."""
    [finding] = load(f"server: {{shutdown_grace: '{written}'}}\n").findings
    assert (finding.code, finding.label) == ("GS110", label)


@pytest.mark.parametrize(
    "more",
    [
        "server: {shutdown_grace: '${file:secret}'}\n",
        "server: {error_detail: '${file:secret}'}\n",
        "server: {error_detail: '-${file:secret}'}\n",
        "server: {threads: '${file:secret}'}\n",
        "server: {threads: ['${file:secret}']}\n",
        "identities: {ada: {fingerprint: '${file:secret}'}}\n",
        "identities: {ada: {spiffe: 'spiffe://${file:secret}/**'}}\n",
        "identities: {ada: '${file:secret}'}\n",
        "authorization: {rules: {a: {allow: ['${file:secret}'], methods: ['*']}}}\n",
        "authorization: {rules: {a: {allow: [anyone], methods: ['${file:secret}']}}}\n",
        "authorization: {audit_file: '${file:secret}', default: deny}\n",
        (
            "authorization: {tests: [{as: {dns: '${file:secret}'}, call: /a.B/C,"
            " expect: allow}]}\n"
        ),
        "unknown: '${file:secret}'\n",
    ],
)
def test_value_is_not_in_findings(load, more):
    """A wrong value from a file is reported without it."""
    parsed = load(more)
    assert parsed.failed is not None
    assert len(parsed.findings) == 1
    assert SECRET not in repr(parsed.findings)


@pytest.mark.parametrize(
    ("key", "old"),
    [
        ("services[0].servicer", "greeter:Greeter"),
        ("listeners.public.address", "127.0.0.1:8443"),
        ("listeners.public.tls.certificate", "certs/server.pem"),
        ("listeners.public.tls.client_certificate", "dont_request"),
    ],
)
def test_shown_values(tmp_path, key, old):
    """A value that logs show cannot come from a file, whatever it has."""
    (tmp_path / "it").write_text(old)
    (tmp_path / "main.yaml").write_text(GOOD.replace(old, "${file:it}"))
    source = read_source(str(tmp_path / "main.yaml"))
    [finding] = parse_config(source, profile=None, environ={}).findings
    assert finding.code == "GS145"
    assert finding.message == f"`{key}` cannot come from a file"


def test_effective_config(load, tmp_path):
    """The effective config has no text of a file, wherever it is."""
    more = """\
server: {shutdown_grace: "${file:grace}", error_detail: "${file:detail}"}
identities: {ada: [{subject: "CN=${file:secret}"}, {dns: a.test}]}
authorization:
  rules:
    r: {allow: [ada], methods: ["*"], metadata: {token: ["${file:secret}", b]}}
"""
    (tmp_path / "grace").write_text("77s")
    (tmp_path / "detail").write_text("full\n")
    parsed = load(more)
    assert brief(parsed.findings) == []
    config = parsed.document.config
    assert config.server.shutdown_grace == 77
    assert config.identities[0].matchers[0].criteria[0].value == f"CN={SECRET}"
    text = render_effective(parsed.document)
    assert not [one for one in (SECRET, "77s", "detail: full") if one in text]
    assert text.count("<redacted>") == 4
    assert SECRET not in repr(parsed.document.tree)


def test_unknown_values(load):
    """Without files no value is read, and none is reported as wrong."""
    more = """\
server: {shutdown_grace: "${file:no}", error_detail: "${file:no}"}
identities: {ada: {spiffe: "${file:no}"}, bob: [{fingerprint: "${file:no}"}]}
authorization:
  rules:
    r: {allow: [ada], methods: ["*"], metadata: {a: ["${file:no}", b]}}
    s: {allow: [bob], methods: ["*"], metadata: {b-bin: ["${file:no}"]}}
"""
    parsed = load(more, FileValues.NONE)
    assert brief(parsed.findings) == []
    assert parsed.unread == 6
    assert parsed.referenced == ()
    assert parsed.document.config.server.shutdown_grace == 30
    [found] = brief(load(more + "a: 1\n", FileValues.NONE).findings)
    assert "GS102 unknown key `a`" in found


def test_arguments_may_be_missing(load):
    """`explain` creates no servicer, so the files of its arguments may be missing."""
    entry = "x-a: &a '${file:no}'\nx-b: {b: *a}\n"
    argument = "profiles: {it: {services: [{servicer: a:A, with: {it: *a}}]}}\n"
    values = FileValues.ARGUMENTS_IF_THERE
    assert brief(load(entry + argument, values, profile="it").findings) == []
    both = argument.replace("it: {services", "it: {reload: {interval: *a}, services")
    [found] = brief(load(entry + both, values, profile="it").findings)
    assert "GS144" in found
    [found] = brief(load(entry + argument, profile="it").findings)
    assert "GS144" in found
