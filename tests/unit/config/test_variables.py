"""Tests of `${VAR}` in values: the replacement, and findings where it fails."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.configs import YAMLISH, brief, patched, source, underlined

from grpcsecure.config import variables
from grpcsecure.config.tree import Mapping, Node, Scalar, find, plain
from grpcsecure.config.variables import expand_variables
from grpcsecure.config.yaml import parse_yaml

ENVIRON = {
    "PORT": "8443",
    "ON": "true",
    "NAME": "greeter",
    "EMPTY": "",
    "NOTHING": "null",
    "TREE": "{a: 1}",
    "LINES": "a: 1\nb: [2]",
    "DOLLAR": "${PORT}",
}


def expand(text: str) -> tuple[Node, list[str]]:
    """Expand the values of a YAML text; return the tree and brief findings."""
    root, findings = parse_yaml(source(text))
    assert root is not None
    assert brief(findings) == []
    node, findings = expand_variables(root, source=source(text), environ=ENVIRON)
    return node, brief(findings)


def value(scalar: str) -> object:
    """Return the value of one scalar after expansion."""
    node, findings = expand(f"a: {scalar}\n")
    assert findings == []
    assert isinstance(node, Mapping)
    result = node.entries["a"].value
    assert isinstance(result, Scalar)
    return result.value


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("${NAME}", "greeter"), ("x-${NAME}-y", "x-greeter-y"),
        ("${NAME}${NAME}", "greetergreeter"), ("'${NAME}'", "greeter"),
        ("${PORT}", 8443), ("'${PORT}'", "8443"), ('"${PORT}"', "8443"),
        ("0.0.0.0:${PORT}", "0.0.0.0:8443"), ("1${PORT}", 18443),
        ("${ON}", True), ("'${ON}'", "true"),
        ("${NO:-x}", "x"), ("${NO:-}", ""), ("${EMPTY:-x}", "x"),
        ("${NAME:-x}", "greeter"),
        ("${NO:-80}", 80), ("${NO:-a b:c}", "a b:c"),
        ("${NO:-$$}", "$"), ("'${NO:-a:-b}'", "a:-b"), ("${NAME:?no name}", "greeter"),
        ("${EMPTY}", ""), ("${NOTHING}", "null"), ("${NO:-null}", "null"),
        ("${TREE}", "{a: 1}"), ("${LINES}", "a: 1\nb: [2]"), ("${DOLLAR}", "${PORT}"),
        ("$$", "$"), ("$${PORT}", "${PORT}"), ("$$$$", "$$"), ("$$${PORT}", "$8443"),
        ("$", "$"), ("$$PORT", "$PORT"), ("a$b", "a$b"), ("^x$", "^x$"),
    ],
)  # fmt: skip
def test_value_is_replaced(written, expected):
    """The text is not parsed as YAML, but an unquoted scalar is resolved."""
    result = value(written)
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize("written", ["${EMPTY}", "${NOTHING}", "${NO:-}", "${NO:-~}"])
def test_variable_never_makes_a_null(written):
    """In a profile, null removes a key of the file; a variable must not do that."""
    assert isinstance(value(written), str)


def test_keys_are_not_replaced():
    """A name that depends on the environment could not be found in the file."""
    node, findings = expand("'${NAME}': 1\n")
    assert (plain(node), findings) == ({"${NAME}": 1}, [])


def test_block_and_folded_text_is_replaced():
    """Variables are replaced in every style of scalar."""
    node, findings = expand("a: |\n  x ${NAME}\nb: >-\n  y\n  ${PORT}\n")
    assert (plain(node), findings) == ({"a": "x greeter\n", "b": "y 8443"}, [])


def test_values_from_the_environment_are_marked():
    """A value from the environment is marked as a possible secret; a default is not."""
    node, _ = expand("a: ${NAME}\nb: ${NO:-x}\nc: $$\nd: [x, 'y${PORT}']\n")
    paths: list[tuple[str | int, ...]] = [("a",), ("b",), ("c",), ("d", 0), ("d", 1)]
    assert [_scalar(node, path).from_variable for path in paths] == [
        True,
        False,
        False,
        False,
        True,
    ]


def _scalar(node: Node, path: tuple[str | int, ...]) -> Scalar:
    for step in path:
        node = (
            node.entries[str(step)].value
            if isinstance(node, Mapping)
            else node.items[int(step)]  # type: ignore[union-attr]
        )
    assert isinstance(node, Scalar)
    return node


def test_places_stay_those_of_the_file():
    """Places do not depend on the length of the replaced text."""
    text = "a: ${NAME}\nb: 1\n"
    node, _ = expand(text)
    _, span = find(node, ("a",))
    assert (span.line, span.column, span.end_column) == (1, 4, 11)


def test_node_without_variables_is_the_same_object():
    """Nodes without variables are not copied."""
    root, _ = parse_yaml(source("a: [1, {b: c}]\nd: ${NAME}\n"))
    assert root is not None
    node, _ = expand_variables(root, source=source(""), environ=ENVIRON)
    assert isinstance(node, Mapping)
    assert node.entries["a"].value is root.entries["a"].value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: ${NO}", ["1:4 GS109 the variable `NO` is not set"]),
        ("a: x${NO}y${NO2}",
         ["1:5 GS109 the variable `NO` is not set",
          "1:11 GS109 the variable `NO2` is not set"]),
        ("a:\n  - 'b ${NO}'", ["2:8 GS109 the variable `NO` is not set"]),
        ("a: $${NO} ${NO}", ["1:11 GS109 the variable `NO` is not set"]),
        ("a: |\n  x\n  y ${NO}\n", ["3:5 GS109 the variable `NO` is not set"]),
        ("a: >\n  x $$\n  y\n  ${NO}\n", ["4:3 GS109 the variable `NO` is not set"]),
        ('a: "x\\n ${NO}"', ["1:9 GS109 the variable `NO` is not set"]),
        ("a: 'it''s ${NO}'", ["1:11 GS109 the variable `NO` is not set"]),
        ('a: "\\x24 ${NO}"', ["1:4 GS109 the variable `NO` is not set"]),
        ("a: &b x ${NO}", ["1:9 GS109 the variable `NO` is not set"]),
        ("a: ${EMPTY:?}", ["1:4 GS109 the variable `EMPTY` is empty"]),
        ("a: ${NO:?}", ["1:4 GS109 the variable `NO` is not set"]),
        ("a: &b [x, '${NO}']\nc: *b\nd: [*b, *b]",
         ["1:12 GS109 the variable `NO` is not set"]),
        ("a: ${", ["1:4 GS110 a `${` does not begin a variable"]),
        ("a: ${}", ["1:4 GS110 a `${` does not begin a variable"]),
        ("a: ${1A}", ["1:4 GS110 a `${` does not begin a variable"]),
        ("a: ${A B}", ["1:4 GS110 a `${` does not begin a variable"]),
        ("a: ${A-b}", ["1:4 GS110 a `${` does not begin a variable"]),
        ("a: ${A?b}", ["1:4 GS110 a `${` does not begin a variable"]),
        ("a: ${A:+b}", ["1:4 GS110 a `${` does not begin a variable"]),
        ("a: ${A:}", ["1:4 GS110 a `${` does not begin a variable"]),
        ("a: ${NO:-${NAME}}", ["1:4 GS110 a `${` does not begin a variable"]),
        ("a: x ${NO} ${", ["1:6 GS109 the variable `NO` is not set",
                          "1:12 GS110 a `${` does not begin a variable"]),
        ("a: ${O:-off}",
         [("1:4 GS108 the value of `${O:-off}` is read differently by YAML 1.1 and"
           " YAML 1.2")]),
        ("a: ${O:-.inf}",
         ["1:4 GS126 `${O:-.inf}` becomes a number beyond 64 bits"]),
    ],
)  # fmt: skip
def test_finding_is_at_the_dollar(text, expected):
    """Every variable is checked, and each finding has its own place."""
    assert expand(text)[1] == expected


@pytest.mark.parametrize(
    ("written", "label"),
    [
        ("${A", "`}` is missing"),
        ("${A:-${B}}", "variables cannot be nested"),
        ("${A-b}", "a `:` is missing after the name"),
        ("${1}", "not the name of a variable"),
    ],
)
def test_label_names_the_error(written, label):
    """The help shows the three forms, the label the error of this one."""
    text = f"a: '{written}'"
    root, _ = parse_yaml(source(text))
    assert root is not None
    _, [finding] = expand_variables(root, source=source(text), environ={})
    assert finding.label == label
    assert "${VAR:-default}" in (finding.help or "")


def test_message_of_the_file_is_the_label():
    """The text of `${VAR:?message}` becomes the label."""
    text = "a: ${DB:?ask the database team\u200b}"
    root, _ = parse_yaml(source(text))
    assert root is not None
    _, [finding] = expand_variables(root, source=source(text), environ={})
    assert finding.label == "ask the database team\\u200b"
    assert underlined(text, finding) == text[3:]


def test_value_of_a_variable_is_in_no_finding():
    """Secrets come through the environment, so values are never shown."""
    for secret in ("0777123", "9" * 40, "2001-01-01"):
        text = "a: ${SECRET}"
        root, _ = parse_yaml(source(text))
        assert root is not None
        _, [finding] = expand_variables(
            root, source=source(text), environ={"SECRET": secret}
        )
        shown = (finding.message, finding.label, finding.help, finding.notes)
        assert secret not in repr(shown)


def test_variable_that_is_not_text_is_a_finding():
    """An environment may hold arbitrary bytes."""
    text = "a: ${X}"
    root, _ = parse_yaml(source(text))
    assert root is not None
    _, findings = expand_variables(
        root,
        source=source(text),
        environ={"X": b"\xff".decode(errors="surrogateescape")},
    )
    assert brief(findings) == ["1:4 GS111 the variable `X` is not UTF-8 text"]


def test_large_variable_used_often_is_refused():
    """A variable of a megabyte that is used a thousand times is never expanded."""
    text = "a: [" + "'${X}'," * 1000 + "]"
    root, _ = parse_yaml(source(text))
    assert root is not None
    _, findings = expand_variables(
        root, source=source(text), environ={"X": "x" * 1024 * 1024}
    )
    assert brief(findings) == [
        "1:61 GS111 the values of the variables are larger than 8 MiB in all"
    ]


def test_many_unset_variables_take_little_time():
    """Finding the place of each does not read the file again."""
    text = "a: '" + "${X}" * 200_000 + "'"
    root, _ = parse_yaml(source(text))
    assert root is not None
    begun = time.process_time()
    _, findings = expand_variables(root, source=source(text), environ={})
    assert len(findings) == variables.MAX_FINDINGS
    assert time.process_time() - begun < 20


@given(YAMLISH, st.dictionaries(st.sampled_from("AB"), st.text(max_size=9)))
def test_any_text_is_expanded_or_has_findings(text, environ):
    """Expansion raises nothing; without findings, it makes no new nulls."""
    root, _ = parse_yaml(source(text))
    if root is None:
        return
    node, findings = expand_variables(root, source=source(text), environ=environ)
    if not findings:
        assert _shape(plain(node)) == _shape(plain(root))
    for finding in findings:
        assert finding.span is not None


def _shape(value: object) -> object:
    if isinstance(value, dict):
        return {key: _shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_shape(inner) for inner in value]
    return value is None


FOREIGN = [
    ("$PORT", "`$PORT` is not replaced", "write `${PORT}`; `$$PORT` is that text"),
    ("a/$PORT/b", "`$PORT` is not replaced", "write `${PORT}`"),
    ("$(PORT)", "`$(PORT)` is not replaced", "write `${PORT}`; `$$(PORT)` is"),
    ("'%PORT%'", "`%PORT%` is not replaced", "write `${PORT}`"),
    ("'{PORT}/a'", "`{PORT}` is not replaced", "write `${PORT}`"),
    ("'a/{{ .Port }}'", "a template `{{ … }}` is not rendered", "render the file"),
]


@pytest.mark.parametrize(("written", "message", "advice"), FOREIGN)
def test_variable_in_another_spelling_is_an_error(written, message, advice):
    """It is not replaced; it would be looked for as it is written."""
    (finding,) = patched(f"server: {{import_paths: [{written}]}}").findings
    assert (finding.code, finding.message) == ("GS110", message)
    assert finding.help is not None
    assert finding.help.startswith(advice)


@pytest.mark.parametrize("written", ["$PORT", "$(PORT)"])
def test_variable_in_another_spelling_is_a_warning_in_an_argument(written):
    """An argument may be any text."""
    parsed = patched(f"services: [{{servicer: a:B, with: {{url: '{written}'}}}}]")
    assert parsed.document is not None
    assert [finding.code for finding in parsed.findings] == ["GS135"]


@pytest.mark.parametrize("written", ["pa$word", "a {{b}}", "100%b%", "$$PORT", "{A}"])
def test_argument_with_such_signs_is_text(written):
    """A password or a template for the servicer itself is no mistake."""
    parsed = patched(f"services: [{{servicer: a:B, with: {{url: '{written}'}}}}]")
    assert parsed.findings == ()
