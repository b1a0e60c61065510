"""Tests of parsing YAML: values, places, and features that a config must not use."""

from __future__ import annotations

import json
import time

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from support.configs import JSON, LOADERS, YAMLISH, brief, source, underlined

from grpcsecure.config import yaml as yaml_module
from grpcsecure.config.tree import Mapping, Node, Scalar, Sequence, find, plain
from grpcsecure.config.yaml import MAX_DEPTH, MAX_FINDINGS, parse_yaml


@pytest.fixture(
    name="loader", scope="module", params=LOADERS, ids=lambda loader: loader.__name__
)
def _loader(request):
    """Both of PyYAML's parsers: libyaml's, and the one in Python."""
    return request.param


@pytest.fixture(name="findings")
def _findings(loader):
    """Return the findings for a text, in short."""
    return lambda text: brief(parse_yaml(source(text), loader=loader)[1])


@pytest.fixture(name="compose")
def _compose(loader):
    """Return the tree of a text that has no mistakes."""

    def compose(text: str) -> Mapping:
        root, findings = parse_yaml(source(text), loader=loader)
        assert brief(findings) == []
        assert root is not None
        return root

    return compose


def test_values_have_their_types(compose):
    """Quoted and block scalars are text; plain ones follow the core schema."""
    text = "a: 1\nb: '1'\nc: [true, null, ~, 1.5]\nd: |\n  x\n  y\ne: {f: , g: ''}\n"
    assert plain(compose(text)) == {
        "a": 1,
        "b": "1",
        "c": [True, None, None, 1.5],
        "d": "x\ny\n",
        "e": {"f": None, "g": ""},
    }


def test_places_are_those_of_keys_and_values(compose):
    """Lines and columns count from 1; the end is exclusive."""
    root = compose("a:\n  - b: 'x'   # no\n\n# no\nc: {d: 1}\n")
    spans = {
        path: [(s.line, s.column, s.end_line, s.end_column) for s in find(root, path)]
        for path in [("a",), ("a", 0), ("a", 0, "b"), ("c",), ("c", "d"), ()]
    }
    assert spans == {
        ("a",): [(1, 1, 1, 2), (2, 3, 2, 9)],
        ("a", 0): [(2, 5, 2, 11), (2, 5, 2, 11)],
        ("a", 0, "b"): [(2, 5, 2, 6), (2, 8, 2, 11)],
        ("c",): [(5, 1, 5, 2), (5, 4, 5, 10)],
        ("c", "d"): [(5, 5, 5, 6), (5, 8, 5, 9)],
        (): [(1, 1, 5, 10), (1, 1, 5, 10)],
    } | {("a",): [(1, 1, 1, 2), (2, 3, 2, 11)]}


def test_columns_count_characters(compose):
    """Columns count neither bytes nor cells of the terminal."""
    _, span = find(compose("'äöü😀': é"), ("äöü😀",))
    assert (span.column, span.end_column) == (9, 10)


def test_alias_is_its_anchor(compose):
    """A value that is used twice has the place where it is written."""
    root = compose("a: &x {b: 1}\nc: *x\n")
    assert plain(root) == {"a": {"b": 1}, "c": {"b": 1}}
    assert find(root, ("c", "b"))[1].line == 1
    assert root.span.end_line == 2


def test_anchor_can_be_redefined(compose):
    """An alias refers to the latest anchor before it."""
    assert plain(compose("a: &x 1\nb: &x 2\nc: *x\n"))["c"] == 2


@pytest.mark.parametrize("break_", ["\n", "\r\n", "\r"])
def test_all_line_ends_are_the_same(compose, break_):
    """Lines of Windows and of old files are counted alike."""
    root = compose(f"a: 1{break_}b:{break_}  c: 2{break_}")
    assert find(root, ("b", "c"))[1].line == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: 2\na: 3\n", ["3:1 GS103 duplicate key `a`"]),
        ("a: {b: 1, 'b': 2}", ["1:11 GS103 duplicate key `b`"]),
        ("1: a", ["1:1 GS114 the key `1` is not text"]),
        ("a: {true: 1, null: 2, 1.5: 3}",
         ["1:5 GS114 the key `true` is not text",
          "1:14 GS114 the key `null` is not text",
          "1:23 GS114 the key `1.5` is not text"]),
        ("? [a]\n: b", ["1:3 GS114 a key is a list; text is expected"]),
        ("? {a: 1}\n: b", ["1:3 GS114 a key is a mapping; text is expected"]),
        ("a: !!str 1", ["1:4 GS115 the tag `!!str` is not allowed"]),
        ("a: ! 1", ["1:4 GS115 the tag `!` is not allowed"]),
        ("a: !x {}\nb: !!set {c}",
         ["1:4 GS115 the tag `!x` is not allowed",
          "2:4 GS115 the tag `!!set` is not allowed"]),
        ("!!map {a: 1}", ["1:1 GS115 the tag `!!map` is not allowed"]),
        ("a: {<<: {b: 1}}", ["1:5 GS116 the merge key `<<` is not supported"]),
        ("a: *b", ["1:4 GS117 the alias `*b` refers to no anchor"]),
        ("a: *b\nc: &b 1", ["1:4 GS117 the alias `*b` refers to no anchor"]),
        ("a: &b [*b]",
         ["1:8 GS118 the alias `*b` refers to a value that contains it"]),
        ("a: &b 1\nc: &b [*b]",
         ["2:8 GS118 the alias `*b` refers to a value that contains it"]),
        ("a: 1\n---\nb: 2",
         ["2:1 GS121 the file has more than one YAML document"]),
        ("", ["1:1 GS122 the config is empty"]),
        ("# nothing\n\n", ["1:1 GS122 the config is empty"]),
        ("---\n", ["1:1 GS122 the config is empty"]),
        ("null", ["1:1 GS122 the config is empty"]),
        ("- a", ["1:1 GS105 the config is a list; a mapping is expected"]),
        ("\n  x", ["2:3 GS105 the config is a single value; a mapping is expected"]),
        ("''", ["1:1 GS105 the config is a single value; a mapping is expected"]),
        ("%YAML 1.1\n---\na: 1\n",
         ["1:1 GS101 the file is declared as YAML 1.1"]),
        ("a: .inf\nb: .nan",
         ["1:4 GS126 `.inf` is not a finite number of 64 bits",
          "2:4 GS126 `.nan` is not a finite number of 64 bits"]),
        ("a: 9223372036854775808",
         ["1:4 GS126 `9223372036854775808` is not a finite number of 64 bits"]),
    ],
)  # fmt: skip
def test_forbidden_yaml_is_a_finding_at_its_place(findings, text, expected):
    """One run finds all of them, and both parsers find the same."""
    assert findings(text) == expected


@pytest.mark.parametrize(
    "word",
    [
        "off",
        "yes",
        "0777",
        "1:30",
        "1_000",
        "0o17",
        "2001-01-01",
        "1e3",
        "NO",
        "08",
    ],
)
def test_ambiguous_scalar_is_reported_in_every_position(findings, word):
    """It is reported as a value, in a list and as a key, but not in quotes."""
    message = f"GS108 `{word}` is read differently by YAML 1.1 and YAML 1.2"
    assert findings(f"a: {word}") == [f"1:4 {message}"]
    assert findings(f"a: [x, {word}]") == [f"1:8 {message}"]
    assert findings(f"a:\n  b: {word} # c") == [f"2:6 {message}"]
    assert f"1:2 {message}" in findings(f"{{{word}: 1}}")
    assert findings(f"a: '{word}'\nb: \"{word}\"\nc: |\n  {word}\n") == []


def test_help_of_a_boolean_of_yaml_1_1_has_both_fixes(loader):
    """Only the author knows if text or a boolean was meant."""
    _, [finding] = parse_yaml(source("a: off"), loader=loader)
    assert finding.label == "a boolean in YAML 1.1, text in YAML 1.2"
    assert finding.help == 'quote it: "off"; a boolean is written `false`'


def test_second_label_of_a_duplicate_key_is_at_the_first(loader):
    """Both places are shown."""
    text = "a: 1\nb:\n  c: 1\n  d: 1\n  c: 2\n"
    _, [finding] = parse_yaml(source(text), loader=loader)
    assert [(label.span.line, label.text) for label in finding.secondary] == [
        (3, "first written here")
    ]


def test_first_of_duplicate_keys_is_kept(loader):
    """The tree of a config with findings can be used to find more."""
    root, _ = parse_yaml(source("a: 1\na: 2\n"), loader=loader)
    assert root is not None
    assert plain(root) == {"a": 1}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: \x01\n", ["1:4 GS124 the character U+0001 is not allowed"]),
        ("a: 1\nb: \0", ["2:4 GS124 the character U+0000 is not allowed"]),
        ("a: x\u2028y", ["1:5 GS124 the character U+2028 is not allowed"]),
        ("a: x\x85y", ["1:5 GS124 the character U+0085 is not allowed"]),
        ("a: 1\r\n# \u202eevil", ["2:3 GS124 the character U+202E is not allowed"]),
        ("a: \ufeffx", ["1:4 GS124 the character U+FEFF is not allowed"]),
        ("a: \ud800", ["1:4 GS124 the character U+D800 is not allowed"]),
        ("\x1b[31m", ["1:1 GS124 the character U+001B is not allowed"]),
        ("a: \x7f", ["1:4 GS124 the character U+007F is not allowed"]),
    ],
)
def test_invisible_character_is_a_finding(findings, text, expected):
    """Characters that a reader cannot see must not change the config."""
    assert findings(text) == expected


def test_binary_file_has_a_few_findings(findings):
    """The check stops after five findings."""
    assert len(findings("\x01" * 1000)) == 5


def test_half_a_character_is_a_finding(findings):
    """An escape can produce a surrogate, which UTF-8 cannot encode."""
    assert [line.split()[1] for line in findings('a: "\\ud800"')] == ["GS101"]


def test_depth_has_a_limit(findings):
    """64 levels are accepted, 65 are not, and a million take no longer."""
    deepest = "a: " + "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)
    assert findings(deepest) == []
    for depth in (MAX_DEPTH, 1_000_000):
        begun = time.process_time()
        assert findings("a: " + "[" * depth) == [
            "1:67 GS119 values are nested deeper than 64 levels"
        ]
        assert time.process_time() - begun < 20


def test_depth_counts_the_levels_within_aliases(findings):
    """Each line is flat, but the value with its aliases is nested deeply."""
    lines = ["a0: &a0 [x]"]
    lines += [f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 70)]
    assert [line.split()[1] for line in findings("\n".join(lines))] == ["GS119"]


def test_alias_bomb_is_refused_before_it_grows(findings):
    """Nine lines that expand to a billion values take no time."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    begun = time.process_time()
    assert findings("\n".join(lines)) == [
        "6:10 GS120 the config has more than 200,000 values"
    ]
    assert time.process_time() - begun < 10


def test_number_of_values_has_a_limit(findings, monkeypatch):
    """A data file given by mistake is refused at the limit, here a lower one."""
    monkeypatch.setattr(yaml_module, "MAX_NODES", 1000)
    assert findings("a: [" + "1," * (1000 - 3) + "]") == []
    text = "a: [" + "1," * 1000 + "]"
    assert [line.split()[1] for line in findings(text)] == ["GS120"]


def test_number_of_findings_has_a_limit(findings):
    """A file of another kind does not produce a million findings."""
    assert len(findings("a: [" + "off," * 100_000 + "]")) <= MAX_FINDINGS + 1


def test_no_tag_makes_python_objects(findings, tmp_path):
    """No tag creates an object or runs code."""
    witness = tmp_path / "witness"
    for tag in ("object/apply:os.system", "object/new:os.system", "name:os.system"):
        text = f'a: !!python/{tag} ["touch {witness}"]'
        assert findings(text) == [f"1:4 GS115 the tag `!!python/{tag}` is not allowed"]
    assert not witness.exists()


@given(value=st.dictionaries(st.text(max_size=5), JSON, max_size=5))
def test_json_is_read_as_json(loader, value):
    """YAML 1.2 contains JSON: every document has the same values."""
    text = json.dumps(value)
    if "e" in text and any(_has_exponent(v) for v in _leaves(value)):
        return  # `1e22` is ambiguous
    root, findings = parse_yaml(source(text), loader=loader)
    codes = {finding.code for finding in findings}
    if '"\\ud' in text or "\\ud" in text:
        return  # JSON escapes characters beyond U+FFFF as surrogate pairs
    assert codes == set()
    assert root is not None
    assert plain(root) == value


def _leaves(value: object) -> list[object]:
    if isinstance(value, dict):
        return [leaf for inner in value.values() for leaf in _leaves(inner)]
    if isinstance(value, list):
        return [leaf for inner in value for leaf in _leaves(inner)]
    return [value]


def _has_exponent(value: object) -> bool:
    return isinstance(value, float) and "e" in repr(value)


def _nodes(node: Node) -> list[Node]:
    if isinstance(node, Mapping):
        return [node, *(n for e in node.entries.values() for n in _nodes(e.value))]
    if isinstance(node, Sequence):
        return [node, *(n for item in node.items for n in _nodes(item))]
    return [node]


@given(text=YAMLISH | st.text(max_size=80))
def test_any_text_is_a_tree_or_findings(loader, text):
    """Nothing raises; every finding has a place within the text."""
    root, findings = parse_yaml(source(text), loader=loader)
    assert (root is not None) or findings
    lines = text.split("\n")
    for finding in findings:
        assert finding.span is not None
        assert 1 <= finding.span.line <= len(lines) + text.count("\r")
        assert "\n" not in finding.message


@given(text=YAMLISH)
def test_place_of_a_plain_scalar_covers_its_text(loader, text):
    """The characters under the carets are those of the value."""
    root, _ = parse_yaml(source(text), loader=loader)
    if root is None or "\r" in text:
        return
    for node in _nodes(root):
        if isinstance(node, Scalar) and node.is_plain and "\n" not in text:
            span = node.span
            assert text[span.column - 1 : span.end_column - 1].endswith(node.text)


@given(text=YAMLISH)
def test_values_are_those_of_pyyaml(loader, text):
    """If there is no finding, a YAML 1.1 parser reads the same config."""
    root, findings = parse_yaml(source(text), loader=loader)
    if not findings and root is not None:
        assert plain(root) == yaml.load(text, Loader=loader)


def test_carets_are_under_the_whole_key(loader):
    """The end of a span is exclusive."""
    text = "ab: 1\n'ab': 2\n"
    _, [finding] = parse_yaml(source(text), loader=loader)
    assert underlined(text, finding) == "'ab'"
